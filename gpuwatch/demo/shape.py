"""How a simulated run keeps its GPU busy over time. Pure, and exact: each shape knows its own integral.

Times are seconds of UTC. A shape never answers for the time outside of its run: the run cuts its stretch first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol


class Shape(Protocol):
    """Use of one GPU over time."""

    def busy(self, start: float, end: float) -> float:
        """Seconds busy between `start` and `end`."""
        ...


@dataclass(frozen=True, slots=True)
class Wave:
    """Use that swings around a mean: steps of a training, or a day of requests. `mean` and `swing` are ratios."""

    mean: float
    swing: float
    period_seconds: float
    highest_at: float = 0.0
    """One moment at which the use is highest."""

    def busy(self, start: float, end: float) -> float:
        """Seconds busy between `start` and `end`."""
        turn = 2 * math.pi / self.period_seconds
        # Within one period of zero: the sine of a number of ten digits would have lost some of them.
        first = (start - self.highest_at) % self.period_seconds
        last = first + (end - start)
        return self.mean * (end - start) + self.swing / turn * (math.sin(turn * last) - math.sin(turn * first))


@dataclass(frozen=True, slots=True)
class Bursts:
    """Use at `ratio` for the first `on_seconds` of each period, from `begins` on until `ends`, and none otherwise."""

    ratio: float
    on_seconds: float
    period_seconds: float
    begins: float
    ends: float = math.inf

    def busy(self, start: float, end: float) -> float:
        """Seconds busy between `start` and `end`."""
        return self.ratio * (self._on_until(end) - self._on_until(start))

    def _on_until(self, at: float) -> float:
        """Seconds in bursts from the beginning to `at`."""
        periods, rest = divmod(min(max(at, self.begins), self.ends) - self.begins, self.period_seconds)
        return periods * self.on_seconds + min(rest, self.on_seconds)
