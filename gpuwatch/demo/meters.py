"""The running totals of one simulated GPU, which begin at 0 with its driver: energy, use by process, activity, heat."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gpuwatch.demo.job import Job
from gpuwatch.model import Activity
from gpuwatch.units import PERCENTS

IDLE_WATTS, CONTEXT_WATTS, BUSY_WATTS = 71.0, 47.0, 552.0
"""Drawn always; more for each run that holds the card, and more while it is busy."""
_AMBIENT_CELSIUS, _CELSIUS_PER_WATT = 25.0, 0.058
_WARMING_SECONDS = 60.0
_ACTIVITY_SECONDS = 5.0
_TENSOR_PER_SM, _DRAM_PER_SM = 0.55, 0.46


class Meters:
    """The totals up to the newest sample, as the utilisation is: so they are of the same time."""

    def __init__(self, gpu: int, boot_unix: float) -> None:
        self.joules = 0.0
        self.busy_seconds = 0.0
        self.watts = IDLE_WATTS
        self.is_busy = False
        self.activity: Activity | None = None
        self._gpu = gpu
        self._boot_unix = boot_unix
        self._until: float | None = None
        self._warm_watts = IDLE_WATTS
        self._sm_seconds = 0.0
        self._activity_base: tuple[float, float, float] | None = None
        """When the activity was last told, and the busy and SM-active seconds of then."""

    @property
    def celsius(self) -> float:
        """The temperature: it follows the power within a minute or so."""
        return float(round(_AMBIENT_CELSIUS + _CELSIUS_PER_WATT * self._warm_watts))

    def advance(self, jobs: Sequence[Job], until: float) -> dict[int, float]:
        """Bring the totals up to `until` (boot time). SM use by pid since the last time, in percent-seconds."""
        start = until if self._until is None else self._until
        self._until = until
        use = {}
        if (seconds := until - start) > 0:
            span = start + self._boot_unix, until + self._boot_unix
            busy = {job.pid_on(self._gpu): (job, job.busy(self._gpu, *span)) for job in jobs}
            use = {pid: PERCENTS * used for pid, (_, used) in busy.items() if used > 0}
            self._sm_seconds += sum(job.sm_activity * used for job, used in busy.values())
            self._draw(sum(used for _, used in busy.values()), sum(job.held(*span) for job in jobs), seconds)
        self._tell_activity(until)
        return use

    def _draw(self, busy: float, held: float, seconds: float) -> None:
        joules = IDLE_WATTS * seconds + CONTEXT_WATTS * held + BUSY_WATTS * busy
        self.joules += joules
        self.busy_seconds += busy
        self.is_busy = busy > 0
        self.watts = joules / seconds
        self._warm_watts += (self.watts - self._warm_watts) * (1 - math.exp(-seconds / _WARMING_SECONDS))

    def _tell_activity(self, until: float) -> None:
        """What the GPU's own counters say of the time since they were last asked, every few seconds."""
        now = until, self.busy_seconds, self._sm_seconds
        if self._activity_base is None:
            self._activity_base = now
        elif (seconds := until - self._activity_base[0]) >= _ACTIVITY_SECONDS:
            began, busy, sm = self._activity_base
            graphics, sm = (self.busy_seconds - busy) / seconds, (self._sm_seconds - sm) / seconds
            self.activity = Activity(began, until, graphics, sm, sm * _TENSOR_PER_SM, sm * _DRAM_PER_SM)
            self._activity_base = now
