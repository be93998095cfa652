"""From a request to a response: the bounds on its head and body, the password, and then a page. Knows no socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from gpuwatch.export.pages import Pages, Response

if TYPE_CHECKING:  # an agent without a web configuration does not load what it needs
    from gpuwatch.export.web import Web

FIRST_SECONDS = 2.0
"""What a request that comes before the first snapshot waits for it."""
LONGEST_HEAD = 16 * 1024
"""Bytes of a request's line and headers."""
MOST_HEADERS = 100
_TEXT = "text/plain; charset=utf-8"

_STATUS_HEADERS = {
    401: {"www-authenticate": 'Basic realm="gpuwatch"'},
    405: {"allow": "GET, HEAD"},
    413: {"connection": "close"},
    431: {"connection": "close"},
}


class Application:
    """The ASGI side of the pages."""

    def __init__(self, pages: Pages, read_unix: Callable[[], float], web: Web | None) -> None:
        self._pages = pages
        self._read_unix = read_unix
        self._auth = web.auth if web else None
        self._headers = web.headers if web else {}
        self.ready = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request of `scope`. A body is never received."""
        try:
            response = await self._respond(scope)
        except asyncio.CancelledError:  # the server ends: uvicorn would log a traceback for each that waits
            response = Response(503, _TEXT, b"The agent is stopping.\n")
        headers = {**_headers(response, self._read_unix()), **self._headers}
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items() if value]
        await send({"type": "http.response.start", "status": response.status, "headers": raw})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else response.body})

    async def _respond(self, scope: Any) -> Response:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if refusal := _too_much(scope, headers):
            return refusal
        if self._auth is not None and (refusal := await self._auth.refusal(headers.get("authorization", ""))):
            return refusal
        if scope["method"] not in ("GET", "HEAD"):
            return Response(405, _TEXT, b"Only GET and HEAD are served here.\n")
        if not self.ready.is_set() and scope["path"] != "/healthz":
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.ready.wait(), FIRST_SECONDS)
        return self._pages.respond(
            scope["path"],
            accept=headers.get("accept", ""),
            accept_encoding=headers.get("accept-encoding", ""),
            unix=self._read_unix(),
        )


def _too_much(scope: Any, headers: Mapping[str, str]) -> Response | None:
    """The refusal of a head that is too long, as it can be where it comes in one piece, and of any body."""
    if len(scope["headers"]) > MOST_HEADERS or _head_length(scope, scope["headers"]) > LONGEST_HEAD:
        return Response(431, _TEXT, b"The head of a request may have 16 KiB and 100 headers.\n")
    if "transfer-encoding" in headers or headers.get("content-length", "0") != "0":
        return Response(413, _TEXT, b"No request has a body here.\n")
    return None


def _head_length(scope: Any, headers: Sequence[tuple[bytes, bytes]]) -> int:
    target = len(scope["raw_path"]) + len(scope["query_string"])
    return target + sum(len(name) + len(value) + len(": \r\n") for name, value in headers)


def _headers(response: Response, unix: float) -> dict[str, str]:
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
    return headers | _STATUS_HEADERS.get(response.status, {})
