"""The door: the unix socket at which processes say which run they are, and people what they wish for their runs.

Served by the loop, off the sampling thread.

Anybody on the node may knock. One message, one answer, and the connection is over; who is silent is let go, and who
comes too often waits in the kernel's queue. Nothing that comes in here can stop the agent or slow it down.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from gpuwatch.agent.peer import Peer, is_alive, read_peer, read_process_of
from gpuwatch.agent.registry import Registry
from gpuwatch.agent.request import Request, Wish, parse_request
from gpuwatch.explicit.message import LONGEST_BYTES

Grant = Callable[[Peer, Wish], dict[str, Any]]
"""Answers a wish of a person, or raises ValueError that says why not."""
log = logging.getLogger(__name__)

DEADLINE_SECONDS = 2.0
"""What a client may take to say its message."""
MOST_CONNECTIONS = 64
MOST_CONNECTIONS_OF_A_USER = 16
_MOST_AT_ONCE = 20
_PAUSE_SECONDS = 0.1
"""No more than so many connections are taken in so long."""
_SWEEP_SECONDS = 2.0


class Door:
    """The socket at `path`, open to all users of the node, and what is heard there for the registry."""

    def __init__(
        self,
        registry: Registry,
        path: Path,
        *,
        read_unix: Callable[[], float],
        url: str = "",
        keep: Callable[[], object] = lambda: None,
        grant: Grant | None = None,
    ) -> None:
        """`url` is where the agent serves its pages: those who register are told. `keep` saves what is registered.

        `grant` answers what people wish for their runs, on a thread, as it may wait.
        """
        self._registry = registry
        self._path = path
        self._read_unix = read_unix
        self._url = url
        self._keep = keep
        self._grant = grant
        self._listener: socket.socket | None = None
        self._guests: dict[asyncio.Task[None], int] = {}
        self._reopening: asyncio.TimerHandle | None = None
        self._counted_from = 0.0
        self._admitted = 0
        self._tending: asyncio.Task[None] | None = None
        self._heard = asyncio.Event()
        """Somebody has said something: there may be something to forget, or to save."""
        self._kept = registry.version

    def start(self) -> bool:
        """Open it; to be called on the loop. Where that cannot be, the log says why, and the agent goes on without."""
        try:
            self._listener = listen(self._path)
        except OSError as error:
            reason = error.strerror or error
            log.warning("no process can register its run: cannot listen on %s: %s", self._path, reason)
            return False
        self._open()
        self._tending = asyncio.get_running_loop().create_task(self._tend())
        return True

    async def stop(self) -> None:
        """Close it, let everybody go, and take the socket away."""
        if self._listener is None or self._tending is None:
            return
        asyncio.get_running_loop().remove_reader(self._listener)
        if self._reopening is not None:
            self._reopening.cancel()
        tasks = [*self._guests, self._tending]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._save()  # who was heard is not heard again
        self._listener.close()
        self._listener = None
        self._path.unlink(missing_ok=True)

    def _open(self) -> None:
        assert self._listener is not None
        asyncio.get_running_loop().add_reader(self._listener, self._admit)

    def _admit(self) -> None:
        """Take one of those who wait; after too many within a moment, nobody for another."""
        assert self._listener is not None
        loop = asyncio.get_running_loop()
        if loop.time() >= self._counted_from + _PAUSE_SECONDS:
            self._counted_from, self._admitted = loop.time(), 0
        self._admitted += 1
        if self._admitted > _MOST_AT_ONCE:
            loop.remove_reader(self._listener)
            self._reopening = loop.call_later(_PAUSE_SECONDS, self._open)
            return
        try:
            connection, _ = self._listener.accept()
        except OSError as error:  # it has left, or there is no descriptor for it
            log.debug("a connection at the door was lost: %s", error)
            return
        self._receive(connection)

    def _receive(self, connection: socket.socket) -> None:
        peer = read_peer(connection)
        crowded = Counter(self._guests.values())[peer.uid] >= MOST_CONNECTIONS_OF_A_USER
        if crowded or len(self._guests) >= MOST_CONNECTIONS:
            connection.close()
            return
        connection.setblocking(False)
        task = asyncio.get_running_loop().create_task(self._attend(connection, peer))
        self._guests[task] = peer.uid
        task.add_done_callback(partial(self._part, connection))

    def _part(self, connection: socket.socket, task: asyncio.Task[None]) -> None:
        connection.close()
        del self._guests[task]

    async def _attend(self, connection: socket.socket, peer: Peer) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                content = await loop.sock_recv(connection, LONGEST_BYTES + 1)
                if content:
                    await loop.sock_sendall(connection, json.dumps(await self._answer(peer, content)).encode())
        except OSError as error:  # TimeoutError among them
            log.debug("a client at the door went without an answer: %r", error)

    async def _answer(self, peer: Peer, content: bytes) -> dict[str, Any]:
        try:
            request = parse_request(content, unix=self._read_unix())
            if isinstance(request, Request):
                return self._register(peer, request)
            if self._grant is None:
                raise ValueError("this agent takes registrations alone")
            return {"ok": True, **await asyncio.to_thread(self._grant, peer, request)}
        except ValueError as error:
            return {"error": str(error)}

    def _register(self, peer: Peer, request: Request) -> dict[str, Any]:
        """Raises ValueError where that may not be."""
        # Only of their own: the pages that show it may ask for a password.
        process, uid = read_process_of(peer, request.pid)
        if request.ask:
            entry = self._registry.entries.get(process)
            return {"ok": True, "registered": entry and entry.registration._asdict()}
        if request.end:
            self._registry.end(process, request.registration.run)
        else:
            self._registry.enter(process, uid, request.registration)
        self._heard.set()
        return {"ok": True, **({"url": self._url} if self._url else {})}

    async def _tend(self) -> None:
        """Forget the processes that have ended, and save what is new. Where nobody is registered nothing wakes up."""
        while True:
            self._registry.sweep(is_alive)
            await self._save()
            if self._registry.entries:
                self._heard.set()
            else:
                self._heard.clear()
            await self._heard.wait()
            await asyncio.sleep(_SWEEP_SECONDS)

    async def _save(self) -> None:
        if (version := self._registry.version) != self._kept:
            await asyncio.to_thread(self._keep)  # a disk may hang
            self._kept = version


def listen(path: Path) -> socket.socket:
    """A listening socket that all users may connect to. One that a killed agent left is replaced.

    Raises OSError where the folder cannot be made, or another agent listens there.
    """
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        _remove_orphan(path)
        listener.setblocking(False)
        listener.bind(str(path))
        os.chmod(path, 0o666)
        listener.listen(MOST_CONNECTIONS)
    except OSError:
        listener.close()
        raise
    return listener


def _remove_orphan(path: Path) -> None:
    """Take away a socket that nobody listens at. Raises OSError for any other file."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as visitor:
        visitor.setblocking(False)
        try:
            visitor.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
