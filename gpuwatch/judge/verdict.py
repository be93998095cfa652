"""What is thought of a run on a device, from its minutes and its circumstances. Pure: time is an argument.

A run that would be ok is ok. Else a snooze stands over all; what has no process is reserved, before it is idle.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from gpuwatch.judge.clocks import Clocks, Stretch
from gpuwatch.judge.limits import (
    BUSY_CORES,
    GRACE,
    NEW_FOR,
    STUCK_AFTER,
    UNDERUSED_OVER,
    WARM_AFTER,
    WARM_BELOW,
    Limits,
)
from gpuwatch.model.judgement import IDLE, KEPT_WARM, OK, RESERVED, SNOOZED, STUCK, UNDERUSED, Judgement, Snooze
from gpuwatch.units import HOUR, MINUTE

_UNSEEN: Final = "not seen for a minute yet"


class Circumstances(NamedTuple):
    """What else there is to know of a run at the moment of judging."""

    now_unix: float
    started_unix: float
    """Of the run; 0 where that is not known, of what is no single run: then it has not just started."""
    cores_per_gpu: float | None = None
    """Mean CPU cores of its process trees in the last minutes, by the GPUs that it holds; None where it is unknown."""
    reserved: bool = False
    """It has the device from its scheduler, and no process on it."""
    snooze: Snooze | None = None


class _Finding(NamedTuple):
    verdict: str
    stretch: Stretch
    """What it rests on."""
    reason: str


def judge(clocks: Clocks | None, limits: Limits, about: Circumstances) -> Judgement:
    """The verdict on a run on one device. `clocks` are those of `Minutes.of`: before its first minute is over it is ok.

    The reason may hold the words of who snoozed the run: they are hostile.
    """
    if clocks is None:
        return Judgement(OK, about.now_unix, 0.0, 0.0, None, None, 0.0, _UNSEEN)
    hour = clocks.hour.total() or Stretch(about.now_unix)
    verdict, stretch, reason = (
        _idle(clocks, limits, about) or _stuck(clocks) or _warm(clocks) or _underused(hour, limits) or _ok(hour)
    )
    snooze = about.snooze
    if verdict != OK and snooze is not None and about.now_unix < snooze.until_unix:
        left = _span(snooze.until_unix - about.now_unix)
        verdict, reason = SNOOZED, f"{reason}; meant for {left} more, says {snooze.by}: {snooze.reason}"
    return Judgement(
        verdict=verdict,
        since_unix=min(stretch.since_unix, about.now_unix - stretch.seen),  # the clock may have been set back
        idle_seconds=clocks.idle.seen,
        wasted_seconds=0.0 if verdict == OK else stretch.held,
        mean_use=stretch.use,
        mean_watts=stretch.watts,
        coverage=min(1.0, stretch.seen / max(about.now_unix - stretch.since_unix, stretch.seen, 1.0)),
        reason=reason,
    )


def _idle(clocks: Clocks, limits: Limits, about: Circumstances) -> _Finding | None:
    idle = clocks.idle
    is_new = max(about.now_unix - about.started_unix, clocks.seen) < NEW_FOR  # a clock that is set back makes none new
    works = about.cores_per_gpu is not None and about.cores_per_gpu >= BUSY_CORES
    if idle.seen < limits.idle_after * (GRACE if is_new or works else 1.0):
        return None
    if about.reserved:
        return _Finding(RESERVED, idle, f"allocated for {_span(idle.seen)} without a process")
    return _Finding(IDLE, idle, f"no minute at {100 * limits.idle_below:g}% or more for {_span(idle.seen)}")


def _stuck(clocks: Clocks) -> _Finding | None:
    stuck = clocks.stuck
    if stuck.seen < STUCK_AFTER:
        return None
    return _Finding(STUCK, stuck, f"{stuck.use:.0%} busy at {stuck.watts:.0f} W, as if idle, for {_span(stuck.seen)}")


def _warm(clocks: Clocks) -> _Finding | None:
    warm = clocks.warm
    if warm.seen < WARM_AFTER:
        return None
    return _Finding(KEPT_WARM, warm, f"{warm.use:.0%} busy, but its SMs under {WARM_BELOW:.0%} for {_span(warm.seen)}")


def _underused(hour: Stretch, limits: Limits) -> _Finding | None:
    use = hour.use
    if hour.seen < UNDERUSED_OVER or use is None or use >= limits.underused_below:
        return None
    return _Finding(UNDERUSED, hour, f"{use:.1%} busy in the last hour")


def _ok(hour: Stretch) -> _Finding:
    use = hour.use
    return _Finding(OK, hour, _UNSEEN if use is None else f"{use:.0%} busy in the last {_span(hour.seen)}")


def _span(seconds: float) -> str:
    minutes = int(seconds // MINUTE)
    return f"{minutes} min" if minutes < 120 else f"{seconds / HOUR:.1f} h"
