"""What a trace says that an agent should have published, and what it did publish."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from rig import Exposition, total
from standin.trace import ROUNDING, Share, Trace

from benchmarks.launches import slot_name
from gpuwatch.agent.cycle import GLANCE_SECONDS

STATES: Final = ("active", "idle", "free", "unavailable", "unknown")
CHARGES: Final = ("held_seconds", "busy_seconds", "energy_joules")
_WELL_BEFORE: Final = 0.02
"""Glances: the last one that is not followed by a whole wait is left out."""


class Stretch(NamedTuple):
    """What one look at one GPU accounts for."""

    seconds: float
    joules: float
    """Of the device, up to the look itself."""
    holders: frozenset[int]
    """The slots that hold the GPU at the look."""
    busy: Mapping[int, float]
    """True use in seconds by slot."""
    told: Mapping[int, float]
    """The same as a driver tells it, in whole percents of the time between two looks or glances."""


def newest_sample(trace: Trace, look: float) -> float:
    """When the driver had taken its last sample, of a look at it (trace times, seconds)."""
    return math.floor(look / trace.sample_period) * trace.sample_period


def stretches(trace: Trace, gpu: int, looks: Sequence[float]) -> Iterator[Stretch]:
    """What each look after the first accounts for: the time up to the newest sample, and the energy up to now."""
    slots = sorted({hold.slot for hold in trace.holds if hold.gpu == gpu})
    for before, look in itertools.pairwise(looks):
        glances = _glances(before, look) if len(trace.holders(gpu, before)) > 1 else []
        cuts = sorted({newest_sample(trace, at) for at in (before, *glances, look)})
        if len(cuts) > 1:
            busy = {slot: trace.slot_busy(gpu, slot, cuts[0], cuts[-1]) for slot in slots}
            told = {slot: _told(trace, gpu, slot, cuts) for slot in slots}
            joules = trace.joules(gpu, before, look)
            yield Stretch(cuts[-1] - cuts[0], joules, trace.holders(gpu, look), busy, told)


def _glances(before: float, look: float) -> list[float]:
    """When the agent asks for the use of processes between two looks, as it does where owners share a GPU."""
    count = math.ceil((look - before) / GLANCE_SECONDS - _WELL_BEFORE) - 1
    return [before + number * GLANCE_SECONDS for number in range(1, count + 1)]


def _told(trace: Trace, gpu: int, slot: int, cuts: Sequence[float]) -> float:
    percents = (
        (math.floor(100 * trace.slot_busy(gpu, slot, start, end) / (end - start) + 0.5), end - start)
        for start, end in itertools.pairwise(cuts)
    )
    return sum(percent * seconds / 100 for percent, seconds in percents)


def divide(stretch: Stretch, use: Mapping[int, float]) -> dict[int, Share]:
    """The published rule, with one or the other use of the stretch for shares.

    The owners hold the GPU at the look, or used it since the last one. Busy goes by use; each holds what it was busy
    and an equal part of the time that nobody used; joules go with what it held.
    """
    owners = stretch.holders | {slot for slot, seconds in stretch.busy.items() if seconds > ROUNDING}
    busy, everything = sum(stretch.busy.values()), sum(use.values())
    due = {}
    for slot in owners:
        mine = busy * (use.get(slot, 0.0) / everything if everything else 1 / len(owners))
        held = mine + (stretch.seconds - busy) / len(owners)
        due[slot] = Share(held, mine, stretch.joules * held / stretch.seconds)
    return due


def charged(exposition: Exposition, slot: int, **labels: str) -> Share:
    """What the agent charged to the run in a slot, on all GPUs or on those with these labels."""
    run = f"adhoc:{slot_name(slot)}-"
    mine = {key: value for key, value in exposition.items() if dict(key[1]).get("run", "").startswith(run)}
    return Share(*(total(mine, f"gpuwatch_run_gpu_{what}_total", **labels) for what in CHARGES))


def percent(found: float, truth: float) -> float:
    """How far `found` is from `truth`, in percent of it."""
    if not truth:
        return 0.0 if not found else math.inf
    return 100 * abs(found - truth) / truth
