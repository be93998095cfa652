"""A week of runs as people have them, each with what its person means. Knows nothing of gpuwatch and its thresholds.

Whether somebody should be told is settled here, by intent: a run that was forgotten, or hangs, wastes its GPUs from the
minute in which it began to; what its person means to happen (thinking, lunch, a service at night, data preparation, a
script that keeps the GPU) does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from random import Random
from typing import Final, NamedTuple

WEEK_MINUTES: Final = 7 * 24 * 60
_NINE: Final = 9 * 60
_DAY: Final = 24 * 60


class Phase(NamedTuple):
    """What a run does for some minutes."""

    minutes: int
    act: str
    wasted: int = 0
    """GPUs that nobody means to be held like this, from the run's first one on."""
    rest: str = ""
    """What the GPUs beyond these do; empty for the same."""


class Life(NamedTuple):
    """One run, from its first minute of the week to its last."""

    what: str
    """In words, for who reads the results."""
    run: str
    group: str
    """The sweep that it is one of."""
    kind: str
    """As it is recognised: `batch`, `interactive` or `service`."""
    gpus: int
    start: int
    """Minute of the week, from Monday's midnight."""
    phases: tuple[Phase, ...]
    meant: tuple[int, int] | None = None
    """Its person says that it is meant: from and until when, in minutes of the week."""
    unseen: tuple[tuple[int, int], ...] = ()
    """From and until when nothing is seen of it: the agent is down, or the driver hangs."""

    @property
    def wastes(self) -> Iterator[Waste]:
        """The stretches that nobody means, one after the other."""
        at = self.start
        for phase in self.phases:
            if phase.wasted:
                yield Waste(at, at + phase.minutes, phase.wasted)
            at += phase.minutes


class Waste(NamedTuple):
    """A stretch of time in which GPUs are held and nobody means it."""

    start: int
    end: int
    gpus: int

    @property
    def gpu_hours(self) -> float:
        """What it costs."""
        return self.gpus * (self.end - self.start) / 60


def live(seed: int) -> list[Life]:
    """The runs of a week, by their start."""
    dice = Random(seed)
    numbers = count(1)
    lives = [life for make, often in _HABITS for _ in range(often) for life in make(dice, f"run-{next(numbers)}")]
    return sorted((_cut(_lost_sight(life, dice)) for life in lives), key=lambda life: (life.start, life.run))


def _lost_sight(life: Life, dice: Random) -> Life:
    """The same: of one run in five nothing is seen for some minutes."""
    if dice.random() >= 0.2:
        return life
    start = life.start + dice.randrange(sum(phase.minutes for phase in life.phases))
    return life._replace(unseen=((start, start + _span(dice, 12)),))


def _cut(life: Life) -> Life:
    """The same, as far as it is of this week."""
    phases, left = [], WEEK_MINUTES - life.start
    for phase in life.phases:
        if left > 0:
            phases.append(phase._replace(minutes=min(phase.minutes, left)))
        left -= phase.minutes
    return life._replace(phases=tuple(phases))


def _at_work(dice: Random) -> int:
    """A minute of somebody's working time, now and then on a weekend."""
    day = dice.choice((0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5, 6))
    return day * _DAY + _NINE + dice.randrange(9 * 60)


def _span(dice: Random, usual: float, spread: float = 0.6, least: int = 1) -> int:
    """Minutes around what is usual, sometimes much longer."""
    return max(least, round(usual * dice.lognormvariate(0, spread)))


def _until_morning(at: int, dice: Random) -> int:
    """Minutes from `at` until somebody comes to work the next day (after a weekend on Monday)."""
    day = at // _DAY + 1
    while day % 7 >= 5:
        day += 1
    return day * _DAY + _NINE + dice.randrange(90) - at


def _epochs(dice: Random, hours: float) -> Iterator[Phase]:
    left = hours * 60
    while left > 0:
        minutes = _span(dice, 55)
        yield Phase(minutes, "train")
        yield Phase(dice.randrange(1, 5), "save")
        yield Phase(_span(dice, 4), "evaluate")
        left -= minutes


def _training(dice: Random, run: str) -> Iterator[Life]:
    gpus, start = dice.choice((1, 1, 1, 2, 4, 8)), _at_work(dice)
    phases = [Phase(_span(dice, 6), "load"), *_epochs(dice, dice.uniform(2, 20))]
    end = start + sum(phase.minutes for phase in phases)
    fate = dice.random()
    if fate < 0.10:
        return iter((_life("training, and the process stays", run, gpus, start, [*phases, _left(end, gpus, dice)]),))
    if fate < 0.15:
        hung = Phase(_until_morning(end, dice), "hang", wasted=gpus)
        return iter((_life("training that hangs", run, gpus, start, [*phases, hung]),))
    if fate < 0.18 and gpus > 1:
        dead = Phase(_until_morning(end, dice), "nothing", wasted=gpus, rest="hang")
        return iter((_life("training with a dead rank", run, gpus, start, [*phases, dead]),))
    return iter((_life("training", run, gpus, start, phases),))


def _left(at: int, gpus: int, dice: Random) -> Phase:
    """The process is still there until its person looks: in an hour or two, or the next morning."""
    soon = dice.random() < 0.4 and at % _DAY < 16 * 60
    return Phase(_span(dice, 50) if soon else _until_morning(at, dice), "nothing", wasted=gpus)


