"""One simulated GPU: what its driver would tell of the runs that the script has on it.

Nothing is rounded or left out, so what is accounted by these readings can be checked against the script.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from gpuwatch.demo.cast import MEMORY_BYTES
from gpuwatch.demo.job import Job
from gpuwatch.demo.meters import Meters
from gpuwatch.model import CountKey, GpuCondition, GpuInfo, GpuReading, Piece
from gpuwatch.units import MEGA

SAMPLE_SECONDS = 1 / 6
"""As often as the drivers of these cards sample."""
_RING_SAMPLES = 120
"""What came before them is told as one sample."""
_LIMIT_WATTS = 700.0
_RESERVED_BYTES = 600 << 20
_LOW_CLOCK_HERTZ, _HIGH_CLOCK_HERTZ = 345.0 * MEGA, 1980.0 * MEGA
_THROTTLED_SHARE = 0.004
"""Of busy time: at the power limit."""


class SimulatedCard:
    """Reads one GPU. `sample_seconds` is how often the driver samples; None is from one reading to the next."""

    def __init__(self, info: GpuInfo, *, boot_unix: float, sample_seconds: float | None) -> None:
        self.info = info
        self._boot_unix = boot_unix
        self._sample_seconds = sample_seconds
        self._meters = Meters(info.index, boot_unix)

    def read(self, jobs: Sequence[Job], since: float, now: float) -> GpuReading:
        """The card at `now`, and its utilisation from `since` (both boot time).

        `jobs` are those that held it at any time since then.
        """
        unix, gpu = now + self._boot_unix, self.info.index
        pieces = self._pieces(jobs, since, now)
        sm_use = self._meters.advance(jobs, pieces[-1].end if pieces else since)
        processes = {job.pid_on(gpu): job.memory_bytes for job in jobs if job.holds(unix)}
        return GpuReading(
            info=self.info,
            read_at=now,
            pieces=pieces,
            sm_use=sm_use,
            processes=dict(processes),
            energy_joules=self._meters.joules,
            power_watts=self._meters.watts,
            condition=self._condition(sum(processes.values())),
        )

    def _pieces(self, jobs: Sequence[Job], since: float, now: float) -> tuple[Piece, ...]:
        """Contiguous samples since then; what is older than the ring is one."""
        ends = [now]
        if self._sample_seconds is not None:
            newest = math.floor((now + self._boot_unix) / self._sample_seconds)
            numbers = range(newest - _RING_SAMPLES + 1, newest + 1)
            ends = [number * self._sample_seconds - self._boot_unix for number in numbers]
        pieces, start = [], since
        for end in ends:
            if start < end <= now:
                busy = sum(job.busy(self.info.index, start + self._boot_unix, end + self._boot_unix) for job in jobs)
                pieces.append(Piece(end, busy / (end - start)))
                start = end
        return tuple(pieces)

    def _condition(self, memory_bytes: int) -> GpuCondition:
        meters = self._meters
        return GpuCondition(
            memory_used_bytes=_RESERVED_BYTES + memory_bytes,
            memory_total_bytes=MEMORY_BYTES,
            power_limit_watts=_LIMIT_WATTS,
            temperature_celsius=meters.celsius,
            sm_clock_hertz=_HIGH_CLOCK_HERTZ if meters.is_busy else _LOW_CLOCK_HERTZ,
            activity=meters.activity,
            counts={
                CountKey("throttle", "power_cap"): meters.busy_seconds * _THROTTLED_SHARE,
                CountKey("ecc", "corrected"): float(self.info.index % 3),
            },
        )
