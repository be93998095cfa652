"""Where the agent's socket is: what the agent opens, and where a process looks for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

VARIABLE = "GPUWATCH_SOCKET"
SYSTEM_SOCKET = Path("/run/gpuwatch/agent.sock")
_NAME = "gpuwatch/agent.sock"


def own_socket(environment: Mapping[str, str], uid: int) -> Path:
    """Where an agent of this user listens: root's and the service's is the node's, anybody else's is their own.

    systemd names the service's folder in RUNTIME_DIRECTORY.
    """
    if uid == 0:
        return SYSTEM_SOCKET
    if folder := environment.get("RUNTIME_DIRECTORY", "").partition(":")[0]:
        return Path(folder) / SYSTEM_SOCKET.name
    return next(_private_sockets(environment))


def sockets(environment: Mapping[str, str]) -> Iterator[Path]:
    """Where a process finds an agent, the likeliest first."""
    if named := environment.get(VARIABLE):
        yield Path(named)
    else:
        yield SYSTEM_SOCKET
        yield from _private_sockets(environment)


def _private_sockets(environment: Mapping[str, str]) -> Iterator[Path]:
    if runtime := environment.get("XDG_RUNTIME_DIR"):
        yield Path(runtime) / _NAME
    if state := environment.get("XDG_STATE_HOME"):
        yield Path(state) / _NAME
    else:
        yield Path(environment.get("HOME", "/nonexistent")) / ".local/state" / _NAME
