"""`gpuwatch run`: a command as a run with a name."""

from __future__ import annotations

import os
import secrets
import sys
import time
from typing import Any

import click

from gpuwatch.cli.fetch import fetch
from gpuwatch.errors import GpuwatchError, Unheard
from gpuwatch.explicit.client import tell
from gpuwatch.explicit.launch import Child
from gpuwatch.explicit.message import NAME_VARIABLE, PROJECT_VARIABLE, RUN_VARIABLE, Announcement, encode, named_run
from gpuwatch.explicit.place import sockets

_REGISTERING_SECONDS = 1.0
_LONGEST_INTERVAL = 2.0
_NOT_EXECUTABLE, _NOT_FOUND = 126, 127
_GIB = 2**30
_KWH = 3.6e6
_HOUR = 3600


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--name", metavar="NAME", required=True, help="What people call it.")
@click.option("--project", metavar="P", envvar=PROJECT_VARIABLE, default="", help="What it is for.")
@click.argument("command", metavar="-- CMD [ARGUMENTS]", nargs=-1, required=True, type=click.UNPROCESSED)
def run(name: str, project: str, command: tuple[str, ...]) -> None:
    """Run CMD as a run called NAME, on this node and wherever its environment reaches.

    Signals and the exit status are passed through. At the end it says what the run held, used and peaked at. Works
    without an agent too.
    """
    said = Announcement(named_run(name, unix=time.time(), draw=secrets.randbits(32)), name=name, project=project)
    at = _register(said)
    passed = {RUN_VARIABLE: said.run, NAME_VARIABLE: name, PROJECT_VARIABLE: project}
    try:
        child = Child(command, {**os.environ, **passed})
    except OSError as error:
        click.echo(f"gpuwatch: cannot run {command[0]}: {error.strerror}", err=True)
        sys.exit(_NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE)
    status = child.wait()
    for line in summary(_rows(said.run, at, ended_unix=time.time()), name):
        click.echo(f"gpuwatch: {line}", err=True)
    sys.exit(status)


def _register(said: Announcement) -> str:
    """Say to the agent which run this process is; where the agent serves its pages, empty where there is none."""
    try:
        url = tell(encode(said), sockets(os.environ), patience=_REGISTERING_SECONDS).get("url", "")
    except Unheard:
        return ""  # an agent that comes later knows the run by its environment
    return str(url).removeprefix("http://").rstrip("/")


def _rows(run: str, at: str, *, ended_unix: float) -> list[dict[str, Any]]:
    """What the agent has of the run, a row for each GPU: of a cycle after its end, if it was on any."""
    document = _document(at) if at else None
    if document is None or not (rows := _rows_of(run, document)):
        return []
    if document["taken_unix"] <= ended_unix:
        time.sleep(min(_LONGEST_INTERVAL, 1.5 * document["interval_seconds"]))
        rows = _rows_of(run, _document(at) or {"gpus": []}) or rows
    return rows


def _document(at: str) -> dict[str, Any] | None:
    try:
        return fetch(at)
    except GpuwatchError:
        return None  # it asks for a password, or a certificate is not trusted here: nothing a run must say


def _rows_of(run: str, document: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for gpu in document["gpus"] for row in gpu["runs"] if row["run"] == run]


def summary(rows: list[dict[str, Any]], name: str) -> list[str]:
    """Three lines on what a run held, used and peaked at, from its rows in a status document; none without rows."""
    if not rows:
        return []
    held, busy, joules = (_sum(rows, key) for key in ("held_seconds", "busy_seconds", "energy_joules"))
    peak = max((row["memory_peak_bytes"] or 0 for row in rows), default=0)
    count = f"{len(rows)} GPU{'s' if len(rows) > 1 else ''}"
    share = f"{busy / held:.0%}" if busy is not None and held else "an unknown part"
    energy = "" if joules is None else f", with {joules / _KWH:.3g} kWh"
    return [
        f"{name} held {count} for {_hours(held or 0.0)} in all",
        f"used {share} of that{energy}",
        f"peaked at {peak / _GIB:.1f} GiB of memory on one GPU" if peak else "peaked at a memory that is not known",
    ]


def _sum(rows: list[dict[str, Any]], key: str) -> float | None:
    """The sum of what is known; None where nothing is."""
    known = [row[key] for row in rows if row[key] is not None]
    return sum(known) if known else None


def _hours(seconds: float) -> str:
    return f"{seconds / _HOUR:.1f} GPU-hours" if seconds >= _HOUR else f"{seconds / 60:.1f} GPU-minutes"
