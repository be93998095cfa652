"""Whose names a report shows: `[privacy] names`. Pure.

It says what reports tell, and is no lock: whoever may read the record itself, or the Prometheus server, has the names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from gpuwatch.errors import UsageError
from gpuwatch.model.history import Filters, Usage, Values
from gpuwatch.report.division import Division

KEY: Final = "privacy.names"
WITHHELD: Final = ("user", "project", "run")
"""Keys that tell people's names, or what could tell them."""
_MASKED: Final = {"user": "person", "team": "team"}


def names_shown(names: str, where: Filters, viewer: str) -> str:
    """The policy for what is asked: one's own names may always be seen, by whoever asks for nobody else's."""
    return "all" if list(where.get("user", ())) == [viewer] else names


def divided_by(by: Sequence[str], where: Filters, names: str, viewer: str) -> tuple[str, ...]:
    """The keys that may stand in a report: where people's names are withheld, their teams stand for them.

    Raises UsageError for what can only be told with names.
    """
    if names == "all":
        return tuple(dict.fromkeys(by))
    told = {*WITHHELD, "team"} if names == "none" else set(WITHHELD)
    refused = [f"--{key}" for key in where if key in told]
    refused += [f"--by {key}" for key in by if key in ("project", "run")]
    if refused:
        raise UsageError(
            f"{', '.join(refused)}: names of people and their runs are withheld here ({KEY} = {names}); "
            f"your own may be seen with --user {viewer}"
        )
    return tuple(dict.fromkeys("team" if key == "user" and names == "team" else key for key in by))


def withheld(division: Division, by: Sequence[str], names: str) -> Division:
    """The division as it may be shown: without runs, and with `none` without names, `person 1` being who held most."""
    if names == "all":
        return division
    if names == "team":
        return division._replace(worst={})
    masks = {key: _masks(division, by.index(key), word) for key, word in _MASKED.items() if key in by}
    return Division(
        people=_masked(division.people, by, masks), services=_masked(division.services, by, masks), worst={}
    )


def _masks(division: Division, index: int, word: str) -> dict[str, str]:
    """By name, what stands for it: numbered by the time that all rows of that name held."""
    held: dict[str, float] = {}
    for values, usage in (*division.people.items(), *division.services.items()):
        held[values[index]] = held.get(values[index], 0.0) + usage.held
    ordered = sorted(held, key=lambda name: (-held[name], name))
    return {name: f"{word} {number}" for number, name in enumerate(ordered, start=1)}


def _masked(
    usages: Mapping[Values, Usage], by: Sequence[str], masks: Mapping[str, Mapping[str, str]]
) -> dict[Values, Usage]:
    return {
        tuple(masks[key][value] if key in masks else value for key, value in zip(by, values, strict=True)): usage
        for values, usage in usages.items()
    }
