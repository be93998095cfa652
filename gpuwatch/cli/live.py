"""What there is now: as the agent here tells, else by a look of one's own; or of the fleet, from its server."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeVar

import click

from gpuwatch import __version__
from gpuwatch.attribute.text import printable
from gpuwatch.cli.fetch import fetch
from gpuwatch.cli.look import Look
from gpuwatch.cli.source import configured, server_at
from gpuwatch.errors import GpuwatchError, UsageError
from gpuwatch.model.judgement import VERDICTS
from gpuwatch.model.live import FREE
from gpuwatch.terminal.document import parse_node
from gpuwatch.terminal.fleet import fleet_document
from gpuwatch.terminal.page import Scene
from gpuwatch.terminal.rows import IDLES, SORTS, Selection

if TYPE_CHECKING:
    from gpuwatch.report.server import Server

_Command = TypeVar("_Command", bound=Callable[..., Any])
_FILE: Final = click.Path(path_type=Path)
_AGENT_OPTIONS = (
    click.option(
        "--listen", metavar="HOST:PORT", default="127.0.0.1:9469", show_default=True,
        help="The agent's address; https://HOST:PORT where it serves TLS.",
    ),
    click.option("--ca-file", metavar="FILE", type=_FILE, help="Whose certificates to trust, in PEM."),
    click.option("--login", metavar="NAME", help="Where the agent asks for a password: whose it is,"),
    click.option("--password-file", metavar="FILE", type=_FILE, help="and the file that it is in."),
)  # fmt: skip
_FLEET_OPTIONS = (
    click.option("--prometheus", metavar="URL", help="The fleet instead of this node, from a Prometheus server."),
    click.option("--config", metavar="FILE", type=_FILE, help="Which settings say how to get in there."),
)
_SELECTION_OPTIONS = (
    click.option("--user", "users", metavar="NAME", multiple=True, help="Only this user's; may be repeated."),
    click.option("--node", "nodes", metavar="NAME", multiple=True, help="Only this node; may be repeated."),
    click.option(
        "--verdict", "verdicts", type=click.Choice(VERDICTS), multiple=True, help="Only these; may be repeated."
    ),
    click.option("--idle", is_flag=True, help="Only what is held and not used: idle or reserved."),
    click.option("--free", is_flag=True, help="Only what is free."),
    click.option("--sort", type=click.Choice(tuple(SORTS)), default="gpu", show_default=True, help="What comes first."),
    click.option("--no-color", is_flag=True, help="Plain, as with the variable NO_COLOR."),
)


def agent_options(command: _Command) -> _Command:
    """Give a command the options that say where the agent is."""
    return _with(command, _AGENT_OPTIONS)


def fleet_options(command: _Command) -> _Command:
    """Give a command the options that ask for the fleet."""
    return _with(command, _FLEET_OPTIONS)


def selection_options(command: _Command) -> _Command:
    """Give a command the options that say which rows are wanted, and how."""
    return _with(command, _SELECTION_OPTIONS)


def selection_of(
    *, users: Sequence[str], nodes: Sequence[str], verdicts: Sequence[str], idle: bool, free: bool
) -> Selection:
    """What the options ask for."""
    standings = {*verdicts, *(IDLES if idle else ()), *((FREE,) if free else ())}
    return Selection(frozenset(users), frozenset(nodes), frozenset(standings))


class Way(Protocol):
    """A way to know. Raises GpuwatchError, in words."""

    period_seconds: float
    """How often there can be anything new."""

    def read_document(self) -> dict[str, Any]:
        """All of it, for programs."""

    def read(self) -> Scene:
        """All of it, for people."""

    def close(self) -> None:
        """Let go of it."""


class AgentAt(NamedTuple):
    """Where the agent is, and how to get in."""

    listen: str
    ca_file: Path | None = None
    login: str | None = None
    password_file: Path | None = None


class Here:
    """This node."""

    period_seconds = 2.0

    def __init__(self, at: AgentAt) -> None:
        self._at = at
        self._look = Look()

    def read_document(self) -> dict[str, Any]:
        """The agent's, else of a look."""
        at = self._at
        found = fetch(at.listen, ca_file=at.ca_file, login=at.login, password_file=at.password_file)
        return found or self._look.read()

    def read(self) -> Scene:
        """The same."""
        return _scene(self.read_document())

    def read_free(self) -> tuple[Scene, str]:
        """The same, and why what nobody holds may not be free all the same; empty where that is known."""
        document = self.read_document()
        scene = _scene(document)
        return scene, _doubt(document, scene) or ("" if document["agent"] else self._look.doubt())

    def close(self) -> None:
        """Let go of the driver, where it was needed."""
        self._look.close()


class Fleet:
    """All nodes that a Prometheus server scrapes."""

    period_seconds = 10.0

    def __init__(self, server: Server) -> None:
        self._server = server

    def read_document(self) -> dict[str, Any]:
        """As in docs/fleet.schema.json."""
        now = time.time()
        return fleet_document(self._read(now).nodes, asked_unix=now)

    def read(self) -> Scene:
        """All of its nodes."""
        return self._read(time.time())

    def close(self) -> None:
        """Nothing is open."""

    def _read(self, now_unix: float) -> Scene:
        from gpuwatch.report.prometheus.client import Client  # noqa: PLC0415  only for a fleet
        from gpuwatch.report.prometheus.live import read_nodes  # noqa: PLC0415

        client = Client(self._server)
        return Scene(read_nodes(client, now_unix=now_unix), f"Prometheus at {client.url}")


def way_of(at: AgentAt, *, prometheus: str | None, config: Path | None) -> Way:
    """The way that was asked for. Nothing is open yet. Raises UsageError."""
    if prometheus is not None:
        return Fleet(server_at(configured(config).settings.prometheus, prometheus))
    if config is not None:
        raise UsageError("--config says how to get in at --prometheus: give both, or neither")
    return Here(at)


def _doubt(document: Mapping[str, Any], scene: Scene) -> str:
    """Why a document cannot say which GPUs nobody has; empty where it can."""
    if document["simulated"]:
        return "the agent is a simulation, and has none"
    slurm = document["sensors"].get("slurm")
    if slurm is None or slurm.get("problem"):
        return "" if slurm is None else str(slurm["problem"])
    instances = any(device.is_instance for node in scene.nodes for device in node.devices)
    return "Slurm gives this node's GPUs away, and does not say who has which MIG instance" if instances else ""


def _scene(document: Mapping[str, Any]) -> Scene:
    """The node that a document is of. Raises GpuwatchError where it is another version's."""
    try:
        return Scene((parse_node(document, now_unix=time.time()),))
    except (KeyError, TypeError) as error:
        version = printable(str(document.get("version", "unknown")))
        raise GpuwatchError(
            f"the agent is of another version ({version}, this is {__version__}): restart it"
        ) from error


def _with(command: _Command, options: Sequence[Callable[[_Command], _Command]]) -> _Command:
    for option in reversed(options):
        command = option(command)
    return command
