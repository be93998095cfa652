"""From the driver's samples to utilisation over time. Pure: what is garbage, what covers what, on which clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gpuwatch.model import Piece
from gpuwatch.sense.nvml import ProcessSample, Sample
from gpuwatch.units import MICROS, PERCENTS

LONGEST_PERIOD = 2.0
"""Seconds. The driver samples every 1/6 s to 1 s; where nothing newer came for this long, it is not sampling."""
_AHEAD = 0.5
"""Seconds that a sample may lie in the future: the clocks are read one after the other."""
_STEPPED = 0.2
"""Seconds between wall and boot clock that are a set clock, not the slew that both share."""
_BULK = 60.0
"""Seconds around the middle of the ring in which stamps are believed."""


class DriverClock:
    """Maps the driver's microsecond stamps onto CLOCK_BOOTTIME.

    Drivers stamp with the wall clock. The offset is taken once and kept, so that reading two clocks adds no jitter, and
    taken anew only when somebody set the wall clock. A driver with a clock of its own, whose newest stamp is not now,
    is mapped by that stamp; where that turns out wrong its samples fall out of the window, and a new mapping is due.
    """

    def __init__(self, newest_us: int | None, *, unix: float, boottime: float) -> None:
        newest = None if newest_us is None else newest_us / MICROS
        self._of_wall = newest is None or abs(newest - unix) <= LONGEST_PERIOD
        self._offset = unix - boottime if newest is None or self._of_wall else newest - boottime

    def follow(self, *, unix: float, boottime: float) -> None:
        """Take note of the wall clock as it is now."""
        if self._of_wall and abs(unix - boottime - self._offset) > _STEPPED:
            self._offset = unix - boottime

    def to_boottime(self, driver_us: int) -> float:
        """Seconds of CLOCK_BOOTTIME at a stamp of the driver."""
        return driver_us / MICROS - self._offset

    def to_driver_us(self, boottime: float) -> int:
        """The driver's stamp at a time of CLOCK_BOOTTIME, in microseconds, never negative."""
        return max(0, int((boottime + self._offset) * MICROS))


def newest_plausible(samples: Sequence[Sample]) -> int | None:
    """The newest stamp that lies with the bulk of the ring, in microseconds: garbage stamps are few and far off."""
    stamps = sorted(driver_us for driver_us, percent in samples if percent <= 100)
    if not stamps:
        return None
    middle = stamps[len(stamps) // 2]
    return max(stamp for stamp in stamps if abs(stamp - middle) / MICROS <= _BULK)


def track(samples: Iterable[Sample], clock: DriverClock, *, since: float, now: float) -> tuple[Piece, ...]:
    """Utilisation from `since` to the newest sample, garbage left out; empty where there is nothing newer.

    A sample covers the time since the one before it. Where the ring did not reach back to `since`, the missing time
    takes the mean of what is there.
    """
    pieces = sorted(
        {
            Piece(min(end, now), percent / PERCENTS)
            for driver_us, percent in samples
            if 0 <= percent <= 100 and since < (end := clock.to_boottime(driver_us)) <= now + _AHEAD
        }
    )
    if not pieces or pieces[0].end - since <= LONGEST_PERIOD:
        return tuple(pieces)
    mean = sum(piece.ratio for piece in pieces) / len(pieces)
    spacing = (pieces[-1].end - pieces[0].end) / (len(pieces) - 1) if len(pieces) > 1 else LONGEST_PERIOD / 2
    return (Piece(pieces[0].end - spacing, mean), *pieces)


class ProcessUse(NamedTuple):
    """SM use by pid in percent-seconds, up to the driver's stamp `until_us`."""

    by_pid: dict[int, float]
    until_us: int


def process_use(samples: Iterable[ProcessSample], clock: DriverClock, *, since_us: int, now: float) -> ProcessUse:
    """What processes used from `since_us` to the newest sample, garbage left out.

    The driver gives each process's mean since then, in whole percent; the time is by the driver's own stamps.
    Impossible percentages and stamps outside of the window are garbage. A use of 0 % is one that was rounded.
    """
    latest_us = clock.to_driver_us(now + _AHEAD)
    sound = [(pid, us, percent) for pid, us, percent in samples if percent <= 100 and since_us < us <= latest_us]
    until_us = max([us for _, us, _ in sound], default=since_us)
    by_pid: dict[int, float] = {}
    for pid, _, percent in sound:
        by_pid[pid] = by_pid.get(pid, 0.0) + percent * (until_us - since_us) / MICROS
    return ProcessUse(by_pid, until_us)
