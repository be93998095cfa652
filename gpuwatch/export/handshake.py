"""A connection on its way to TLS: it becomes one in time, or goes without a word. Knows no HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from gpuwatch.export.crowd import Crowd

if TYPE_CHECKING:  # an agent without TLS does not load it
    from gpuwatch.export.tls import Certificates

HANDSHAKE_SECONDS = 10.0
"""What a client may take for the handshake."""
_GOODBYE_SECONDS = 30.0
"""What a client may take at the end to read what is left and say goodbye."""

HandOver = Callable[[asyncio.Transport, asyncio.Transport, bytes], None]
"""Takes the TLS transport, the TCP one below it, and what the client has said already."""


class Handshake(asyncio.Protocol):
    """The TCP side of a connection, until its TLS side is there and is handed over."""

    _wire: asyncio.Transport
    _task: asyncio.Task[None]

    def __init__(self, tls: Certificates, crowd: Crowd, hand_over: HandOver) -> None:
        self._tls = tls
        self._crowd = crowd
        self._hand_over = hand_over
        self._early = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin the handshake."""
        transport.pause_reading()  # what comes is for TLS, which is not there yet
        self._wire = transport
        self._crowd.enter(self)
        self._task = asyncio.create_task(self._shake_hands())

    def data_received(self, data: bytes) -> None:
        """Keep what came together with the end of the handshake."""
        self._early += data

    def drop(self) -> None:
        """End the connection without an answer."""
        self._crowd.work(self)  # so that the next one too many is another
        self._wire.abort()

    def shutdown(self) -> None:
        """End the connection, because the server ends."""
        self.drop()

    async def _shake_hands(self) -> None:
        transport = None if self._wire.is_closing() else await self._start_tls()
        self._crowd.leave(self)
        if transport is None or self._wire.is_closing() or not self._tls.admits(transport.get_extra_info("peercert")):
            self._wire.abort()
        else:
            self._hand_over(transport, self._wire, self._early)

    async def _start_tls(self) -> asyncio.Transport | None:
        loop = asyncio.get_running_loop()
        try:
            return await loop.start_tls(
                self._wire,
                self,
                self._tls.context(loop.time()),
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=_GOODBYE_SECONDS,
            )
        except OSError as error:  # no TLS, no certificate that we trust, too slow, or gone: the client's own affair
            error.__traceback__ = None  # it holds the frames that hold it, and these the buffers
            return None
