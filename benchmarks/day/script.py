"""The script of a day of a small fleet: who launches what on which GPUs, and all that goes wrong meanwhile.

Pure and reproducible by its seed; it knows nothing of gpuwatch. Times are seconds from trace zero, at which the agents
start: some time before the window that is asked about, so that it opens upon runs that are already there.
"""

from __future__ import annotations

import math
import random
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final, NamedTuple

from standin.trace import Burst, Gpu, Hold, Trace

SCRAPE_SECONDS: Final = 30
SHORTEST_RUN_SECONDS: Final = 20.0
SOURCES: Final = ("adhoc", "wandb", "slurm", "named")
FIRST_PID: Final = 1000
"""A slot's process is this one and the slot's number."""
_FULLEST: Final = 0.92
"""The most of a lane's time that its runs may fill."""
_CONTEXT_SECONDS: Final = 0.5
"""The most that a run holds a GPU before it uses it."""
_MEMORY_BYTES: Final = 9 << 30


class Span(NamedTuple):
    """From one time up to, and without, another."""

    start: float
    end: float

    def holds(self, time: float) -> bool:
        """Whether it is then."""
        return self.start <= time < self.end


class Person(NamedTuple):
    """Somebody's way to use a GPU: bursts and pauses from so many to so many seconds, and the share of each burst."""

    name: str
    bursts: tuple[float, float]
    pauses: tuple[float, float]
    shares: tuple[float, float]


PEOPLE: Final = (
    Person("ann", (120, 600), (1, 10), (0.85, 1.0)),
    Person("ben", (20, 60), (5, 20), (0.6, 0.95)),
    Person("cat", (0.5, 4), (0.5, 4), (0.7, 1.0)),
    Person("dan", (3, 30), (60, 400), (0.3, 0.9)),
    Person("eve", (0.2, 1), (0.3, 2), (0.3, 0.7)),
    Person("fay", (55, 65), (55, 65), (0.5, 1.0)),
)
"""A long training, epochs, a starved loader, a notebook, a service, and validation in every other minute."""


class Lane(NamedTuple):
    """Where one run after the other has its part of a node's GPUs, of which it uses `most` at most."""

    gpus: tuple[int, ...]
    most: float
    runs: float
    """Its part of the node's runs."""
    longest_seconds: float


LANES: Final = (
    Lane((0, 1), 0.65, 0.08, 21_600.0),
    Lane((0,), 0.35, 0.20, 7_200.0),
    Lane((2,), 1.0, 0.18, 7_200.0),
    Lane((3,), 0.33, 0.18, 7_200.0),
    Lane((3,), 0.33, 0.18, 7_200.0),
    Lane((3,), 0.33, 0.18, 7_200.0),
)
GPUS: Final = 4
_BEFORE: Final = Lane((1,), 0.35, 0.0, 0.0)
"""Where everybody has a run for each of their projects before the window: what is counted of them is not new in it."""
_BEFORE_SECONDS: Final = 30.0


class Launch(NamedTuple):
    """A run of one process, which is the slot of that number in its node's trace."""

    slot: int
    person: Person
    source: str
    start: float
    end: float


class Address(NamedTuple):
    """Under which `instance` a node is scraped, and when."""

    instance: str
    during: Span


@dataclass(frozen=True)
class NodeScript:
    """A node's day."""

    name: str
    trace: Trace
    launches: tuple[Launch, ...]
    restarts: tuple[Span, ...]
    """The agent is killed at the start, just after a reading, and a new one looks at the end: too soon to matter."""
    absences: tuple[Span, ...]
    """The same, for longer than an agent may bridge: nobody can know what happened."""
    gaps: tuple[Span, ...]
    """Nobody scrapes."""
    addresses: tuple[Address, ...]
    scrape_phase: int
    """Scrapes are so many seconds after each multiple of their interval."""

    def agent_is_there(self, time: float) -> bool:
        """Whether it reads the GPUs at this whole second."""
        return not any(span.start < time < span.end for span in (*self.restarts, *self.absences))

    def instances_at(self, time: float) -> list[str]:
        """The targets that it is scraped as; none in a gap."""
        if any(gap.holds(time) for gap in self.gaps):
            return []
        return [address.instance for address in self.addresses if address.during.holds(time)]


@dataclass(frozen=True)
class Plan:
    """The size of it. `lead_seconds` are played before the window of `seconds`."""

    nodes: int
    launches: int
    """Of all nodes, without those that are only to have been there before the window."""
    seconds: int
    lead_seconds: int
    gaps: tuple[int, ...]
    """Of each node, in seconds."""
    restarts: int
    """Of each node's agent."""
    absences: tuple[int, ...]
    """Of each node's agent, in seconds."""

    @property
    def window(self) -> Span:
        """The stretch that is asked about."""
        return Span(float(self.lead_seconds), float(self.lead_seconds + self.seconds))


DAY: Final = Plan(3, 1000, 86_400, 3_600, gaps=(300, 2_400, 5_400), restarts=8, absences=(45, 1_200))


