"""A script for a machine with GPUs, and the truth about it: the judge that gpuwatch is measured against.

A trace says which process slot holds which GPU when, and which share of the GPU's time it uses when. Everything the
accounting should find follows from that by arithmetic, which is done here, with nothing of gpuwatch in it.
Times are seconds from trace zero. Where a truth takes an `instance`, it is about that MIG instance; without, about the
whole card, of which an instance of n slices has n sevenths.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from .cards import Gpu
from .spans import Burst, Hold, Reason, Throttle
from .steps import Steps

ROUNDING: Final = 1e-9
"""Seconds, and shares, below which a difference is an error of floating point."""


class Share(NamedTuple):
    """What one slot is charged on one GPU."""

    held: float  # seconds
    busy: float  # seconds
    joules: float


class States(NamedTuple):
    """How one GPU spent its time, in seconds."""

    active: float
    idle: float
    free: float


Place = tuple[int, int | None]
"""A GPU, and one of its instances or None for the whole card."""


@dataclass(frozen=True)
class Trace:
    """A script for a machine. `sample_period` is how often its driver takes a utilisation sample, in seconds."""

    gpus: tuple[Gpu, ...]
    holds: tuple[Hold, ...]
    bursts: tuple[Burst, ...]
    sample_period: float = 1 / 6
    throttles: tuple[Throttle, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no machine could do.

        Raises:
            ValueError: a span with no length or on no GPU or instance, a share out of range, a device used for more
                than its time, or two spans of one reason for reduced clocks at once.
        """
        self._check_spans()
        for place, steps in self._busy.items():
            if steps.highest > 1 + ROUNDING:
                raise ValueError(f"{_name(place)} is used for more than all of its time")
        for (gpu, reason), steps in self._throttled.items():
            if steps.highest > 1:
                raise ValueError(f"GPU {gpu} is throttled for {reason} twice at once")

    def _check_spans(self) -> None:
        spans: list[Hold | Burst | Throttle] = [*self.holds, *self.bursts, *self.throttles]
        for span in spans:
            if span.start >= span.end or span.gpu not in range(len(self.gpus)):
                raise ValueError(f"no such span: {span}")
        uses: list[Hold | Burst] = [*self.holds, *self.bursts]
        for use in uses:
            instances = len(self.gpus[use.gpu].mig)
            if use.instance not in (range(instances) if instances else (None,)):
                raise ValueError(f"no such instance: {use}")
        for burst in self.bursts:
            if not 0 < burst.share <= 1:
                raise ValueError(f"no such share: {burst}")

    def dump(self) -> str:
        """The trace as nvml/trace.c reads it: one item a line, fields between blanks, and the GPU's name last.

        An instance is -1 on a card without them.
        """
        lines = [f"period {self.sample_period!r}"]
        for gpu in self.gpus:
            watts = f"{gpu.idle_watts!r} {gpu.peak_watts!r}"
            memory, gpm = gpu.memory_total, f"{int(gpu.gpm)} {gpu.sm_share!r}"
            lines.append(f"gpu {gpu.uuid} {gpu.pci_bus_id} {memory} {watts} {gpm} {gpu.name}")
            for mig in gpu.mig:
                ids = f"{mig.gpu_instance_id} {mig.compute_instance_id}"
                lines.append(f"mig {mig.uuid} {mig.profile} {mig.slices} {mig.memory_total} {ids}")
        for h in self.holds:
            lines.append(f"hold {h.gpu} {_number(h)} {h.slot} {h.start!r} {h.end!r} {h.memory_bytes} {h.kind}")
        lines += [f"burst {b.gpu} {_number(b)} {b.slot} {b.start!r} {b.end!r} {b.share!r}" for b in self.bursts]
        lines += [f"throttle {t.gpu} {t.reason} {t.start!r} {t.end!r}" for t in self.throttles]
        return "\n".join(lines) + "\n"

    def busy(self, gpu: int, start: float, end: float, *, instance: int | None = None) -> float:
        """Seconds of the device's time that were used."""
        return self._busy[gpu, instance].between(start, end)

    def sm_active(self, gpu: int, start: float, end: float, *, instance: int | None = None) -> float:
        """Seconds of the device's time, weighted by the share of its SMs that were active."""
        return self.busy(gpu, start, end, instance=instance) * self.gpus[gpu].sm_share

    def throttled(self, gpu: int, reason: Reason, start: float, end: float) -> float:
        """Seconds for which the GPU's clocks were reduced for `reason`, whether or not the card counts it."""
        steps = self._throttled.get((gpu, reason))
        return steps.between(start, end) if steps else 0.0

    def slot_busy(self, gpu: int, slot: int, start: float, end: float, *, instance: int | None = None) -> float:
        """Seconds of the device's time that one slot used."""
        steps = self._slots_busy[gpu, instance].get(slot)
        return steps.between(start, end) if steps else 0.0

    def joules(self, gpu: int, start: float, end: float, *, instance: int | None = None) -> float:
        """The energy the GPU took. An instance's is its slices' part of what the card takes idle, and for its use."""
        board = self.gpus[gpu]
        busy = self.busy(gpu, start, end, instance=instance)
        whole = board.idle_watts * (end - start) + (board.peak_watts - board.idle_watts) * busy
        return whole * board.weight(instance)

    def holders(self, gpu: int, time: float, *, instance: int | None = None) -> frozenset[int]:
        """The slots that hold the device at `time`."""
        return frozenset(hold.slot for hold in self._holds[gpu, instance] if hold.start <= time < hold.end)

    def held(self, gpu: int, slot: int, start: float, end: float, *, instance: int | None = None) -> float:
        """Seconds for which one slot held the device."""
        spans = sorted((hold.start, hold.end) for hold in self._holds[gpu, instance] if hold.slot == slot)
        total, reached = 0.0, start
        for first, last in spans:
            total += max(0.0, min(last, end) - max(first, reached))
            reached = max(reached, last)
        return total

    def owners(self, gpu: int, start: float, end: float, *, instance: int | None = None) -> dict[int, float]:
        """Who owns a stretch: the slots that hold the device at its end or used it within, with their busy seconds."""
        busy = {slot: steps.between(start, end) for slot, steps in self._slots_busy[gpu, instance].items()}
        users = {slot: seconds for slot, seconds in busy.items() if seconds > ROUNDING}
        holders = self.holders(gpu, end, instance=instance)
        return {slot: users.get(slot, 0.0) for slot in sorted(users.keys() | holders)}

    def split(self, gpu: int, cuts: Sequence[float], *, instance: int | None = None) -> dict[int, Share]:
        """What each slot is charged for the time between the first cut and the last.

        The rule holds for each stretch between neighbouring cuts. Its n owners hold all of it, T seconds; each holds
        what it used and an equal part of the rest, and takes joules in proportion to what it held.
        """
        total: dict[int, Share] = {}
        for start, end in itertools.pairwise(cuts):
            for slot, share in self._split_stretch((gpu, instance), start, end).items():
                before = total.get(slot, Share(0.0, 0.0, 0.0))
                total[slot] = Share(*(old + new for old, new in zip(before, share, strict=True)))
        return total

    def states(self, gpu: int, cuts: Sequence[float], *, instance: int | None = None) -> States:
        """How the device spent the time between the first cut and the last, by the rule of `split`."""
        active = idle = free = 0.0
        for start, end in itertools.pairwise(cuts):
            owners = self.owners(gpu, start, end, instance=instance)
            busy = sum(owners.values())
            active += busy
            idle += end - start - busy if owners else 0.0
            free += 0.0 if owners else end - start
        return States(active, idle, free)

    def _split_stretch(self, place: Place, start: float, end: float) -> dict[int, Share]:
        gpu, instance = place
        owners = self.owners(gpu, start, end, instance=instance)
        length = end - start
        rest = length - sum(owners.values())
        watts = self.joules(gpu, start, end, instance=instance) / length
        held = {slot: busy + rest / len(owners) for slot, busy in owners.items()}
        return {slot: Share(held[slot], busy, watts * held[slot]) for slot, busy in owners.items()}

    @cached_property
    def _places(self) -> list[Place]:
        """Every card, and every instance."""
        return [(index, i) for index, gpu in enumerate(self.gpus) for i in (None, *range(len(gpu.mig)))]

    @cached_property
    def _holds(self) -> dict[Place, list[Hold]]:
        return {place: [hold for hold in self.holds if _is_on(hold, place)] for place in self._places}

    @cached_property
    def _busy(self) -> dict[Place, Steps]:
        return {
            place: Steps(self._rectangle(burst, place) for burst in self.bursts if _is_on(burst, place))
            for place in self._places
        }

    @cached_property
    def _slots_busy(self) -> dict[Place, dict[int, Steps]]:
        slots: dict[Place, dict[int, Steps]] = {}
        for place in self._places:
            spans: dict[int, list[tuple[float, float, float]]] = {}
            for burst in self.bursts:
                if _is_on(burst, place):
                    spans.setdefault(burst.slot, []).append(self._rectangle(burst, place))
            slots[place] = {slot: Steps(of_slot) for slot, of_slot in spans.items()}
        return slots

    def _rectangle(self, burst: Burst, place: Place) -> tuple[float, float, float]:
        """What a burst takes of the time of a device that it is on."""
        part = self.gpus[burst.gpu].weight(burst.instance) if place[1] is None else 1.0
        return burst.start, burst.end, burst.share * part

    @cached_property
    def _throttled(self) -> dict[tuple[int, Reason], Steps]:
        spans: dict[tuple[int, Reason], list[tuple[float, float, float]]] = {}
        for throttle in self.throttles:
            spans.setdefault((throttle.gpu, throttle.reason), []).append((throttle.start, throttle.end, 1.0))
        return {key: Steps(of_reason) for key, of_reason in spans.items()}


def _is_on(span: Hold | Burst, place: Place) -> bool:
    """Whether a span is on the device: everything on an instance is on its card too."""
    return span.gpu == place[0] and place[1] in (None, span.instance)


def _name(place: Place) -> str:
    return f"GPU {place[0]}" if place[1] is None else f"instance {place[1]} of GPU {place[0]}"


def _number(span: Hold | Burst) -> int:
    return -1 if span.instance is None else span.instance
