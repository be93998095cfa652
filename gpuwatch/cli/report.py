"""`gpuwatch report`: what a stretch of time added up to, for whom."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from gpuwatch.attribute.text import printable
from gpuwatch.cli.deliver import deliver_report
from gpuwatch.cli.output import whole_file, write_out
from gpuwatch.cli.rendering import EXPLAINING, FORMATS, rendered
from gpuwatch.cli.source import configured, open_source, read_viewer, source_options, state_directory
from gpuwatch.errors import NothingRecorded, StateError, UsageError

if TYPE_CHECKING:
    from gpuwatch.model.history import Source
    from gpuwatch.report.document import Notices, Report

FILTERS: Final = ("user", "team", "project", "run", "kind", "node", "gpu", "model")
"""What a report can be limited to; it can be divided by these, and by `day`."""
_Command = TypeVar("_Command", bound=Callable[..., Any])


def _filter_options(command: _Command) -> _Command:
    """Give a command an option for each of the keys that it can be limited to."""
    names = {"gpu": "NODE/N", "kind": "batch|interactive|service"}
    for key in reversed(FILTERS):
        what = "GPU" if key == "gpu" else key
        option = click.option(
            f"--{key}", metavar=names.get(key, "NAME"), multiple=True, help=f"Only this {what}; may be repeated."
        )
        command = option(command)
    return command


@click.command()
@click.option(
    "--since", metavar="TIME", default="7d", show_default=True,
    help="36h, 7d, 2w; today, yesterday, 'last week', 'this month' …; 2026-W46, 2026-11, 2026-11-01, 2026-11-01T08:00.",
)  # fmt: skip
@click.option("--until", metavar="TIME", help="As --since; a day or week is within.  [default: now]")
@click.option("--tz", metavar="ZONE", help="Whose days and weeks, like Europe/Berlin.  [default: this machine's]")
@click.option(
    "--by", type=click.Choice((*FILTERS, "day")), multiple=True, default=("user",), show_default=True,
    help="What to divide it by; may be repeated.",
)  # fmt: skip
@_filter_options
@click.option("--format", "as_format", type=click.Choice(FORMATS), default="table", show_default=True)
@click.option("--output", metavar="FILE", type=click.Path(path_type=Path), help="Write it there.")
@click.option("--to", type=click.Choice(("slack",)), help="Post it: to the team's channel, and to each person theirs.")
@click.option("--explain", is_flag=True, help="Show the queries that made the figures.")
@source_options
def report(
    *, since: str, until: str | None, tz: str | None, by: Sequence[str], as_format: str, output: Path | None,
    to: str | None, explain: bool, state_dir: Path | None, prometheus: str | None, config: Path | None,
    **filters: Sequence[str],
) -> None:  # fmt: skip
    """Report what GPUs were paid for, and what became of them: busy, held idle, free, and by whom.

    Exits with 1 where nothing is recorded of what was asked.
    """
    from gpuwatch.agent.teams import read_teams  # noqa: PLC0415  the agent loads this file, and needs none of these
    from gpuwatch.report.formats.prose import explanation  # noqa: PLC0415
    from gpuwatch.report.period import parse_period  # noqa: PLC0415
    from gpuwatch.report.summary import gather  # noqa: PLC0415
    from gpuwatch.report.zone import read_zone  # noqa: PLC0415

    if to is not None and (output is not None or as_format != "table"):
        raise UsageError("--to posts the report in a form of its own: leave out --format and --output")
    logging.basicConfig(level=logging.WARNING, format="gpuwatch: %(message)s")
    now = time.time()
    period = parse_period(since, until, zone=read_zone(tz, local=os.environ.get("TZ", "")), now_unix=now)
    configuration = configured(config)
    settings = configuration.settings
    try:
        with open_source(configuration, state_dir=state_dir, prometheus=prometheus, now_unix=now) as source:
            teams = read_teams(settings.people)
            found = gather(
                source, period, by=by, where={key: values for key, values in filters.items() if values},
                policy=settings.policy, teams=teams, viewer=read_viewer(settings.people),
            )  # fmt: skip
            if not found.where:
                found = replace(found, notices=_notices(source, found))
            if to is not None:
                directory = state_dir or state_directory(configuration)
                sys.exit(deliver_report(source, found, settings=settings, teams=teams, directory=directory))
            text = rendered(
                found, as_format, source=source, teams=teams, explain=explain, to_file=output is not None
            )  # fmt: skip
    except NothingRecorded as error:
        click.echo(f"gpuwatch: {printable(str(error), 1000)}", err=True)
        sys.exit(1)
    _write(text, output)
    if explain and as_format not in EXPLAINING:
        click.echo(explanation(found.questions), err=True)
    sys.exit(0 if found.rows or found.services else 1)


def _notices(source: Source, report: Report) -> Notices | None:
    """What people were sent in the time of a report, where it is kept with the record."""
    from gpuwatch.report.document import Notices  # noqa: PLC0415  see report
    from gpuwatch.state.history import History  # noqa: PLC0415
    from gpuwatch.state.noticed import open_noticed  # noqa: PLC0415

    if not isinstance(source, History):
        return None
    try:
        with open_noticed(source.reader.directory) as noticed:
            return Notices(*noticed.counts(*report.period.window))
    except (NothingRecorded, StateError):
        return None  # the report is of GPUs: it says nothing of what it cannot see


def _write(text: str, output: Path | None) -> None:
    if output is None:
        write_out([text])
        return
    with whole_file(output) as file:
        file.write(text)
