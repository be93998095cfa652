"""`gpuwatch maintenance`: take this node, or some of its GPUs, out of service and back."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gpuwatch.agent.maintenance import NODE, Drains, change, read_drains, with_entries
from gpuwatch.attribute.person import read_user_name
from gpuwatch.attribute.text import clean
from gpuwatch.cli.fetch import fetch
from gpuwatch.cli.look import look
from gpuwatch.errors import GpuwatchError, UsageError
from gpuwatch.model import Drain

if TYPE_CHECKING:
    from gpuwatch.agent.config import Configuration

Document = Mapping[str, Any]
"""A status document."""
_UNSEEN: Document = {"gpus": []}

_state_dir = click.option(
    "--state-dir", metavar="DIR", type=click.Path(path_type=Path), help="Of the agent.  [default: as configured]"
)
_gpus = click.option("--gpu", "gpus", metavar="N|UUID", multiple=True, help="Only this GPU; may be repeated.")


@click.group(invoke_without_command=True)
@_state_dir
@click.pass_context
def maintenance(context: click.Context, state_dir: Path | None) -> None:
    """Show what is out of service: `on` takes the node or some of its GPUs out, `off` brings them back.

    While a GPU is out of service, time in which nobody holds it counts as unavailable, and not as free.
    """
    context.obj = state_dir
    if context.invoked_subcommand is None:
        drains = read_drains(_directory(state_dir))
        click.echo(table(drains, (_ask_agent() if drains.keys() - {NODE} else None) or _UNSEEN))


@maintenance.command()
@_gpus
@click.option("--reason", metavar="TEXT", default="", help="Why, in up to 128 characters.")
@_state_dir
@click.pass_obj
def on(outer: Path | None, gpus: Sequence[str], reason: str, state_dir: Path | None) -> None:
    """Take the node out of service, or only some of its GPUs."""
    document = _ask() if gpus else _UNSEEN
    scopes = uuids_of(gpus, document) if gpus else [NODE]
    new = dict.fromkeys(scopes, Drain(time.time(), clean(reason), _read_operator()))
    drains = change(_directory(state_dir or outer), lambda drains: with_entries(drains, new))
    click.echo(table(drains, document))


@maintenance.command()
@_gpus
@_state_dir
@click.pass_obj
def off(outer: Path | None, gpus: Sequence[str], state_dir: Path | None) -> None:
    """Bring the node back into service, or only some of its GPUs; what else is out of service stays so."""
    directory = _directory(state_dir or outer)
    drains: Drains = read_drains(directory)
    listed = {gpu for gpu in gpus if gpu in drains}  # by its uuid: it need not be there any more
    document = _ask() if set(gpus) - listed else _UNSEEN
    scopes = {*listed, *uuids_of(set(gpus) - listed, document)} if gpus else {NODE}
    for scope in sorted(scopes - drains.keys()):
        click.echo(f"{_name(scope, document)} is not out of service{' by itself' if NODE in drains else ''}")
    if scopes & drains.keys():
        drains = change(directory, lambda now: {scope: drain for scope, drain in now.items() if scope not in scopes})
    click.echo(table(drains, document))


def uuids_of(gpus: Iterable[str], document: Document) -> list[str]:
    """The uuids of GPUs that are called by number or uuid. Raises UsageError, with those that there are."""
    uuids: list[str] = []
    for gpu in gpus:
        found = [item["uuid"] for item in document["gpus"] if gpu in _names(item)]
        if not found:
            there = ", ".join(f"{item['gpu']} ({item['uuid']})" for item in document["gpus"])
            there = there or document["sensors"]["gpu"]["problem"] or "none"
            raise UsageError(f"--gpu {clean(gpu)!r} is no GPU of this node; there is: {there}")
        uuids += found
    return uuids


def _names(gpu: Mapping[str, Any]) -> tuple[str, str, str]:
    """What a GPU is called by: its number stands for all of its MIG instances, `3` for `3:0` and `3:1`."""
    number = str(gpu["gpu"])
    return gpu["uuid"], number, number.partition(":")[0]


def table(drains: Drains, document: Document) -> str:
    """What is out of service, for a terminal: a line each, with times in the operator's own zone."""
    if not drains:
        return "nothing is out of service"
    rows = [("OUT OF SERVICE", "SINCE", "BY", "REASON")]
    for scope, drain in sorted(drains.items(), key=lambda item: (item[0] != NODE, item[0])):
        since = datetime.fromtimestamp(drain.since_unix).astimezone().isoformat(" ", "minutes")
        rows.append((_name(scope, document), since, drain.by, drain.reason))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)


def _name(scope: str, document: Document) -> str:
    numbers = {gpu["uuid"]: f"GPU {gpu['gpu']}, " for gpu in document["gpus"]}
    return "the node" if scope == NODE else numbers.get(scope, "GPU ") + scope


def _ask() -> Document:
    """The status of this node: of the agent, which knows the lost GPUs too, or else of a look of its own."""
    logging.basicConfig(level=logging.CRITICAL)  # what goes wrong stands in the document
    return _ask_agent() or look()


def _ask_agent() -> Document | None:
    with suppress(GpuwatchError):  # an operator's hands are not to be tied by an agent that is in trouble
        document = fetch(_configured().settings.listen)
        return document if document and "gpus" in document else None  # whatever may listen there
    return None


def _configured() -> Configuration:
    from gpuwatch.agent.config import load  # noqa: PLC0415  no other command needs it but the agent

    return load(flags={}, environment=os.environ, path=None)


def _directory(given: Path | None) -> Path:
    """The agent's state directory: as given, as configured, or the default of the agent that root started."""
    from gpuwatch.state.file import SYSTEM_DIRECTORY  # noqa: PLC0415  loads SQLite

    if given is not None:
        return given
    settings, sources = _configured()
    if "state_dir" not in sources and os.path.lexists(SYSTEM_DIRECTORY):  # the service's is a link into what is closed
        return SYSTEM_DIRECTORY
    return settings.state_directory


def _read_operator() -> str:
    """Who is at the keyboard: under sudo, who called it."""
    caller = os.environ.get("SUDO_USER", "") if os.geteuid() == 0 else ""
    return clean(caller) or read_user_name(os.getuid())
