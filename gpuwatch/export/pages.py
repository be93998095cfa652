"""What is served where: from a request's path to a response, out of the last snapshot. No sampling, no I/O."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from gpuwatch.export.exposition import Exposition
from gpuwatch.export.status import status_document
from gpuwatch.model import Snapshot

STALE_CYCLES = 5
"""Readings older than this many intervals, and than 10 s, are stale."""
_STALE_SECONDS = 10.0
_PATHS = ("/", "/metrics", "/api/v1/status", "/api/v1/page")


_LIVE = ("/", "/api/v1/page")
"""The live page, and what brings it up to date: they say themselves where they are stale."""


class Response(NamedTuple):
    """Status, content type and body, and headers that only some have."""

    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = MappingProxyType({})


class _Form(NamedTuple):
    """What a snapshot is rendered as."""

    path: str
    open_metrics: bool
    is_stale: bool
    packed: bool


class Pages:
    """Renders each page at most once per snapshot and form. Used from one thread."""

    def __init__(self, current: Callable[[], Snapshot | None], *, names: str = "all") -> None:
        """`names` says whose names the live page shows: `all`, only those of their teams (`team`), or `none`."""
        self._current = current
        self._names = names
        self._exposition = Exposition()
        self._of: Snapshot | None = None
        self._rendered: dict[_Form, Response] = {}

    def respond(self, path: str, *, accept: str, accept_encoding: str, unix: float) -> Response:
        """The response to a GET of `path` at `unix`."""
        snapshot = self._current()
        if path == "/healthz":
            return _health(snapshot, unix)
        if path not in _PATHS:
            return _text(404, f"Not found. There is: {', '.join([*_PATHS, '/healthz'])}\n")
        if snapshot is None:
            return _text(503, "No reading yet: the agent has just started. Try again in a second.\n")
        if snapshot is not self._of:
            self._of, self._rendered = snapshot, {}
        form = _Form(
            path,
            open_metrics=path == "/metrics" and "application/openmetrics-text" in accept,
            is_stale=path in _LIVE and _is_stale(snapshot, unix),
            packed="gzip" in accept_encoding,
        )
        tag = f'W/"{snapshot.version}-{snapshot.taken_unix!r}-{form.open_metrics:d}{form.is_stale:d}"'
        response = self._render(snapshot, form)
        return response._replace(headers={"etag": tag, "cache-control": "no-cache", **response.headers})

    def _render(self, snapshot: Snapshot, form: _Form) -> Response:
        if form not in self._rendered:
            if form.packed:
                plain = self._render(snapshot, form._replace(packed=False))
                # Level 1 is fifteen times cheaper than the default, for a body a fifth larger.
                body = gzip.compress(plain.body, compresslevel=1, mtime=0)
                response = plain._replace(body=body, headers={**plain.headers, "content-encoding": "gzip"})
            elif form.path == "/metrics":
                body, content_type = self._exposition.render(snapshot, open_metrics=form.open_metrics)
                response = Response(200, content_type, body)
            elif form.path == "/api/v1/status":
                response = Response(200, "application/json", json.dumps(status_document(snapshot)).encode())
            else:
                response = _page(snapshot, form, self._names)
            self._rendered[form] = response
        return self._rendered[form]


def _page(snapshot: Snapshot, form: _Form, names: str) -> Response:
    from gpuwatch.export.page import page  # noqa: PLC0415  an agent that nobody looks at does not load it

    if form.path == "/":
        body = page.render_html(snapshot, names=names, is_stale=form.is_stale)
        headers = {"content-security-policy": page.content_security_policy()}
        return Response(200, "text/html; charset=utf-8", body, headers)
    return Response(200, "application/json", page.render_json(snapshot, names=names, is_stale=form.is_stale))


def _is_stale(snapshot: Snapshot, unix: float) -> bool:
    age = abs(unix - snapshot.taken_unix)  # a clock set back does not make a reading new
    return age > max(_STALE_SECONDS, STALE_CYCLES * snapshot.interval)


def _health(snapshot: Snapshot | None, unix: float) -> Response:
    if snapshot is None:
        return _text(503, "starting: no reading yet\n")
    age = abs(unix - snapshot.taken_unix)
    if _is_stale(snapshot, unix):
        return _text(503, f"stale: the last reading is {age:.0f} s old\n")
    simulated = ", and SIMULATED" if snapshot.simulated else ""
    return _text(200, f"ok: the last reading is {age:.1f} s old{simulated}\n")


def _text(status: int, text: str) -> Response:
    return Response(status, "text/plain; charset=utf-8", text.encode())
