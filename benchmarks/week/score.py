"""How right it was to tell, and how much of what should have been told was."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Final, NamedTuple

from benchmarks.week.lives import Life, Waste
from benchmarks.week.told import Told

WORTH_GPU_HOURS: Final = 2.0
"""A stretch that costs so much is one that its person, asked afterwards, would have wanted to be told of."""


class Score(NamedTuple):
    """Of one way to tell."""

    told: int = 0
    """How often somebody was told."""
    right: int = 0
    """How often of something that nobody meant, while it went on."""
    worth: int = 0
    """Stretches that somebody should have been told of."""
    found: int = 0
    """Those of them of which somebody was."""
    delays: tuple[int, ...] = ()
    """Minutes from the beginning of such a stretch until somebody was told."""

    def plus(self, more: Score) -> Score:
        """Both together."""
        return Score(
            self.told + more.told,
            self.right + more.right,
            self.worth + more.worth,
            self.found + more.found,
            self.delays + more.delays,
        )

    @property
    def precision(self) -> float:
        """Of the times that somebody was told, the part that was right."""
        return self.right / self.told if self.told else 1.0

    @property
    def recall(self) -> float:
        """Of what somebody should have been told, the part that was."""
        return self.found / self.worth if self.worth else 1.0

    @property
    def delay(self) -> float:
        """Minutes, in the median."""
        return median(self.delays) if self.delays else 0.0


def score(lives: Sequence[Life], told: Sequence[Told]) -> Score:
    """Of runs that belong together, and when their owner was told."""
    wastes = [waste for life in lives for waste in life.wastes]
    worth = [waste for waste in wastes if waste.gpu_hours >= WORTH_GPU_HOURS]
    found = [delay for waste in worth if (delay := _delay(waste, told)) is not None]
    return Score(
        told=len(told),
        right=sum(any(waste.start <= one.start <= waste.end for waste in wastes) for one in told),
        worth=len(worth),
        found=len(found),
        delays=tuple(found),
    )


def _delay(waste: Waste, told: Iterable[Told]) -> int | None:
    """Minutes until somebody was told while it went on; none where that had begun before. None for never."""
    standing = [max(0, one.start - waste.start) for one in told if one.start <= waste.end and waste.start < one.end]
    return min(standing, default=None)
