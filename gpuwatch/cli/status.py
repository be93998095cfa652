"""`gpuwatch status`: who is on what, on this node or in the fleet."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

import click

from gpuwatch.cli.live import AgentAt, agent_options, fleet_options, selection_of, selection_options, way_of
from gpuwatch.cli.output import write_out
from gpuwatch.errors import UsageError
from gpuwatch.terminal.page import page
from gpuwatch.terminal.painting import has_colour, painted
from gpuwatch.terminal.rows import EVERYTHING, rows_of
from gpuwatch.terminal.table import Line

_NARROWEST = 40


@click.command()
@click.option("--json", "as_json", is_flag=True, help="All of it, as in docs/status.schema.json.")
@selection_options
@agent_options
@fleet_options
def status(
    *, as_json: bool, users: Sequence[str], nodes: Sequence[str], verdicts: Sequence[str], idle: bool, free: bool,
    sort: str, no_color: bool, listen: str, ca_file: Path | None, login: str | None, password_file: Path | None,
    prometheus: str | None, config: Path | None,
) -> None:  # fmt: skip
    """Show who is on which GPU now. Works without an agent too, then without history.

    Exits with 1 where nothing is as asked for.
    """
    logging.basicConfig(level=logging.CRITICAL)  # what went wrong stands in the document
    selection = selection_of(users=users, nodes=nodes, verdicts=verdicts, idle=idle, free=free)
    if as_json and selection != EVERYTHING:
        raise UsageError("--json is the whole document: leave out what limits it")
    at = AgentAt(listen, ca_file, login, password_file)
    with closing(way_of(at, prometheus=prometheus, config=config)) as way:
        if as_json:
            click.echo(json.dumps(way.read_document(), indent=2))
            return
        scene = way.read()
    rows = rows_of(scene.nodes, selection, sort=sort)
    show(page(scene, rows, width()), no_color=no_color)
    sys.exit(1 if selection != EVERYTHING and not rows else 0)


def show(lines: Iterable[Line], *, no_color: bool) -> None:
    """Print them, in colours where there may be any."""
    terminal = sys.stdout.isatty()
    colour = has_colour(os.environ, asked_not=no_color, terminal=terminal)
    encoding = sys.stdout.encoding or "utf-8"
    write_out([painted(lines, colour=colour).encode(encoding, "replace").decode(encoding), "\n"])


def width() -> int | None:
    """Columns of the terminal; None where the output goes elsewhere, and nothing is to be cut."""
    return max(_NARROWEST, shutil.get_terminal_size().columns) if sys.stdout.isatty() else None