def _notebook(dice: Random, run: str) -> Iterator[Life]:
    start = _at_work(dice)
    phases: list[Phase] = []
    for _ in range(dice.randrange(1, 6)):
        phases += [Phase(_span(dice, 40), "try things"), Phase(_span(dice, 18, 0.9), "nothing")]
        if dice.random() < 0.35:
            phases.append(Phase(dice.choice((45, 60, 75, 90, 120)), "nothing"))  # lunch, or a meeting
        if dice.random() < 0.25:
            phases.append(Phase(_span(dice, 60), "train"))
    end = start + sum(phase.minutes for phase in phases)
    if dice.random() < 0.3:
        phases.append(Phase(_until_morning(end, dice), "nothing", wasted=1))
    kind = "batch" if dice.random() < 0.1 else "interactive"
    return iter((_life("notebook", run, 1, start, phases)._replace(kind=kind),))


def _service(dice: Random, run: str) -> Iterator[Life]:
    phases = [Phase(minutes, act) for _ in range(7) for minutes, act in ((480, "serve few"), (960, "serve"))]
    return iter((_life("service", run, dice.choice((1, 2, 4)), 0, phases)._replace(kind="service"),))


def _one(what: str, act: str, hours: tuple[float, float], gpus: int = 1) -> Callable[[Random, str], Iterator[Life]]:
    """Runs that do the same from their start to their end."""

    def make(dice: Random, run: str) -> Iterator[Life]:
        minutes = round(60 * dice.uniform(*hours))
        return iter((_life(what, run, gpus, _at_work(dice), [Phase(_span(dice, 5), "load"), Phase(minutes, act)]),))

    return make


def _preparing(dice: Random, run: str) -> Iterator[Life]:
    """Tokenises its data on the CPUs first, holding its GPU."""
    phases = [Phase(_span(dice, 35, 0.7), "load"), *_epochs(dice, dice.uniform(2, 8))]
    return iter((_life("training that prepares its data first", run, 1, _at_work(dice), phases),))


def _looping(dice: Random, run: str) -> Iterator[Life]:
    """Waits for checkpoints of another run, and evaluates each."""
    rounds = [(Phase(_span(dice, 12, 0.5), "nothing"), Phase(_span(dice, 8), "evaluate")) for _ in range(20)]
    phases = [phase for pair in rounds for phase in pair]
    return iter((_life("evaluation of each new checkpoint", run, 1, _at_work(dice), phases),))


def _sweep(dice: Random, run: str) -> Iterator[Life]:
    """Twelve runs of one group at once; in one of five sweeps their processes stay when they are done."""
    start, stays = _at_work(dice), dice.random() < 0.2
    for member in range(12):
        phases = [Phase(_span(dice, 3), "load"), Phase(_span(dice, 150, 0.3), "train")]
        end = start + sum(phase.minutes for phase in phases)
        if stays:
            phases.append(Phase(_until_morning(end, dice), "nothing", wasted=1))
        yield _life("sweep", f"{run}-{member}", 1, start, phases)._replace(group=run)


def _shell(dice: Random, run: str) -> Iterator[Life]:
    """Debugs in a shell, and leaves with the debugger open."""
    start = _at_work(dice)
    phases = [Phase(_span(dice, 50), "try things")]
    left = Phase(_until_morning(start + phases[0].minutes, dice), "nothing", wasted=1)
    return iter((_life("forgotten shell", run, 1, start, [*phases, left])._replace(kind="interactive"),))


def _reservation(dice: Random, run: str) -> Iterator[Life]:
    """Has GPUs from the scheduler, uses them for a while and forgets them."""
    start, gpus = _at_work(dice), dice.choice((1, 2, 4))
    phases = [Phase(_span(dice, 20), "reserve"), Phase(_span(dice, 60), "train")]
    end = start + sum(phase.minutes for phase in phases)
    left = Phase(_until_morning(end, dice), "reserve", wasted=gpus)
    return iter((_life("forgotten reservation", run, gpus, start, [*phases, left])._replace(kind="interactive"),))


def _waiting(dice: Random, run: str) -> Iterator[Life]:
    """Waits for labels for some hours, and means to. Two of three say so."""
    start, before = _at_work(dice), _span(dice, 40)
    wait = round(60 * dice.uniform(2, 6))
    phases = [Phase(before, "train"), Phase(wait, "nothing"), Phase(_span(dice, 90), "train")]
    meant = (start + before, start + before + wait + 30) if dice.random() < 2 / 3 else None
    return iter((_life("waits for labels, and means to", run, 1, start, phases)._replace(meant=meant),))


def _life(what: str, run: str, gpus: int, start: int, phases: list[Phase]) -> Life:
    return Life(what, run, "", "batch", gpus, start, tuple(phases))


_HABITS: Final = (
    (_training, 70),
    (_notebook, 60),
    (_service, 6),
    (_one("training, slowed by its loader", "train slowly", (3, 12)), 12),
    (_one("training, starved by its loader", "starve", (3, 12), gpus=2), 6),
    (_one("reinforcement learning, mostly on the CPUs", "simulate", (3, 12)), 6),
    (_one("small kernels at low power", "memory bound", (2, 10)), 6),
    (_one("compiles, and fails", "compile", (0.2, 0.8), gpus=4), 8),
    (_one("keeps its GPU from looking idle", "pretend", (6, 40)), 6),
    (_preparing, 16),
    (_looping, 10),
    (_sweep, 8),
    (_shell, 14),
    (_reservation, 8),
    (_waiting, 6),
)
"""Whom there is, and how often in a week."""
