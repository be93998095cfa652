"""The one door to scripted machines: their cards, what happens on them, its truth, and days that are made up."""

from __future__ import annotations

from .cards import Gpu, MigInstance
from .days import random_trace, shared_fraction, steady_trace
from .script import ROUNDING, Share, States, Trace
from .spans import REASONS, Burst, Hold, Reason, Throttle

__all__ = [
    "REASONS",
    "ROUNDING",
    "Burst",
    "Gpu",
    "Hold",
    "MigInstance",
    "Reason",
    "Share",
    "States",
    "Throttle",
    "Trace",
    "random_trace",
    "shared_fraction",
    "steady_trace",
]
