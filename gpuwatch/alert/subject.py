"""What a message is about: a person's run, or all runs of one array or sweep, on all nodes. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from gpuwatch.model.judgement import IDLE, RESERVED, STUCK, Held, RunNow

WASTING: Final = frozenset({IDLE, RESERVED, STUCK})
"""Verdicts on a device that somebody may be told of."""


class Subject(NamedTuple):
    """Runs that belong together, of which at least one wastes a device."""

    key: str
    user: str
    group: str
    """Of which array or sweep they are; empty for a single run."""
    verdict: str
    """`stuck` where any device is, else `idle`."""
    runs: tuple[RunNow, ...]
    """Of each node, by node and run."""
    since_unix: float
    """Since when the first of its devices is wasted."""
    wasted_gpu_seconds: float
    """On all of them so far, of whole GPUs."""

    @property
    def wasted(self) -> list[Held]:
        """The devices that are held and not used."""
        return [held for run in self.runs for held in wasted_by(run)]

    @property
    def all_gpus(self) -> int:
        """How many devices its runs hold."""
        return len({held.uuid for run in self.runs for held in run.devices})

    @property
    def idle_gpus(self) -> int:
        """How many of them are wasted."""
        return len({held.uuid for held in self.wasted})

    @property
    def longest_seconds(self) -> float:
        """For how long the first of them is."""
        return longest_of(self.wasted)


def subjects(runs: Iterable[RunNow]) -> list[Subject]:
    """The subjects among runs of any nodes, by key. Runs that waste nothing count where another of their group does."""
    together: dict[str, list[RunNow]] = {}
    for run in sorted(runs, key=lambda run: (run.node, run.owner)):
        together.setdefault(key_of(run), []).append(run)
    return [subject for key in sorted(together) if (subject := _subject(key, together[key])) is not None]


def key_of(run: RunNow) -> str:
    """What its messages go by: the person, and the array or sweep, or else the run."""
    return f"{run.owner.user}\ngroup {run.group}" if run.group else f"{run.owner.user}\n{run.owner.run}"


def wasted_by(run: RunNow) -> list[Held]:
    """The devices that a run holds and does not use."""
    return [held for held in run.devices if held.judgement.verdict in WASTING]


def longest_of(devices: Iterable[Held]) -> float:
    """For how long the first of some devices is wasted, in seconds; 0 of none."""
    return max((held.judgement.wasted_seconds for held in devices), default=0.0)


def gpu_seconds_of(devices: Iterable[Held]) -> float:
    """What is wasted on some devices, in seconds of whole GPUs."""
    return sum(held.judgement.wasted_seconds * held.capacity for held in devices)


def _subject(key: str, runs: list[RunNow]) -> Subject | None:
    wasted = [held for run in runs for held in wasted_by(run)]
    if not wasted:
        return None
    return Subject(
        key=key,
        user=runs[0].owner.user,
        group=runs[0].group,
        verdict=STUCK if any(held.judgement.verdict == STUCK for held in wasted) else IDLE,
        runs=tuple(runs),
        since_unix=min(held.judgement.since_unix for held in wasted),
        wasted_gpu_seconds=gpu_seconds_of(wasted),
    )
