"""Scripted days of a machine with GPUs, and the truth about them: the judge that gpuwatch is measured against.

A trace says which process slot holds which GPU when, and which share of the GPU's time it uses when. Everything the
accounting should find follows from that by arithmetic, which is done here, with nothing of gpuwatch in it.
Times are seconds from trace zero; a GPU is named by its index in the trace; a slot stands for one process, whose pid
only the test knows.
"""

import heapq
import itertools
import random
import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, NamedTuple

from .steps import Steps

Kind = Literal["compute", "graphics", "mps"]

KINDS: Final[tuple[Kind, ...]] = ("compute", "graphics", "mps")

MODELS: Final = (
    ("NVIDIA H100 80GB HBM3", 80, 70.0, 700.0),
    ("NVIDIA H200", 141, 75.0, 700.0),
    ("NVIDIA A100-SXM4-80GB", 80, 55.0, 400.0),
    ("NVIDIA L40S", 48, 35.0, 350.0),
)
"""Name, memory (GiB), and watts when idle and at full use."""

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


@dataclass(frozen=True)
class Gpu:
    """One GPU: its identity, memory (bytes) and power (watts) with nothing running and at full use."""

    uuid: str
    name: str
    memory_total: int
    idle_watts: float
    peak_watts: float

    @property
    def pci_bus_id(self) -> str:
        """The bus id as the driver writes it, made from the UUID: `0000A1B2:C3:00.0`."""
        digest = zlib.crc32(self.uuid.encode())
        return f"{digest >> 16:08X}:{digest & 0xFF:02X}:00.0"


@dataclass(frozen=True)
class Hold:
    """A slot has a context, and `memory_bytes`, on a GPU in [start, end)."""

    gpu: int
    slot: int
    start: float
    end: float
    memory_bytes: int
    kind: Kind = "compute"


@dataclass(frozen=True)
class Burst:
    """A slot uses `share` (0 to 1] of a GPU's time in [start, end)."""

    gpu: int
    slot: int
    start: float
    end: float
    share: float


