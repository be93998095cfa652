"""A door for tests: open in a thread of this process, on a socket in the test's folder, and who knocks there."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gpuwatch.agent import door as door_room
from gpuwatch.agent.door import Door, Grant
from gpuwatch.agent.registry import Registry
from gpuwatch.attribute.case import Registration
from gpuwatch.model import Identity

NOW_UNIX = 1_790_000_000.0
_SAY = """
import json, socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
    s.settimeout(10)
    s.connect(sys.argv[1])
    s.send(sys.argv[2].encode())
    print(s.recv(4096).decode())
"""


@contextmanager
def doorway(
    registry: Registry, path: Path, *, url: str = "", keep: Callable[[], object] = lambda: None,
    grant: Grant | None = None,
) -> Iterator[Door]:  # fmt: skip
    """An open door, at which the ends of processes are soon seen."""
    door = Door(registry, path, read_unix=lambda: NOW_UNIX, url=url, keep=keep, grant=grant)
    ready = threading.Event()
    stops: list[Callable[[], object]] = []

    async def serve() -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        stops.append(lambda: loop.call_soon_threadsafe(stop.set))
        assert door.start()
        ready.set()
        await stop.wait()
        await door.stop()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(door_room, "_SWEEP_SECONDS", 0.1)
        thread.start()
        try:
            assert ready.wait(10)
            yield door
        finally:
            stops[0]()
            thread.join(10)


def knock(path: Path, timeout: float = 10.0) -> socket.socket:
    """A connection of this process, on which nothing is said yet."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(timeout)
    connection.connect(str(path))
    return connection


def say(path: Path, message: bytes | dict[str, Any]) -> Any:
    """The answer to this process's message; None where the connection was closed without one."""
    with knock(path) as connection:
        connection.send(message if isinstance(message, bytes) else json.dumps(message).encode())
        content = connection.recv(4096)
    return json.loads(content) if content else None


def say_as(uid: int, path: Path, message: dict[str, Any], *wrapper: str) -> Any:
    """The answer to the message of a process of another user. Skips where this one is not root; in CI, root has to."""
    if os.geteuid() != 0:
        pytest.skip("only root can be two users")
    tools = [shutil.which(tool) for tool in ("setpriv", *wrapper[:1])]
    python = shutil.which("python3", path="/usr/bin:/bin")  # one that any user may run
    if python is None or None in tools:
        if os.environ.get("CI"):
            pytest.fail("setpriv, unshare and a Python of the system are needed")
        pytest.skip("setpriv, unshare and a Python of the system are needed")
    os.chmod(path.parent, 0o755)
    for folder in list(path.parents)[1:-2]:
        os.chmod(folder, folder.stat().st_mode | 0o011)
    user = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    done = subprocess.run(
        [*wrapper, *user, python, "-c", _SAY, str(path), json.dumps(message)],
        stdout=subprocess.PIPE, check=True, timeout=20,
    )  # fmt: skip
    return json.loads(done.stdout)


def registered(registry: Registry) -> dict[int, Registration]:
    """What is registered, by pid."""
    return {process.pid: entry.registration for process, entry in registry.entries.items()}


def identity(pid: int) -> Identity:
    """A process by its number and start time, as /proc has them."""
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    return Identity(pid, int(stat.rpartition(")")[2].split()[19]))
