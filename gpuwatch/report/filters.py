"""What a report was asked to be about: names of people, nodes and runs, as somebody typed them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from gpuwatch.errors import NothingRecorded
from gpuwatch.model.history import DEVICE_KEYS, Filters, Source, Window
from gpuwatch.report.document import NO_TEAM
from gpuwatch.report.privacy import WITHHELD

_SHOWN = 8


def in_history(
    source: Source, window: Window, where: Filters, *, teams: Mapping[str, str], names: str
) -> dict[str, tuple[str, ...]]:
    """The filters in the keys of a history: teams as the people in them.

    Raises NothingRecorded where the record knows nothing of a value in the window, with those that may be meant, as
    far as the policy on `names` allows.
    """
    asked = {key: tuple(values) for key, values in where.items() if key != "team"}
    if "team" in where:
        asked["user"] = _members(source, window, where, teams)
    for key, values in asked.items():
        if key != "user" or "team" not in where:
            _check(source, window, key, values, hints=names == "all" or key not in WITHHELD)
    return asked


def of_devices(where: Filters) -> dict[str, tuple[str, ...]]:
    """Those filters that say which devices it is about."""
    return {key: tuple(values) for key, values in where.items() if key in DEVICE_KEYS}


def _members(source: Source, window: Window, where: Filters, teams: Mapping[str, str]) -> tuple[str, ...]:
    """The people in the teams that are asked for, of those that are asked for."""
    wanted = where["team"]
    known = {*teams.values(), NO_TEAM}
    if unknown := sorted(set(wanted) - known):
        raise NothingRecorded(_unknown("team", unknown, known))
    people = {person for person, team in teams.items() if team in wanted}
    if NO_TEAM in wanted:
        people |= _known(source, window, "user", {}) - set(teams)
    people &= set(where.get("user", people))
    if not people:
        raise NothingRecorded(f"nobody who is asked for is in {' or '.join(wanted)}")
    return tuple(sorted(people))


def _check(source: Source, window: Window, key: str, values: Sequence[str], *, hints: bool) -> None:
    if missing := sorted(set(values) - _known(source, window, key, {key: values})):
        raise NothingRecorded(_unknown(key, missing, _known(source, window, key, {}) if hints else set()))


def _known(source: Source, window: Window, key: str, where: Filters) -> set[str]:
    """The values of a key in the window; of nodes those too that sent nothing."""
    if key == "node":
        return set(source.extent(window).nodes)
    ask = source.fleet if key in DEVICE_KEYS else source.usage
    return {value for (value,) in ask(window, (key,), where)}


def _unknown(key: str, missing: Sequence[str], known: set[str]) -> str:
    """What is not there, and the names that are like it, or that there are."""
    sentence = f"the record has no {key} {', '.join(map(repr, missing))} in this period"
    there = sorted(known - {""})
    if near := [name for value in missing for name in get_close_matches(value, there, n=3)]:
        return f"{sentence}; did you mean {' or '.join(dict.fromkeys(near))}?"
    more = f" and {len(there) - _SHOWN} more" if len(there) > _SHOWN else ""
    return f"{sentence}; there is: {', '.join(there[:_SHOWN])}{more}" if there else sentence