def write_script(seed: int, plan: Plan) -> tuple[NodeScript, ...]:
    """The nodes' days."""
    rng = random.Random(seed)
    counts = [len(range(number, plan.launches, plan.nodes)) for number in range(plan.nodes)]
    return tuple(_node(rng, plan, number, count) for number, count in enumerate(counts))


def _node(rng: random.Random, plan: Plan, number: int, launches: int) -> NodeScript:
    placed = list(_launches(rng, plan, launches))
    boards = tuple(_gpu(rng) for _ in range(GPUS))
    holds = tuple(
        Hold(gpu, launch.slot, launch.start, launch.end, _MEMORY_BYTES) for launch, lane in placed for gpu in lane.gpus
    )
    bursts = tuple(burst for launch, lane in placed for burst in _bursts(rng, launch, lane))
    absent = _places(rng, plan, [*plan.absences, *(rng.randint(1, 8) for _ in range(plan.restarts))])
    return NodeScript(
        name=f"n{number + 1}",
        trace=Trace(boards, holds, bursts),
        launches=tuple(launch for launch, _ in placed),
        restarts=tuple(absent[len(plan.absences) :]),
        absences=tuple(absent[: len(plan.absences)]),
        gaps=tuple(_places(rng, plan, plan.gaps)),
        addresses=_addresses(plan, number),
        scrape_phase=7 + 8 * number,
    )


def _gpu(rng: random.Random) -> Gpu:
    identity = uuid.UUID(int=rng.getrandbits(128), version=4)
    idle, peak = round(rng.uniform(60, 80), 1), round(rng.uniform(600, 700), 1)
    return Gpu(f"GPU-{identity}", "NVIDIA H100 80GB HBM3", 80 << 30, idle, peak)


def _launches(rng: random.Random, plan: Plan, count: int) -> Iterator[tuple[Launch, Lane]]:
    parts = [round(count * lane.runs) for lane in LANES]
    parts[-1] += count - sum(parts)
    slot = 0
    for person, source in product(PEOPLE, SOURCES):
        start = (slot + 1) * _BEFORE_SECONDS
        yield Launch(slot, person, source, start, start + _BEFORE_SECONDS / 2), _BEFORE
        slot += 1
    for lane, runs in zip(LANES, parts, strict=True):
        for start, end in _times(rng, plan.window.end, runs, longest=min(lane.longest_seconds, plan.seconds / 4)):
            yield Launch(slot, rng.choice(PEOPLE), rng.choice(SOURCES), start, end), lane
            slot += 1


def _times(rng: random.Random, seconds: float, count: int, *, longest: float) -> Iterator[tuple[float, float]]:
    """`count` runs one after the other, of all lengths up to the longest, the short ones as common as the long."""
    while True:
        lengths = [math.exp(rng.uniform(math.log(SHORTEST_RUN_SECONDS), math.log(longest))) for _ in range(count)]
        if sum(lengths) <= _FULLEST * seconds:
            break
        longest *= 0.97
    weights = [rng.expovariate(1.0) for _ in range(count + 1)]
    free = seconds - sum(lengths)
    at = 0.0
    for length, weight in zip(lengths, weights, strict=False):
        start = at + free * weight / sum(weights)
        at = start + length
        yield start, at


def _bursts(rng: random.Random, launch: Launch, lane: Lane) -> Iterator[Burst]:
    person = launch.person
    start = launch.start + rng.uniform(0.0, _CONTEXT_SECONDS)
    while start < launch.end:
        end = min(launch.end, start + rng.uniform(*person.bursts))
        share = lane.most * rng.uniform(*person.shares)
        for gpu in lane.gpus:
            yield Burst(gpu, launch.slot, start, end, share)
        start = end + rng.uniform(*person.pauses)


def _places(rng: random.Random, plan: Plan, lengths: Sequence[int]) -> list[Span]:
    """For each length a span of whole seconds at random in the window; none meets another."""
    spans = [Span(0.0, 0.0)] * len(lengths)
    free = (plan.seconds - sum(lengths)) / max(1, len(lengths))
    start = plan.window.start
    for index in rng.sample(range(len(lengths)), len(lengths)):
        first = float(round(start + rng.uniform(0.1, 0.9) * free))
        spans[index] = Span(first, first + lengths[index])
        start += free + lengths[index]
    return spans


def _addresses(plan: Plan, number: int) -> tuple[Address, ...]:
    """One of the nodes moves twice: the first time both addresses are scraped for a while."""
    if number != 1:
        return (Address(f"10.0.0.{number + 1}:9469", Span(0.0, math.inf)),)
    first, second = plan.window.start + plan.seconds * 0.3, plan.window.start + plan.seconds * 0.7
    return (
        Address("10.0.0.2:9469", Span(0.0, first + plan.seconds / 100)),
        Address("10.0.1.2:9469", Span(first, second)),
        Address("n2.example:9469", Span(second, math.inf)),
    )
