"""Which way to a window's figures: the recorded series where they are whole, else the counters themselves."""

from __future__ import annotations

from typing import Final, NamedTuple

from gpuwatch.model.history import Window
from gpuwatch.report import recorded
from gpuwatch.report.prometheus.client import Client
from gpuwatch.report.prometheus.promql import after
from gpuwatch.units import MINUTE

ENOUGH: Final = 0.99
_EDGE_MINUTES: Final = 2
"""What may lack at the edges of a window: the newest minute is not there yet."""
_READING_SECONDS: Final = 5 * MINUTE


class Coverage(NamedTuple):
    """How much of a window is recorded, of the time since the first reading."""

    share: float
    recorded: bool
    """The recorded series are to be read."""
    alone: bool = True
    """One server records for the whole fleet."""

    @property
    def words(self) -> str:
        """Of which kind the figures are."""
        if self.recorded:
            return "recorded series" + (
                "" if self.share >= ENOUGH else f", which cover {_percent(self.share)} of the window"
            )
        if self.share == 0:
            return "raw series: no recorded ones (see gpuwatch rules)"
        return f"raw series: recorded ones cover only {_percent(self.share)} of the window"


def find_coverage(client: Client, window: Window) -> Coverage:
    """Of a window that begins no earlier than the record, and does not end after now."""
    minutes = window.seconds / MINUTE
    beats = client.query(
        f"count_over_time({recorded.HEARTBEAT}[{after(window.seconds)}])",
        at=window.end,
        purpose="how many minutes are recorded",
    )
    most = max((beat.value for beat in beats), default=0.0)
    if most >= min(ENOUGH * minutes, minutes - _EDGE_MINUTES) and most > 0:
        return Coverage(1.0, recorded=True, alone=len(beats) == 1)
    share = most / minutes
    keeps_longer = share > 0 and share > _readings(client, window) / window.seconds + 1 - ENOUGH
    return Coverage(share, recorded=keeps_longer, alone=len(beats) == 1)


def _readings(client: Client, window: Window) -> float:
    """Of how many seconds there are readings: they may be kept for less long than what was recorded of them."""
    found = client.query(
        f"count_over_time((count(gpuwatch_build_info))[{after(window.seconds)}:{_READING_SECONDS}s])",
        at=window.end,
        purpose="of how much of the window there are readings",
    )
    return found[0].value * _READING_SECONDS if found else 0.0


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
