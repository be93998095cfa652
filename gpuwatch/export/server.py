"""The HTTP server: uvicorn, with the bounds it lacks. Any number of silent or slow clients must not cost a scrape."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from gpuwatch.errors import UsageError
from gpuwatch.export.address import parse_address
from gpuwatch.export.application import LONGEST_HEAD, Application, Inbox, Site
from gpuwatch.export.crowd import Crowd
from gpuwatch.export.handshake import Handshake

if TYPE_CHECKING:  # an agent without a web configuration does not load what it needs
    from gpuwatch.export.web import Web

MOST_CONNECTIONS = 512
MOST_TLS_CONNECTIONS = 128
"""Fewer, because Python keeps a buffer of 256 KiB for each."""
REQUEST_SECONDS = 10.0
"""What a client may take to send the head of a request."""
RESPONSE_SECONDS = 30.0
"""What a client may take to read a response."""
_KEEP_ALIVE_SECONDS = 75
_CLOSING_SECONDS = 1


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 with deadlines for the head of a request and the reading of a response, in a crowd with a cap."""

    wire: asyncio.Transport | None = None
    """The TCP side: under TLS the transport does not tell what was not read."""
    _deadline: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None

    def __init__(self, crowd: Crowd, **given: Any) -> None:
        super().__init__(**given)
        self._crowd = crowd

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock for the first request."""
        super().connection_made(transport)
        self.wire = self.wire or transport
        self._crowd.enter(self)
        self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks."""
        self._stop_waiting()
        if self._reading is not None:
            self._reading.cancel()
        self._crowd.leave(self)
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Stop the clock once a whole head is here."""
        super().handle_events()
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        """Start the clock for reading it. Until the next request begins, uvicorn's keep-alive ends a silent one."""
        self._crowd.rest(self)
        if self._reading is None and self._has_unread():
            self._reading = self.loop.call_later(RESPONSE_SECONDS, self._drop_unread)
        super().on_response_complete()

    def data_received(self, data: bytes) -> None:
        """Start the clock when a further request begins."""
        if self._deadline is None and (self.cycle is None or self.cycle.response_complete):
            self._await_request()
        super().data_received(data)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, or has too long a head; where an answer was given, end without another."""
        if self.cycle is not None and not self.cycle.response_complete:
            return  # it is a body that is broken, and the request is being refused for having one
        if self.conn.our_state is not h11.IDLE:
            self.drop()
            return
        error = sys.exception()  # uvicorn calls this where it caught one
        status = HTTPStatus(error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400)
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
        answer = h11.Response(status_code=status, headers=headers, reason=status.phrase.encode())
        for event in (answer, h11.Data(data=f"{status.phrase}\n".encode()), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def shutdown(self) -> None:
        """End because the server ends. One that is idle is not asked for a goodbye: it could take its time."""
        if (self.cycle is None or self.cycle.response_complete) and not self._has_unread():
            self.drop()
        else:
            super().shutdown()

    def drop(self) -> None:
        """End the connection without an answer."""
        self._stop_waiting()
        assert self.wire is not None
        self.wire.abort()

    def _drop_unread(self) -> None:
        self._reading = None
        if self._has_unread():
            self.drop()

    def _has_unread(self) -> bool:
        return self.wire is not None and self.wire.get_write_buffer_size() > 0

    def _await_request(self) -> None:
        self._crowd.rest(self)
        self._deadline = self.loop.call_later(REQUEST_SECONDS, self.drop)

    def _stop_waiting(self) -> None:
        self._crowd.work(self)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class Server(uvicorn.Server):
    """uvicorn without its ten wake-ups a second, and without its hold on the signals: the agent has its own."""

    def __init__(
        self, pages: Site, read_unix: Callable[[], float], *, web: Web | None = None, inbox: Inbox | None = None
    ) -> None:
        """Plain HTTP for all, or what a web configuration asks for; what is posted goes into the inbox, if any."""
        application = Application(pages, read_unix, web, inbox)
        config = uvicorn.Config(
            application,
            http=self._connect,  # type: ignore[arg-type]  # it is called like a class, and nothing else
            loop="asyncio",
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level=logging.ERROR,  # below are lines that a stranger can write
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            h11_max_incomplete_event_size=LONGEST_HEAD,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_CLOSING_SECONDS,
        )
        super().__init__(config)
        self._tls = web.tls if web else None
        self.crowd = Crowd(self.server_state.connections, MOST_TLS_CONNECTIONS if self._tls else MOST_CONNECTIONS)
        self.stop = asyncio.Event()
        self.ready = application.ready
        """To be set when there is a first snapshot: requests wait for it a moment, rather than fail."""

    async def main_loop(self) -> None:
        """Serve until `stop` is set."""
        await self.stop.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield

    def _connect(self, **given: Any) -> asyncio.Protocol:
        """The protocol of a new connection."""
        if self._tls is None:
            return BoundedProtocol(self.crowd, **given)

        def hand_over(transport: asyncio.Transport, wire: asyncio.Transport, early: bytes) -> None:
            http = BoundedProtocol(self.crowd, **given)
            http.wire = wire
            transport.set_protocol(http)
            http.connection_made(transport)
            if early:
                http.data_received(early)

        return Handshake(self._tls, self.crowd, hand_over)


def bind(address: str) -> socket.socket:
    """A listening socket. Raises UsageError where the address cannot be had."""
    host, port = parse_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    both = host == "::" and socket.has_dualstack_ipv6()  # who opens it to the network means IPv4 too
    try:
        listener = socket.create_server((host, port), family=family, backlog=MOST_CONNECTIONS, dualstack_ipv6=both)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {address}: {error.strerror or error}; is an agent running there? "
            "Otherwise name a free address with --listen"
        ) from error
    # Or the body of a response would wait 40 ms for the acknowledgement of its head. Connections inherit it.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
