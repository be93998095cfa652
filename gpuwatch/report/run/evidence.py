"""What a run's record shows that advice can rest on. Pure.

What was not seen is neither idle nor proof: a device that was held for less than ENOUGH_SECONDS shows nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Final, NamedTuple

from gpuwatch.model.history import Bin, RunOnDevice, RunRecord
from gpuwatch.report.run.figures import Span, activity, held_on, label_of
from gpuwatch.report.run.stretches import IdleStretch, Limits, stretches_of
from gpuwatch.units import MINUTE

ENOUGH_SECONDS: Final = 15 * MINUTE
_ONE_CORE = 0.1
"""So near to a whole number are cores that one thread each keeps busy,"""
_STEADY = 0.8
"""and for so much of the time."""


class Evidence(NamedTuple):
    """A run, and those of its devices that it held for long enough to judge by."""

    record: RunRecord
    span: Span
    limits: Limits
    still_there: bool
    """It holds GPUs now."""
    devices: tuple[RunOnDevice, ...]
    used: tuple[RunOnDevice, ...]
    """Those of them that have a bin which is not idle."""


def evidence_of(record: RunRecord, span: Span, limits: Limits, *, still_there: bool) -> Evidence:
    """What can be judged by."""
    devices = tuple(device for device in record.devices if held_on(device) >= ENOUGH_SECONDS)
    used = tuple(d for d in devices if any(activity(piece) >= limits.idle_below for piece in d.bins))
    return Evidence(record, span, limits, still_there, devices, used)


def most_at_once(devices: Iterable[RunOnDevice]) -> int:
    """The most of them that were held in the same bin."""
    starts = Counter(piece.start_unix for device in devices for piece in device.bins)
    return max(starts.values(), default=0)


def idle_tail(evidence: Evidence) -> IdleStretch | None:
    """The stretch at the end of the record in which all GPUs that were still held were idle.

    None where there is none that is long enough, or one of them was in use.
    """
    end = evidence.span.end_unix
    holding = [device for device in evidence.record.devices if device.bins and _end(device.bins) >= end - MINUTE]
    tails = []
    for device in holding:
        last = [s for s in stretches_of(device, evidence.limits, end) if s.end_unix >= min(_end(device.bins), end)]
        if not last:
            return None
        tails += last
    if not tails:
        return None
    since = max(tail.start_unix for tail in tails)
    gpus = tuple(gpu for tail in tails for gpu in tail.gpus)
    return IdleStretch(since, end, gpus, sum(_idle_since(since, device) for device in holding))


def last_busy(evidence: Evidence) -> float:
    """The end (UTC) of the last bin that is not idle; the start of its record where there is none."""
    pieces = (piece for device in evidence.record.devices for piece in device.bins)
    busy = (_end([piece]) for piece in pieces if activity(piece) >= evidence.limits.idle_below)
    return max(busy, default=evidence.span.start_unix)


def _idle_since(since: float, device: RunOnDevice) -> float:
    return device.capacity * sum(piece.held - piece.busy for piece in device.bins if piece.start_unix >= since)


def _end(bins: Sequence[Bin]) -> float:
    return bins[-1].start_unix + bins[-1].seconds


def busy_threads(evidence: Evidence) -> int | None:
    """How many cores are kept busy by one thread each: one in all, or one for each GPU; None where it is otherwise."""
    cpu = evidence.record.cpu
    seconds = sum(seconds for _, seconds, _ in cpu)
    for cores in sorted({1, len(evidence.used)}):
        steady = sum(seconds for _, seconds, used in cpu if abs(used / seconds - cores) <= _ONE_CORE * cores)
        if seconds >= ENOUGH_SECONDS and steady >= _STEADY * seconds:
            return cores
    return None


class Straggler(NamedTuple):
    """A GPU that does much less than the others."""

    gpu: str
    use: float
    others: float
    """The median of their use."""


def find_straggler(devices: Sequence[RunOnDevice], *, below: float, apart: float) -> Straggler | None:
    """The one of three or more that is used least, where that is under `below` of the others' use and `apart` from it.

    Compared over the bins in which all of them were held.
    """
    if len(devices) < 3:
        return None
    together = set.intersection(*({piece.start_unix for piece in device.bins} for device in devices))
    uses = []
    for device in devices:
        bins = [piece for piece in device.bins if piece.start_unix in together]
        held = sum(piece.held for piece in bins)
        if held < ENOUGH_SECONDS:
            return None
        uses.append((sum(piece.busy for piece in bins) / held, label_of(device)))
    (least, gpu), *others = sorted(uses)
    usual = median(use for use, _ in others)
    return Straggler(gpu, least, usual) if least < below * usual and usual - least >= apart else None
