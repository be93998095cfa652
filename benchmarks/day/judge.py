"""What each way of asking finds, held against the truth: errors by person, and whether all of it adds up. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from statistics import mean
from typing import Final, NamedTuple

from standin.trace import Share

from benchmarks.day.truth import Account
from benchmarks.report import Figure
from benchmarks.truth import percent
from gpuwatch.model.history import Fleet

People = Mapping[str, Share]
MEASURES: Final = Share._fields
RECONCILED_PERCENT: Final = 0.01
AGREED_PERCENT: Final = 1.0
_NOTHING: Final = Share(0.0, 0.0, 0.0)


class Found(NamedTuple):
    """What one way of asking says of the window: by person, and of all GPUs' time where it tells."""

    way: str
    people: People
    limit_percent: float | None = None
    """How far anybody's figures may be off."""
    fleet: Fleet | None = None


def judge(truth: Account, ways: Iterable[Found]) -> Iterator[Figure]:
    """The figures of each way, then each person's."""
    ways = list(ways)
    for found in ways:
        for measure in MEASURES:
            errors = [abs(error) for error in errors_of(found.people, truth.people, measure).values()]
            yield Figure(f"{found.way}: {measure}, worst person", max(errors), "%", found.limit_percent)
            yield Figure(f"{found.way}: {measure}, mean person", mean(errors), "%")
            yield Figure(
                f"{found.way}: {measure}, all together", _error_in_all(found.people, truth.people, measure), "%"
            )
        if found.fleet is not None:
            yield from _reconciled(found, found.fleet, truth)
    for found in ways:
        for name, error in sorted(errors_of(found.people, truth.people, "busy").items()):
            yield Figure(f"{found.way}: busy, {name}", error, "%")


def agreement(one: Found, other: Found) -> Iterator[Figure]:
    """How far two ways are from one another."""
    for measure in MEASURES:
        errors = errors_of(one.people, other.people, measure).values()
        name = f"{one.way} against {other.way}: {measure}, worst person"
        yield Figure(name, max(map(abs, errors)), "%", AGREED_PERCENT)


def errors_of(found: People, due: People, measure: str) -> dict[str, float]:
    """By person, in percent of what is due; below zero is too little."""
    return {
        name: 100 * (getattr(found.get(name, _NOTHING), measure) / getattr(share, measure) - 1)
        for name, share in due.items()
    }


def _error_in_all(found: People, due: People, measure: str) -> float:
    """Of the sum, in which it does not matter who of several has a shared GPU's time; below zero is too little."""
    value, right = (math.fsum(getattr(share, measure) for share in people.values()) for people in (found, due))
    return 100 * (value / right - 1)


def _reconciled(found: Found, fleet: Fleet, truth: Account) -> Iterator[Figure]:
    """Every second of every GPU is somewhere, and where it was; and what is held is somebody's."""
    capacity = sum(truth.states) + truth.unknown
    due = Fleet(*truth.states, unavailable=0.0, unknown=truth.unknown)
    astray = max(abs(one - other) for one, other in zip(fleet[:5], due[:5], strict=True))
    held = sum(share.held for share in found.people.values())
    together = percent(fleet.capacity, capacity)
    yield Figure(f"{found.way}: all states against capacity", together, "%", RECONCILED_PERCENT)
    yield Figure(f"{found.way}: held by people against held", percent(held, fleet.held), "%", RECONCILED_PERCENT)
    yield Figure(f"{found.way}: worst state, of capacity", 100 * astray / capacity, "%", found.limit_percent)
    yield Figure(f"{found.way}: joules of the fleet", percent(fleet.joules, truth.joules), "%", found.limit_percent)
