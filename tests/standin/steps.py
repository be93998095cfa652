"""Step functions of time and their integrals: the arithmetic under a trace."""

import itertools
from bisect import bisect_right
from collections.abc import Iterable


class Steps:
    """A step function of time that is the sum of rectangles."""

    def __init__(self, rectangles: Iterable[tuple[float, float, float]]) -> None:
        """Sum up `(start, end, height)`."""
        edges = sorted(edge for start, end, height in rectangles for edge in ((start, height), (end, -height)))
        self._times = [time for time, _ in edges]
        self._heights = list(itertools.accumulate(change for _, change in edges))
        stretches = zip(self._heights, itertools.pairwise(self._times), strict=False)
        areas = (height * (after - before) for height, (before, after) in stretches)
        self._areas = list(itertools.accumulate(areas, initial=0.0))

    @property
    def highest(self) -> float:
        """Its largest value."""
        return max(self._heights, default=0.0)

    def between(self, start: float, end: float) -> float:
        """Its integral from `start` to `end`."""
        return self._until(end) - self._until(start)

    def _until(self, time: float) -> float:
        last = bisect_right(self._times, time) - 1
        return self._areas[last] + self._heights[last] * (time - self._times[last]) if last >= 0 else 0.0
