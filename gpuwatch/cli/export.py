"""`gpuwatch export`: the record of this node row by row, for whoever wants to add it up another way."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from gpuwatch.cli.chosen import all_are_shown
from gpuwatch.cli.output import whole_file, write_out
from gpuwatch.cli.source import configured, source_options, state_directory
from gpuwatch.errors import UsageError

if TYPE_CHECKING:
    from gpuwatch.model.history import Window

_LONG_ROWS: Final = 50_000
"""From here on it takes seconds, and progress is shown."""
_FROM_PROMETHEUS: Final = (
    "export reads the record of one node, where every row is kept: leave out --prometheus; "
    "a server gives its own by /api/v1/query_range?query=gpuwatch_run_gpu_held_seconds_total"
)


@click.command()
@click.option("--since", metavar="TIME", default="7d", show_default=True, help="36h, 7d, 2026-11-01; as for a report.")
@click.option("--until", metavar="TIME", help="Up to when.  [default: now]")
@click.option("--tz", metavar="ZONE", help="Whose days are meant, like Europe/Berlin.  [default: this machine's]")
@click.option(
    "--of", "table", type=click.Choice(["charges", "devices"]), default="charges", show_default=True,
    help="What people had of GPUs, or what became of all time of the GPUs.",
)  # fmt: skip
@click.option("--format", "form", type=click.Choice(["csv", "jsonl"]), default="csv", show_default=True)
@click.option("--output", metavar="FILE", type=click.Path(path_type=Path), help="Into FILE, whole or not at all.")
@source_options
def export(
    *, since: str, until: str | None, tz: str | None, table: str, form: str, output: Path | None,
    state_dir: Path | None, prometheus: str | None, config: Path | None,
) -> None:  # fmt: skip
    """Write out the rows of this node's record, by minute, and by hour or day where it is long ago.

    Exits with 1 where there are none. Columns and units: docs/export.md.
    """
    from gpuwatch.report.period import parse_period  # noqa: PLC0415  only this command needs these
    from gpuwatch.report.zone import read_zone  # noqa: PLC0415

    if prometheus is not None:
        raise UsageError(_FROM_PROMETHEUS)
    configuration = configured(config)
    if table == "charges" and not all_are_shown(configuration.settings.policy):
        raise UsageError("names of people and their runs are withheld here (privacy.names): --of devices has none")
    zone = read_zone(tz, local=os.environ.get("TZ", ""))
    period = parse_period(since, until, zone=zone, now_unix=time.time())
    directory = state_dir or state_directory(configuration)
    with _lines(directory, configuration.settings.node, period.window, table=table, form=form) as (lines, count):
        if not count:
            click.echo(f"gpuwatch: nothing is recorded in {directory} for {period.label}", err=True)
            sys.exit(1)
        _write(_watched(lines, count, shown=output is not None or not sys.stdout.isatty()), output)


@contextmanager
def _lines(directory: Path, node: str, window: Window, *, table: str, form: str) -> Iterator[tuple[Iterable[str], int]]:
    """The lines, and how many rows there are; they are read as they are taken."""
    from gpuwatch.report.raw import csv_lines, json_lines  # noqa: PLC0415
    from gpuwatch.state import raw  # noqa: PLC0415  loads SQLite
    from gpuwatch.state.readonly import Reader  # noqa: PLC0415

    line = csv_lines if form == "csv" else json_lines
    with Reader(directory, node=node) as reader:
        count = raw.count(reader, window)
        if table == "charges":
            yield line(raw.ChargeRow._fields, raw.charges(reader, window)), count.charges
        else:
            yield line(raw.DeviceRow._fields, raw.devices(reader, window)), count.devices


def _watched(lines: Iterable[str], count: int, *, shown: bool) -> Iterator[str]:
    """The lines; while there are many, a terminal is shown how far they are."""
    if count < _LONG_ROWS or not shown or not sys.stderr.isatty():
        yield from lines
        return
    with click.progressbar(lines, length=count, file=sys.stderr, label=f"{count:,} rows", update_min_steps=1000) as bar:
        yield from bar


def _write(lines: Iterable[str], output: Path | None) -> None:
    if output is None:
        write_out(lines)
        return
    with whole_file(output) as file:
        file.writelines(lines)
