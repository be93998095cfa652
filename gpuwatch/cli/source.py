"""Which record of the past a command reads, and whose command it is: the options, the settings, the way in."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import click

from gpuwatch.errors import UsageError

if TYPE_CHECKING:
    from gpuwatch.agent.config import Configuration
    from gpuwatch.attribute.people import People
    from gpuwatch.model.history import Source
    from gpuwatch.report.server import Server

_Command = TypeVar("_Command", bound=Callable[..., Any])
_OPTIONS = (
    click.option(
        "--state-dir", metavar="DIR", type=click.Path(path_type=Path, readable=False),
        help="Read the record of this node.",
    ),
    click.option("--prometheus", metavar="URL", help="Read the record of the fleet, from a Prometheus server."),
    click.option(
        "--config", metavar="FILE", type=click.Path(path_type=Path),
        help="[default: /etc/gpuwatch/config.toml or client.toml, ~/.config/gpuwatch/client.toml]",
    ),
)  # fmt: skip


def source_options(command: _Command) -> _Command:
    """Give a command the options `--state-dir`, `--prometheus` and `--config`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def configured(config: Path | None) -> Configuration:
    """The settings of who asks. Raises UsageError."""
    from gpuwatch.agent.config import load_client  # noqa: PLC0415  loads what the agent is made of

    return load_client(environment=os.environ, path=config)


@contextmanager
def open_source(
    configuration: Configuration, *, state_dir: Path | None, prometheus: str | None, now_unix: float
) -> Iterator[Source]:
    """The record that was asked for: the one that is named, else of the server that is configured, else of this node.

    Raises UsageError where two are named, and GpuwatchError where it cannot be opened.
    """
    settings = configuration.settings
    if state_dir is not None and prometheus is not None:
        raise UsageError("--state-dir and --prometheus name two records: give one of them")
    if state_dir is None and (prometheus or settings.prometheus.url):
        from gpuwatch.report.prometheus import open_prometheus  # noqa: PLC0415  one of the two is needed

        yield open_prometheus(server_at(settings.prometheus, prometheus), now_unix=now_unix)
        return
    from gpuwatch.state.history import open_history  # noqa: PLC0415

    directory = state_dir or state_directory(configuration)
    with closing(open_history(directory, node=settings.node, now_unix=now_unix)) as history:
        yield history


def state_directory(configuration: Configuration) -> Path:
    """Where this node's record is: as configured, else that of the agent that root started, else one's own."""
    from gpuwatch.state.file import SYSTEM_DIRECTORY  # noqa: PLC0415  loads SQLite

    own = configuration.settings.state_directory
    if "state_dir" not in configuration.sources and os.path.lexists(SYSTEM_DIRECTORY):
        return SYSTEM_DIRECTORY  # the service's is a link into what may be closed: then that is told
    return own


def read_viewer(people: People) -> str:
    """The person who asks: under sudo, who called it."""
    from gpuwatch.attribute.person import read_user_name  # noqa: PLC0415
    from gpuwatch.attribute.text import clean  # noqa: PLC0415

    caller = os.environ.get("SUDO_USER", "") if os.geteuid() == 0 else ""
    return people.alias(clean(caller) or read_user_name(os.getuid()))


def server_at(known: Server, url: str | None) -> Server:
    """The server at `url`, by the way in that is configured; a password of another server is not sent there."""
    from gpuwatch.agent.kinds import URL  # noqa: PLC0415

    if url is None:
        return known
    try:
        wanted: str = URL.check(url)
    except ValueError as error:
        raise UsageError(f"--prometheus must be {URL.right}") from error
    if known.url and urlsplit(known.url)[:2] != urlsplit(wanted)[:2]:
        return replace(known, url=wanted, user="", password_file=None, token_file=None)
    return replace(known, url=wanted)
