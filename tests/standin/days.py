"""Makes up days of machines with GPUs: steady ones, and random ones that are reproducible by their seed."""

from __future__ import annotations

import heapq
import itertools
import random
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from .cards import Gpu
from .script import Trace
from .spans import KINDS, Burst, Hold

MODELS: Final = (
    ("NVIDIA H100 80GB HBM3", 80, 70.0, 700.0),
    ("NVIDIA H200", 141, 75.0, 700.0),
    ("NVIDIA A100-SXM4-80GB", 80, 55.0, 400.0),
    ("NVIDIA L40S", 48, 35.0, 350.0),
)
"""Name, memory (GiB), and watts when idle and at full use."""


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
