"""How many GPUs there were, and for how long: what a window is held against. Each stretch is looked at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Final

from gpuwatch.model.history import Filters, Window
from gpuwatch.report.prometheus.capacity import CARRIED_SECONDS, Steps, Stock, steps
from gpuwatch.report.prometheus.client import Client, Sample, Track
from gpuwatch.report.prometheus.recorded_way import Recorded
from gpuwatch.report.prometheus.ways import Way
from gpuwatch.units import HOUR

_COARSE: Final = 6 * HOUR
"""How closely the days before a window are looked at."""


class Stocks:
    """The GPUs of a fleet, of which there is a record since `since_unix`."""

    def __init__(self, client: Client, since_unix: float) -> None:
        self._client = client
        self._since_unix = since_unix
        self._known: dict[str, list[Stock]] = defaultdict(list)
        """By what was asked. The days and hours of a window are parts of it."""

    def seconds(self, way: Way, window: Window, labels: Collection[str], where: Filters) -> list[Sample]:
        """Seconds of GPUs that were there in the window, by node and the labels."""
        window = self._measured(way, window, labels, where)
        wanted = sorted({"node", *labels})
        known = self._known[way.capacity(wanted, where, seconds=HOUR)]
        stock = next((stock for stock in known if _is_in(window, stock.grid.window)), None)
        if stock is None:
            stock = self._look(way, window, wanted, where)
            known.append(stock)
        seconds = stock.seconds(window)
        return [Sample(dict(zip(wanted, division, strict=True)), value) for division, value in seconds.items()]

    def _look(self, way: Way, window: Window, labels: Collection[str], where: Filters) -> Stock:
        grid, before = steps(window), Steps(Window(window.start - CARRIED_SECONDS, window.start), _COARSE)

        def look(at: Steps) -> list[Track]:
            return self._client.query_range(
                way.capacity(labels, where, seconds=at.seconds),
                start=at.first,
                end=at.window.end,
                step=at.seconds,
                purpose="how many GPUs there were",
            )

        return Stock(look(before) if self._since_unix < window.start else [], look(grid), grid, labels)

    def _measured(self, way: Way, window: Window, labels: Collection[str], where: Filters) -> Window:
        """The stretch that the pieces recorded in a window are of: each ends when it was recorded.

        Where a window is of whole pieces, they are as long as it is, whenever they end.
        """
        if isinstance(way, Recorded):
            expression, piece = way.newest(labels, where)
            if window.seconds % piece:
                newest = self._client.query(expression, at=window.end, purpose="when the last piece was recorded")
                if newest and newest[0].value > window.start:
                    end = newest[0].value
                    window = Window(end + (window.start - end) // piece * piece, end)
        return Window(max(window.start, self._since_unix), window.end)


def _is_in(part: Window, whole: Window) -> bool:
    return whole.start <= part.start and part.end <= whole.end