@dataclass(frozen=True)
class Trace:
    """A script for a machine. `sample_period` is how often its driver takes a utilisation sample, in seconds."""

    gpus: tuple[Gpu, ...]
    holds: tuple[Hold, ...]
    bursts: tuple[Burst, ...]
    sample_period: float = 1 / 6

    def __post_init__(self) -> None:
        """Refuse what no machine could do.

        Raises:
            ValueError: a span with no length or on no GPU, a share out of range, or a GPU used for more than its time.
        """
        spans: list[Hold | Burst] = [*self.holds, *self.bursts]
        for span in spans:
            if span.start >= span.end or span.gpu not in range(len(self.gpus)):
                raise ValueError(f"no such span: {span}")
        for burst in self.bursts:
            if not 0 < burst.share <= 1:
                raise ValueError(f"no such share: {burst}")
        for gpu, steps in enumerate(self._busy):
            if steps.highest > 1 + ROUNDING:
                raise ValueError(f"GPU {gpu} is used for more than all of its time")

    def dump(self) -> str:
        """The trace as nvml.c reads it: one item a line, fields between blanks, and the GPU's name last."""
        lines = [f"period {self.sample_period!r}"]
        for gpu in self.gpus:
            watts = f"{gpu.idle_watts!r} {gpu.peak_watts!r}"
            lines.append(f"gpu {gpu.uuid} {gpu.pci_bus_id} {gpu.memory_total} {watts} {gpu.name}")
        lines += [f"hold {h.gpu} {h.slot} {h.start!r} {h.end!r} {h.memory_bytes} {h.kind}" for h in self.holds]
        lines += [f"burst {b.gpu} {b.slot} {b.start!r} {b.end!r} {b.share!r}" for b in self.bursts]
        return "\n".join(lines) + "\n"

    def busy(self, gpu: int, start: float, end: float) -> float:
        """Seconds of the GPU's time that were used."""
        return self._busy[gpu].between(start, end)

    def slot_busy(self, gpu: int, slot: int, start: float, end: float) -> float:
        """Seconds of the GPU's time that one slot used."""
        steps = self._slots_busy[gpu].get(slot)
        return steps.between(start, end) if steps else 0.0

    def joules(self, gpu: int, start: float, end: float) -> float:
        """The energy the GPU took."""
        board = self.gpus[gpu]
        return board.idle_watts * (end - start) + (board.peak_watts - board.idle_watts) * self.busy(gpu, start, end)

    def holders(self, gpu: int, time: float) -> frozenset[int]:
        """The slots that hold the GPU at `time`."""
        return frozenset(hold.slot for hold in self._gpu_holds[gpu] if hold.start <= time < hold.end)

    def held(self, gpu: int, slot: int, start: float, end: float) -> float:
        """Seconds for which one slot held the GPU."""
        spans = sorted((hold.start, hold.end) for hold in self._gpu_holds[gpu] if hold.slot == slot)
        total, reached = 0.0, start
        for first, last in spans:
            total += max(0.0, min(last, end) - max(first, reached))
            reached = max(reached, last)
        return total

    def owners(self, gpu: int, start: float, end: float) -> dict[int, float]:
        """Who owns a stretch: the slots that hold the GPU at its end or used it within, with their busy seconds."""
        busy = {slot: steps.between(start, end) for slot, steps in self._slots_busy[gpu].items()}
        users = {slot: seconds for slot, seconds in busy.items() if seconds > ROUNDING}
        return {slot: users.get(slot, 0.0) for slot in sorted(users.keys() | self.holders(gpu, end))}

    def split(self, gpu: int, cuts: Sequence[float]) -> dict[int, Share]:
        """What each slot is charged for the time between the first cut and the last.

        The rule holds for each stretch between neighbouring cuts. Its n owners hold all of it, T seconds; each holds
        what it used and an equal part of the rest, and takes joules in proportion to what it held.
        """
        total: dict[int, Share] = {}
        for start, end in itertools.pairwise(cuts):
            for slot, share in self._split_stretch(gpu, start, end).items():
                before = total.get(slot, Share(0.0, 0.0, 0.0))
                total[slot] = Share(*(old + new for old, new in zip(before, share, strict=True)))
        return total

    def states(self, gpu: int, cuts: Sequence[float]) -> States:
        """How the GPU spent the time between the first cut and the last, by the rule of `split`."""
        active = idle = free = 0.0
        for start, end in itertools.pairwise(cuts):
            owners = self.owners(gpu, start, end)
            busy = sum(owners.values())
            active += busy
            idle += end - start - busy if owners else 0.0
            free += 0.0 if owners else end - start
        return States(active, idle, free)

    def _split_stretch(self, gpu: int, start: float, end: float) -> dict[int, Share]:
        owners = self.owners(gpu, start, end)
        length = end - start
        rest = length - sum(owners.values())
        watts = self.joules(gpu, start, end) / length
        held = {slot: busy + rest / len(owners) for slot, busy in owners.items()}
        return {slot: Share(held[slot], busy, watts * held[slot]) for slot, busy in owners.items()}

    @cached_property
    def _gpu_holds(self) -> list[list[Hold]]:
        return [[hold for hold in self.holds if hold.gpu == gpu] for gpu in range(len(self.gpus))]

    @cached_property
    def _busy(self) -> list[Steps]:
        return [
            Steps((burst.start, burst.end, burst.share) for burst in self.bursts if burst.gpu == gpu)
            for gpu in range(len(self.gpus))
        ]

    @cached_property
    def _slots_busy(self) -> list[dict[int, Steps]]:
        spans: list[dict[int, list[tuple[float, float, float]]]] = [{} for _ in self.gpus]
        for burst in self.bursts:
            spans[burst.gpu].setdefault(burst.slot, []).append((burst.start, burst.end, burst.share))
        return [{slot: Steps(of_slot) for slot, of_slot in of_gpu.items()} for of_gpu in spans]


def shared_fraction(trace: Trace) -> float:
    """Of the time in which the GPUs are held at all, the part in which two slots or more hold one."""
    held = shared = 0.0
    for gpu in range(len(trace.gpus)):
        edges = sorted({edge for hold in trace.holds if hold.gpu == gpu for edge in (hold.start, hold.end)})
        for start, end in itertools.pairwise(edges):
            holders = len(trace.holders(gpu, start))
            held += end - start if holders >= 1 else 0.0
            shared += end - start if holders >= 2 else 0.0
    return shared / held if held else 0.0


