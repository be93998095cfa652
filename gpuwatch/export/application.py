"""From a request to a response: the bounds on its head and body, the password, and then a page. Knows no socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Protocol

from gpuwatch.export.pages import Response

if TYPE_CHECKING:  # an agent without a web configuration does not load what it needs
    from gpuwatch.export.web import Web

FIRST_SECONDS = 2.0
"""What a request that comes before the first snapshot waits for it."""
LONGEST_HEAD = 16 * 1024
"""Bytes of a request's line and headers."""
MOST_HEADERS = 100
BODY_SECONDS = 10.0
"""What a client may take to send a body, where one is taken."""
_TEXT = "text/plain; charset=utf-8"
_NO_BODY = b"No request has a body here.\n"

_STATUS_HEADERS = {
    401: {"www-authenticate": 'Basic realm="gpuwatch"'},
    405: {"allow": "GET, HEAD"},
    408: {"connection": "close"},
    413: {"connection": "close"},
    431: {"connection": "close"},
}


class Site(Protocol):
    """What is served where."""

    def respond(self, path: str, *, accept: str, accept_encoding: str, unix: float) -> Response:
        """The response to a GET of `path` at `unix`."""


class Inbox(Protocol):
    """What takes what is posted."""

    longest_body: int
    """In bytes."""

    async def take(self, path: str, body: bytes, *, unix: float) -> Response:
        """The response to a POST to `path` at `unix`."""


class Application:
    """The ASGI side of the pages, and of an inbox where there is one."""

    def __init__(
        self, pages: Site, read_unix: Callable[[], float], web: Web | None, inbox: Inbox | None = None
    ) -> None:
        self._pages = pages
        self._inbox = inbox
        self._read_unix = read_unix
        self._auth = web.auth if web else None
        self._headers = web.headers if web else {}
        self.ready = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request of `scope`. Only an inbox ever gets a body."""
        try:
            response = await self._respond(scope, receive)
        except asyncio.CancelledError:  # the server ends: uvicorn would log a traceback for each that waits
            response = Response(503, _TEXT, b"The agent is stopping.\n")
        headers = {**_headers(response, self._read_unix()), **self._headers}
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items() if value]
        await send({"type": "http.response.start", "status": response.status, "headers": raw})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else response.body})

    async def _respond(self, scope: Any, receive: Any) -> Response:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        inbox = self._inbox if scope["method"] == "POST" else None
        if refusal := _too_much(scope, headers, longest_body=inbox.longest_body if inbox else 0):
            return refusal
        if self._auth is not None and (refusal := await self._auth.refusal(headers.get("authorization", ""))):
            return refusal
        if inbox is not None:
            return await self._take(inbox, scope["path"], receive)
        if scope["method"] not in ("GET", "HEAD"):
            return Response(405, _TEXT, b"Only GET and HEAD are served here.\n")
        if not self.ready.is_set() and scope["path"] != "/healthz":
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.ready.wait(), FIRST_SECONDS)
        response = self._pages.respond(
            scope["path"],
            accept=headers.get("accept", ""),
            accept_encoding=headers.get("accept-encoding", ""),
            unix=self._read_unix(),
        )
        tag = response.headers.get("etag")
        is_known = tag is not None and tag in headers.get("if-none-match", "")
        return Response(304, "", b"", response.headers) if is_known else response

    async def _take(self, inbox: Inbox, path: str, receive: Any) -> Response:
        body, is_whole = bytearray(), False
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while not is_whole:
                    piece = await receive()
                    body += piece.get("body", b"")
                    is_whole = not piece.get("more_body", False)
        except TimeoutError:
            return Response(408, _TEXT, b"The body took too long.\n")
        return await inbox.take(path, bytes(body), unix=self._read_unix())


def _too_much(scope: Any, headers: Mapping[str, str], *, longest_body: int) -> Response | None:
    """The refusal of a head that is too long, as it can be where it comes in one piece, and of too long a body."""
    if len(scope["headers"]) > MOST_HEADERS or _head_length(scope, scope["headers"]) > LONGEST_HEAD:
        return Response(431, _TEXT, b"The head of a request may have 16 KiB and 100 headers.\n")
    # The parser lets only digits through.
    if "transfer-encoding" in headers or int(headers.get("content-length", "0")) > longest_body:
        return Response(413, _TEXT, b"This is longer than what is taken here.\n" if longest_body else _NO_BODY)
    return None


def _head_length(scope: Any, headers: Sequence[tuple[bytes, bytes]]) -> int:
    target = len(scope["raw_path"]) + len(scope["query_string"])
    return target + sum(len(name) + len(value) + len(": \r\n") for name, value in headers)


def _headers(response: Response, unix: float) -> dict[str, str]:
    return {
        "content-type": response.content_type,
        "content-length": "" if response.status == 304 else str(len(response.body)),
        "date": formatdate(unix, usegmt=True),
        "vary": "accept, accept-encoding",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
        **response.headers,
        **_STATUS_HEADERS.get(response.status, {}),
    }
