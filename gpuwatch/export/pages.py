"""What is served where: from a request's path to a response, out of the last snapshot. No sampling, no I/O."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from html import escape
from typing import NamedTuple

from gpuwatch.export.exposition import Exposition
from gpuwatch.export.status import status_document
from gpuwatch.model import DeviceView, Snapshot

STALE_CYCLES = 5
"""Readings older than this many intervals, and than 10 s, are stale."""
_STALE_SECONDS = 10.0
_PATHS = ("/", "/metrics", "/api/v1/status")
_BANNER = '<p role="note"><strong>SIMULATED</strong>: no GPU, no person and no run on this page is real.</p>'


class Response(NamedTuple):
    """Status, content type and body."""

    status: int
    content_type: str
    body: bytes
    encoding: str = ""


class Pages:
    """Renders each page at most once per snapshot and form. Used from one thread."""

    def __init__(self, current: Callable[[], Snapshot | None]) -> None:
        self._current = current
        self._exposition = Exposition()
        self._of: Snapshot | None = None
        self._rendered: dict[tuple[str, bool, bool], Response] = {}

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
        open_metrics = path == "/metrics" and "application/openmetrics-text" in accept
        return self._render(snapshot, path, open_metrics=open_metrics, packed="gzip" in accept_encoding)

    def _render(self, snapshot: Snapshot, path: str, *, open_metrics: bool, packed: bool) -> Response:
        key = (path, open_metrics, packed)
        if key not in self._rendered:
            if packed:
                plain = self._render(snapshot, path, open_metrics=open_metrics, packed=False)
                # Level 1 is fifteen times cheaper than the default, for a body a fifth larger.
                response = plain._replace(body=gzip.compress(plain.body, compresslevel=1, mtime=0), encoding="gzip")
            elif path == "/metrics":
                body, content_type = self._exposition.render(snapshot, open_metrics=open_metrics)
                response = Response(200, content_type, body)
            else:
                response = _status(snapshot) if path == "/api/v1/status" else _index(snapshot)
            self._rendered[key] = response
        return self._rendered[key]


def _status(snapshot: Snapshot) -> Response:
    return Response(200, "application/json", json.dumps(status_document(snapshot)).encode())


def _index(snapshot: Snapshot) -> Response:
    node = escape(snapshot.node)
    rows = "".join(
        f"<tr><td>{device.info.name}<td>{escape(device.info.model)}<td>{_holders(snapshot, device)}"
        f"<td>{_percent(device.reading.utilization_ratio) if device.reading else escape(device.problem)}"
        for device in snapshot.devices
    )
    table = f"<table><tr><th>GPU<th>Model<th>Who<th>Use{rows}</table>" if rows else f"<p>{_no_gpus(snapshot)}</p>"
    if snapshot.strangers_reason and any(device.strangers for device in snapshot.devices):
        table += f"<p>Processes cannot be read: {escape(snapshot.strangers_reason)}.</p>"
    mark, banner = ("SIMULATED: ", _BANNER) if snapshot.simulated else ("", "")
    html = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{mark}gpuwatch on {node}</title>'
        '<meta name="viewport" content="width=device-width"><style>:root{color-scheme:light dark}'
        "body{font:16px/1.5 system-ui;margin:2rem auto;max-width:60rem;padding:0 1rem}"
        "td,th{text-align:left;padding:.2rem 1.5rem .2rem 0;vertical-align:top}"
        "[role=note]{background:#8a3d00;color:#fff;padding:.5rem 1rem}</style>"
        f"{banner}<h1>gpuwatch on {node}</h1>{table}"
        '<p><a href="/metrics">/metrics</a> for Prometheus, <a href="/api/v1/status">/api/v1/status</a> as JSON, '
        f'<a href="/healthz">/healthz</a>. gpuwatch {escape(snapshot.version)}.</p></html>'
    )
    return Response(200, "text/html; charset=utf-8", html.encode())


def _holders(snapshot: Snapshot, device: DeviceView) -> str:
    known = "<br>".join(
        f"{escape(owner.user)}: {escape(owner.run)}" for uuid, owner in snapshot.holding if uuid == device.info.uuid
    )
    if device.drain is not None:
        nobody = f"unavailable: {escape(device.drain.reason)}"
    else:
        nobody = "free" if device.reading and device.strangers == 0 else ""
    strangers = f"{device.strangers} that cannot be read" if device.strangers else ""
    return "<br>".join(filter(None, (known or nobody, strangers)))


def _percent(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.0%}"


def _no_gpus(snapshot: Snapshot) -> str:
    return escape((snapshot.sensors["gpu"].problem if "gpu" in snapshot.sensors else "") or "No GPU was found.")


def _health(snapshot: Snapshot | None, unix: float) -> Response:
    if snapshot is None:
        return _text(503, "starting: no reading yet\n")
    age = abs(unix - snapshot.taken_unix)  # a clock set back does not make a reading new
    if age > max(_STALE_SECONDS, STALE_CYCLES * snapshot.interval):
        return _text(503, f"stale: the last reading is {age:.0f} s old\n")
    simulated = ", and SIMULATED" if snapshot.simulated else ""
    return _text(200, f"ok: the last reading is {age:.1f} s old{simulated}\n")


def _text(status: int, text: str) -> Response:
    return Response(status, "text/plain; charset=utf-8", text.encode())
