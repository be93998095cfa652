"""One GPU, read once: what the sampling loop asks of a card, in which order, with which fallback."""

from __future__ import annotations

from collections.abc import Mapping

from gpuwatch.model import Activity, CountKey, GpuCondition, GpuReading, Piece
from gpuwatch.sense.clocks import Clock
from gpuwatch.sense.nvml import Card
from gpuwatch.sense.track import LONGEST_PERIOD, DriverClock, newest_plausible, process_use, track

CONDITION_SECONDS = 5.0
"""How often memory, temperature and clocks are read, and how long a stretch of activity is."""
COUNTS_SECONDS = 30.0
"""How often the driver's own totals are read: it loses nothing in between."""
_SHORTEST_ACTIVITY = 0.1
"""Seconds that two samples of the activity must lie apart."""


class GpuSensor:
    """Reads one card. Between two readings it holds the mapping of the driver's clock, the use and the condition."""

    def __init__(self, card: Card, clock: Clock) -> None:
        self.card = card
        self._clock = clock
        self._driver_clock: DriverClock | None = None
        self._use: dict[int, float] = {}
        self._use_until_us = 0
        self._condition = GpuCondition()
        self._condition_due = 0.0
        self._counts: Mapping[CountKey, float] = {}
        self._counts_due = 0.0
        self._activity: Activity | None = None
        self._activity_since: float | None = None

    def glance(self) -> None:
        """Take note of the processes' use so far.

        The driver rounds it to a percent of the time since the last look: on a shared GPU, more looks are closer to the
        truth. Raises GpuUnavailable or DriverUnavailable.
        """
        self._add_use(self._follow_driver_clock())

    def read(self, since: float) -> GpuReading:
        """The card now, and its utilisation since `since` (boot time).

        While the driver has no newer utilisation the use of processes is kept for the reading that has.

        Raises GpuUnavailable or DriverUnavailable. A reading that the card lacks is None in the result.
        """
        card = self.card
        clock, now, pieces = self._read_ring(since)
        if not pieces and now - since > LONGEST_PERIOD:
            # The ring stands still, or its clock is not what it was taken for.
            self._driver_clock, self._use_until_us = None, 0
            clock, now, pieces = self._read_ring(since)
        if not pieces and (pieces is None or now - since > LONGEST_PERIOD):
            rate = self._read_rate(now)
            pieces = None if rate is None else (Piece(now, rate),)
        since_us = clock.to_driver_us(since)
        if since_us > self._use_until_us:
            self._use, self._use_until_us = {}, since_us  # what was used before is of a time that is not asked for
        self._add_use(clock)
        if now >= self._condition_due:
            self._condition_due = now + CONDITION_SECONDS
            self._measure_activity(now)
            if now >= self._counts_due:
                self._counts_due = now + COUNTS_SECONDS
                self._counts = card.read_counts()
            self._condition = _read_condition(card)._replace(activity=self._activity, counts=self._counts)
        elif self._condition.activity is not self._activity:
            self._condition = self._condition._replace(activity=self._activity)
        reading = GpuReading(
            info=card.info,
            read_at=now,
            pieces=pieces or (),
            sm_use=dict(self._use),
            processes=card.read_processes(),
            energy_joules=card.read_energy_joules(),
            power_watts=card.read_power_watts(),
            condition=self._condition,
        )
        if reading.pieces:
            self._use = {}
        return reading

    def _read_rate(self, now: float) -> float | None:
        """Utilisation where there is no ring: the driver's rate, or of a MIG instance what its own counters say."""
        if self.card.info.mig is None:
            return self.card.read_rate()
        self._measure_activity(now)
        return self._activity.graphics if self._activity else None

    def _measure_activity(self, now: float) -> None:
        """Have the GPU's own counters tell of the time since they last did. Two at once have nothing to tell."""
        began = self._activity_since
        if self.card.gpm is None or (began is not None and now - began < _SHORTEST_ACTIVITY):
            return
        ratios = self.card.gpm.measure()
        self._activity_since = now
        self._activity = Activity(began, now, *ratios) if began is not None and ratios else None

    def _read_ring(self, since: float) -> tuple[DriverClock, float, tuple[Piece, ...] | None]:
        """The driver's clock, the time of the reading, and the utilisation since then; None where there is no ring."""
        clock = self._follow_driver_clock()
        ring = self.card.read_ring(clock.to_driver_us(since))
        now = self._clock.boottime()
        return clock, now, None if ring is None else track(ring, clock, since=since, now=now)

    def _add_use(self, clock: DriverClock) -> None:
        now = self._clock.boottime()
        since_us = min(self._use_until_us, clock.to_driver_us(now))  # a clock set back must not hide what comes
        use = process_use(self.card.read_process_samples(since_us), clock, since_us=since_us, now=now)
        self._use_until_us = use.until_us
        for pid, percent_seconds in use.by_pid.items():
            self._use[pid] = self._use.get(pid, 0.0) + percent_seconds

    def _follow_driver_clock(self) -> DriverClock:
        unix, boottime = self._clock.unix(), self._clock.boottime()
        if self._driver_clock is None:
            newest = newest_plausible(self.card.read_ring(0) or [])
            self._driver_clock = DriverClock(newest, unix=unix, boottime=boottime)
        self._driver_clock.follow(unix=unix, boottime=boottime)
        return self._driver_clock


def _read_condition(card: Card) -> GpuCondition:
    used, total = card.read_memory() or (None, None)
    return GpuCondition(
        memory_used_bytes=used,
        memory_total_bytes=total,
        power_limit_watts=card.read_power_limit_watts(),
        temperature_celsius=card.read_temperature_celsius(),
        sm_clock_hertz=card.read_sm_clock_hertz(),
    )