def steady_trace(gpus: int, slots_per_gpu: int, seconds: float, share: float) -> Trace:
    """GPUs of which `share` is used all the time, in equal parts by as many slots, which hold them throughout."""
    rng = random.Random(0)
    boards = tuple(_random_gpu(rng) for _ in range(gpus))
    places = [(gpu, gpu * slots_per_gpu + number) for gpu in range(gpus) for number in range(slots_per_gpu)]
    holds = tuple(
        Hold(gpu, slot, 0.0, seconds, boards[gpu].memory_total // (2 * slots_per_gpu)) for gpu, slot in places
    )
    bursts = tuple(Burst(gpu, slot, 0.0, seconds, share / slots_per_gpu) for gpu, slot in places)
    return Trace(boards, holds, bursts)


def random_trace(seed: int, *, seconds: float, gpus: int = 8, slots: int = 24, sample_period: float = 1 / 6) -> Trace:
    """A busy shared machine: jobs of one or two GPUs come and go, and use their GPUs in bursts of 0.3 s to 5 s.

    From 4 slots on, at least half of the time in which a GPU is held it is held by two slots or more, which use it
    unequally; each slot uses about a fifth of what it holds, or more.
    """
    rng = random.Random(seed)
    boards = tuple(_random_gpu(rng) for _ in range(gpus))
    holds = _random_holds(rng, boards[: max(1, slots // 2)], slots, seconds)
    weights = {slot: rng.uniform(1.0, 2.0) for slot in range(slots)}
    bursts = [burst for hold in holds for burst in _random_bursts(rng, hold, holds, weights)]
    return Trace(boards, tuple(holds), tuple(bursts), sample_period)


def _random_gpu(rng: random.Random) -> Gpu:
    name, gibibytes, idle, peak = rng.choice(MODELS)
    identity = uuid.UUID(int=rng.getrandbits(128), version=4)
    idle_watts = round(idle * rng.uniform(0.9, 1.1), 1)
    return Gpu(f"GPU-{identity}", name, gibibytes << 30, idle_watts, round(peak * rng.uniform(0.9, 1.1), 1))


def _random_holds(rng: random.Random, boards: Sequence[Gpu], slots: int, seconds: float) -> list[Hold]:
    """Jobs in the order in which they start. A slot that finds every GPU full waits."""
    room = max(3, slots // len(boards))
    holds: list[Hold] = []
    arrivals = [(rng.uniform(-0.1, 0.3) * seconds, slot) for slot in range(slots)]
    heapq.heapify(arrivals)
    while arrivals:
        due, slot = heapq.heappop(arrivals)
        start, end = max(0.0, due), min(seconds, due + rng.uniform(0.2, 0.6) * seconds)
        if end - start < 0.05 * seconds:
            continue
        kind = rng.choices(KINDS, weights=(8, 1, 1))[0]
        taken = [hold.gpu for hold in holds if hold.end > start]
        places = [gpu for gpu in range(len(boards)) if taken.count(gpu) < room]
        for gpu in rng.sample(places, min(len(places), rng.choice((1, 1, 2)))):
            memory_bytes = int(boards[gpu].memory_total * rng.uniform(0.1, 0.9) / room)
            holds.append(Hold(gpu, slot, start, end, memory_bytes, kind))
        heapq.heappush(arrivals, ((end if places else start) + rng.uniform(0.01, 0.1) * seconds, slot))
    return holds


def _random_bursts(
    rng: random.Random, hold: Hold, holds: Sequence[Hold], weights: Mapping[int, float]
) -> Iterator[Burst]:
    """Bursts that fill most of a hold.

    The most that one takes is its slot's part of the weights on the GPU, when the most of them are there: so the
    bursts of all the slots fit into the GPU's time at every moment.
    """
    neighbours = [
        other for other in holds if other.gpu == hold.gpu and other.start < hold.end and hold.start < other.end
    ]
    pause = rng.uniform(0.05, 0.3)
    start = hold.start + rng.uniform(0.0, 0.5)
    while hold.end - start > 0.3:
        end = min(hold.end, start + rng.uniform(0.3, 5.0))
        share = weights[hold.slot] / _heaviest(neighbours, weights, start, end)
        yield Burst(hold.gpu, hold.slot, start, end, share * rng.uniform(0.85, 1.0))
        start = end + (end - start) * rng.uniform(0.0, 2 * pause)


def _heaviest(holds: Sequence[Hold], weights: Mapping[int, float], start: float, end: float) -> float:
    """The largest sum of the weights of those who hold at one time, between `start` and `end`."""
    moments = [start, *(hold.start for hold in holds if start < hold.start < end)]
    return max(sum(weights[hold.slot] for hold in holds if hold.start <= at < hold.end) for at in moments)
