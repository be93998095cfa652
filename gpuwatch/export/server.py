"""The HTTP server: uvicorn, with the bounds it lacks. Any number of silent or slow clients must not cost a scrape."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from gpuwatch.errors import UsageError
from gpuwatch.export.pages import Pages, Response

MOST_CONNECTIONS = 512
REQUEST_SECONDS = 10.0
"""What a client may take to send the head of a request."""
FIRST_SECONDS = 2.0
"""What a request that comes before the first snapshot waits for it."""
RESPONSE_SECONDS = 30.0
"""What a client may take to read a response."""
_KEEP_ALIVE_SECONDS = 75
_LONGEST_HEAD = 16 * 1024
_CLOSING_SECONDS = 1


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 with a deadline for the head of a request, and a cap on connections at which the idlest one goes."""

    _idle: dict[BoundedProtocol, None]
    _deadline: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock for the first request."""
        super().connection_made(transport)
        self._idle = vars(self.server_state).setdefault("gpuwatch_idle", {})
        self._await_request()
        if len(self.connections) > MOST_CONNECTIONS:
            next(iter(self._idle)).drop()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop_waiting()
        if self._reading is not None:
            self._reading.cancel()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Stop the clock once a whole head is here."""
        super().handle_events()
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        """Start the clock for the next request of the connection; uvicorn's keep-alive ends a silent one."""
        if not self.transport.is_closing():
            self._idle[self] = None
            if self.transport.get_write_buffer_size() and self._reading is None:
                self._reading = self.loop.call_later(RESPONSE_SECONDS, self._drop_unread)
        super().on_response_complete()

    def data_received(self, data: bytes) -> None:
        """Start the clock when a further request begins."""
        if self._deadline is None and (self.cycle is None or self.cycle.response_complete):
            self._await_request()
        super().data_received(data)

    def drop(self) -> None:
        """Close the connection without an answer."""
        self._stop_waiting()
        self.transport.abort()

    def _drop_unread(self) -> None:
        self._reading = None
        if self.transport.get_write_buffer_size():
            self.drop()

    def _await_request(self) -> None:
        self._idle[self] = None
        self._deadline = self.loop.call_later(REQUEST_SECONDS, self.drop)

    def _stop_waiting(self) -> None:
        self._idle.pop(self, None)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class Server(uvicorn.Server):
    """uvicorn without its ten wake-ups a second, and without its hold on the signals: the agent has its own."""

    def __init__(self, pages: Pages, read_unix: Callable[[], float]) -> None:
        application = _Application(pages, read_unix)
        config = uvicorn.Config(
            application,
            http=BoundedProtocol,
            loop="asyncio",
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            h11_max_incomplete_event_size=_LONGEST_HEAD,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_CLOSING_SECONDS,
        )
        super().__init__(config)
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


class _Application:
    """The ASGI side of the pages."""

    def __init__(self, pages: Pages, read_unix: Callable[[], float]) -> None:
        self._pages = pages
        self._read_unix = read_unix
        self.ready = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if not self.ready.is_set() and scope["path"] != "/healthz":
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.ready.wait(), FIRST_SECONDS)
        unix = self._read_unix()
        if scope["method"] in ("GET", "HEAD"):
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            response = self._pages.respond(
                scope["path"],
                accept=headers.get("accept", ""),
                accept_encoding=headers.get("accept-encoding", ""),
                unix=unix,
            )
        else:
            response = Response(405, "text/plain; charset=utf-8", b"Only GET and HEAD are served here.\n")
        head = {"type": "http.response.start", "status": response.status, "headers": _headers(response, unix)}
        await send(head)
        body = b"" if scope["method"] == "HEAD" else response.body
        await send({"type": "http.response.body", "body": body})


def _headers(response: Response, unix: float) -> list[tuple[bytes, bytes]]:
    headers = {
        "content-type": response.content_type,
        "content-length": str(len(response.body)),
        "date": formatdate(unix, usegmt=True),
        "vary": "accept, accept-encoding",
        "x-content-type-options": "nosniff",
        "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    }
    if response.encoding:
        headers["content-encoding"] = response.encoding
    if response.status == 405:
        headers["allow"] = "GET, HEAD"
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def parse_address(address: str) -> tuple[str, int]:
    """HOST:PORT, with an IPv6 host in brackets. Raises UsageError."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise UsageError(f"--listen {address!r} is not HOST:PORT, like 127.0.0.1:9469 or [::]:9469")
    return host.strip("[]"), int(port)


def bind(address: str) -> socket.socket:
    """A listening socket. Raises UsageError where the address cannot be had."""
    host, port = parse_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=MOST_CONNECTIONS)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {address}: {error.strerror or error}; is an agent running there? "
            "Otherwise name a free address with --listen"
        ) from error
