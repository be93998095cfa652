"""What a GPU shows for a minute while somebody does something with it. Knows nothing of gpuwatch.

A card of 700 W, much as an H100: 70 W unused, 115 W with a context on it, 95 W to 125 W while a collective call spins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Final, NamedTuple


class Sample(NamedTuple):
    """Means of a minute, of one GPU of a run."""

    use: float
    """What the driver calls utilisation."""
    sm: float
    watts: float
    cores: float
    """CPU cores of the run, by its GPUs."""
    process: bool = True
    """There is one on the GPU."""


Act = Callable[[Random], Sample]


def _clipped(value: float) -> float:
    return min(1.0, max(0.0, value))


def _computing(dice: Random, use: float, cores: float) -> Sample:
    """Work: SMs and power go with utilisation."""
    use = _clipped(use)
    return Sample(use, use * dice.uniform(0.35, 0.75), 100 + 480 * use * dice.uniform(0.8, 1.1), cores)


def _train(dice: Random) -> Sample:
    return _computing(dice, dice.gauss(0.93, 0.05), dice.uniform(0.8, 3))


def _train_slowly(dice: Random) -> Sample:
    return _computing(dice, dice.gauss(0.3, 0.12), dice.uniform(3, 8))


def _starve(dice: Random) -> Sample:
    """A loader that cannot keep up: a batch now and then."""
    return _computing(dice, dice.gauss(0.07, 0.03), dice.uniform(4, 12))


def _simulate(dice: Random) -> Sample:
    """Reinforcement learning: the environment is on the CPUs."""
    return _computing(dice, dice.gauss(0.05, 0.025), dice.uniform(6, 16))


def _memory_bound(dice: Random) -> Sample:
    """Small kernels, all the time."""
    return Sample(1.0, dice.uniform(0.1, 0.3), dice.gauss(190, 20), dice.uniform(0.8, 1.5))


def _load(dice: Random) -> Sample:
    """Read and prepare data; the GPU has a context at most."""
    return Sample(_clipped(dice.gauss(0, 0.004)), 0.0, dice.gauss(112, 4), dice.uniform(2, 16))


def _compile(dice: Random) -> Sample:
    return Sample(_clipped(dice.gauss(0, 0.01)), 0.0, dice.gauss(114, 4), dice.uniform(0.1, 1.2))


def _evaluate(dice: Random) -> Sample:
    return _computing(dice, dice.choice((0.0, 0.01, 0.15, 0.5)), dice.uniform(0.5, 4))


def _save(dice: Random) -> Sample:
    return Sample(_clipped(dice.gauss(0.01, 0.01)), 0.0, dice.gauss(118, 5), dice.uniform(0.5, 2))


def _nothing(dice: Random) -> Sample:
    """The process is there, and waits; at times something stray shows for a moment."""
    use = dice.uniform(0.001, 0.02) if dice.random() < 0.05 else 0.0
    return Sample(use, 0.3 * use, dice.gauss(113, 3), dice.uniform(0, 0.05))


def _try_things(dice: Random) -> Sample:
    """A person at a notebook: cells of some seconds, with thinking between them."""
    if dice.random() < 0.4:
        return _computing(dice, dice.uniform(0.02, 0.7), dice.uniform(0.2, 2))
    return _nothing(dice)


def _serve(dice: Random) -> Sample:
    return _computing(dice, dice.uniform(0.1, 0.7), dice.uniform(0.5, 2))


def _serve_few(dice: Random) -> Sample:
    """A service at night: a question now and then."""
    return _computing(dice, dice.uniform(0.01, 0.1), 0.2) if dice.random() < 0.08 else _nothing(dice)


def _pretend(dice: Random) -> Sample:
    """A script that multiplies small matrices so that nobody takes the GPU away."""
    return Sample(_clipped(dice.gauss(0.12, 0.03)), dice.uniform(0.001, 0.004), dice.gauss(125, 4), 1.0)


def _hang(dice: Random) -> Sample:
    """A collective call waits for a rank that is not coming."""
    return Sample(1.0, dice.uniform(0.05, 0.2), dice.uniform(95, 125), 1.0)


def _reserve(dice: Random) -> Sample:
    return Sample(0.0, 0.0, dice.gauss(70, 1), 0.0, process=False)


ACTS: Final[Mapping[str, Act]] = {
    "train": _train,
    "train slowly": _train_slowly,
    "starve": _starve,
    "simulate": _simulate,
    "memory bound": _memory_bound,
    "load": _load,
    "compile": _compile,
    "evaluate": _evaluate,
    "save": _save,
    "nothing": _nothing,
    "try things": _try_things,
    "serve": _serve,
    "serve few": _serve_few,
    "pretend": _pretend,
    "hang": _hang,
    "reserve": _reserve,
}
