"""What the receiver serves: how it is, how many it told, and where Alertmanager posts. Knows no socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from gpuwatch.errors import DiskRefused
from gpuwatch.export.exposition import Exposition
from gpuwatch.export.family import counter
from gpuwatch.export.pages import Response
from gpuwatch.notify.firing import Firing
from gpuwatch.notify.webhook import LONGEST_BODY, parse_webhook

HOOK: Final = "/alertmanager"


class Pages:
    """Used from one thread."""

    longest_body = LONGEST_BODY

    def __init__(
        self,
        node: str,
        firing: Firing,
        *,
        read_totals: Callable[[], Mapping[str, int] | None],
        read_problem: Callable[[], str],
        wake: Callable[[float], None],
    ) -> None:
        self._node = node
        self._firing = firing
        self._read_totals = read_totals
        self._read_problem = read_problem
        self._wake = wake
        self._exposition = Exposition()

    def respond(self, path: str, *, accept: str, accept_encoding: str, unix: float) -> Response:
        """The response to a GET."""
        if path == "/healthz":
            problem = self._read_problem()
            return _text(503, f"nobody is told now: {problem}\n") if problem else _text(200, "ok\n")
        if path == "/metrics":
            return self._metrics(open_metrics="application/openmetrics-text" in accept)
        return _text(404, f"Not found. There is: /metrics, /healthz, and {HOOK} for Alertmanager to post to\n")

    async def take(self, path: str, body: bytes, *, unix: float) -> Response:
        """The response to a POST. 200 means that what was said is on the disk; else Alertmanager says it again."""
        if path != HOOK:
            return _text(404, f"Not found. Alertmanager posts to {HOOK}\n")
        try:
            words = parse_webhook(body)
            await asyncio.to_thread(self._firing.hear, words, unix=unix)
        except DiskRefused as error:
            return _text(503, f"{error}\n")
        except ValueError as error:
            return _text(400, f"{error}\n")
        self._wake(unix)
        return _text(200, "noted\n")

    def _metrics(self, *, open_metrics: bool) -> Response:
        totals = self._read_totals() or {}
        told = counter(
            "gpuwatch_notices",
            "Notices to owners of runs, by what became of them.",
            [({"node": self._node, "outcome": outcome}, count) for outcome, count in totals.items()],
        )
        body, content_type = self._exposition.render_families([told], open_metrics=open_metrics)
        return Response(200, content_type, body)


def _text(status: int, text: str) -> Response:
    return Response(status, "text/plain; charset=utf-8", text.encode())
