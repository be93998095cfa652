"""The thresholds of judgement: they live here and nowhere else. Why each is as it is: docs/judgement.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gpuwatch.units import HOUR, MINUTE


@dataclass(frozen=True, slots=True)
class Limits:
    """What can be set for some runs. Ratios run from 0 to 1, durations are seconds of seen time."""

    idle_below: float = 0.05
    """Activity (busy by held) of a minute under which the run did not use the GPU in it; at the limit it did."""
    idle_after: float = 15 * MINUTE
    underused_below: float = 0.10
    """Mean of the last hour."""
    push_after: float | None = None
    """How long it may be idle before its owner is told; None for the usual time."""
    quiet: bool = False
    """Nobody is told of its idleness."""


UNDERUSED_OVER: Final = HOUR
STUCK_AFTER: Final = 10 * MINUTE
STUCK_FROM: Final = 0.99
"""Activity of every minute of a run that is stuck."""
STUCK_POWER: Final = 0.10
"""A device that computes draws at least this part of the way from its idle power to its power limit."""
IDLE_POWER: Final = 0.10
"""Of the power limit: the idle power of a device that was never seen unused."""
UNUSED_BELOW: Final = 0.01
"""Use in a minute under which a device shows its idle power."""
WARM_AFTER: Final = 2 * HOUR
WARM_BELOW: Final = 0.01
"""SM activity of every minute of a run that only keeps the GPU from looking idle."""
GRACE: Final = 2.0
"""By so much longer may a run be idle that has just started, or whose CPUs are busy."""
NEW_FOR: Final = 30 * MINUTE
"""So long a run has just started: data is loaded and code compiled then."""
BUSY_CORES: Final = 0.5
"""CPU cores, for each GPU that it holds, from which on a run is at work."""
