"""`gpuwatch alerts`: what people were told, or would have been, and what was held back and why."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Collection, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from gpuwatch.attribute.text import printable
from gpuwatch.cli.chosen import all_are_shown
from gpuwatch.cli.source import configured, read_viewer, state_directory
from gpuwatch.errors import GpuwatchError, NothingRecorded

if TYPE_CHECKING:
    from gpuwatch.agent.settings import Settings

_LONGEST_CELL: Final = 100


@click.command()
@click.option("--since", metavar="TIME", default="7d", show_default=True, help="As for `gpuwatch report`.")
@click.option("--until", metavar="TIME", help="As --since; a day or week is within.  [default: now]")
@click.option("--tz", metavar="ZONE", help="Whose clocks, like Europe/Berlin.  [default: this machine's]")
@click.option("--user", "users", metavar="NAME", multiple=True, help="Only of this user; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="As a list, for programs.")
@click.option(
    "--state-dir", metavar="DIR", type=click.Path(path_type=Path), help="Of an agent, or of `gpuwatch notify`."
)
@click.option("--config", metavar="FILE", type=click.Path(path_type=Path), help="[default: as for `gpuwatch report`]")
def alerts(
    *, since: str, until: str | None, tz: str | None, users: tuple[str, ...], as_json: bool, state_dir: Path | None,
    config: Path | None,
) -> None:  # fmt: skip
    """Show who was told of idle GPUs, or in shadow mode would have been, and of which nobody was told, and why.

    Exits with 1 where there is nothing to show.
    """
    from gpuwatch.alert.listing import documents, listing  # noqa: PLC0415  the agent loads this file, and needs none
    from gpuwatch.report.period import parse_period  # noqa: PLC0415
    from gpuwatch.report.zone import read_zone  # noqa: PLC0415
    from gpuwatch.state.noticed import open_noticed  # noqa: PLC0415

    configuration = configured(config)
    zone = read_zone(tz, local=os.environ.get("TZ", ""))
    period = parse_period(since, until, zone=zone, now_unix=time.time())
    try:
        with open_noticed(state_dir or state_directory(configuration)) as noticed:
            found = noticed.between(*period.window)
    except NothingRecorded as error:
        click.echo(f"gpuwatch: {printable(str(error), 1000)}", err=True)
        sys.exit(1)
    whose = _may_be_shown(users, configuration.settings)
    found = [notice for notice in found if whose is None or notice.user in whose]

    def local(unix: float) -> datetime:
        return datetime.fromtimestamp(unix, zone)

    if as_json:
        click.echo(json.dumps(documents(found, local=local), indent=2))
    elif found:
        click.echo(listing(found, local=local, clean=lambda text: printable(text, _LONGEST_CELL)))
    else:
        whom = "" if whose is None else f" of {', '.join(map(printable, sorted(whose)))}"
        click.echo(f"No run{whom} was idle or stuck in {printable(period.label)}: nobody was to be told of anything.")
    sys.exit(0 if found else 1)


def _may_be_shown(users: Sequence[str], settings: Settings) -> Collection[str] | None:
    """The people whose notices are shown, None for all. Raises GpuwatchError where those of others are withheld."""
    if all_are_shown(settings.policy):
        return users or None
    viewer = read_viewer(settings.people)
    if set(users) <= {viewer}:
        return {viewer}
    raise GpuwatchError(
        f"names of people are withheld here (privacy.names = {settings.policy.names}): "
        f"{printable(viewer)} may see their own notices, and root all"
    )
