"""Other thresholds for some users, projects, kinds and times of the week: the rows of `[[judge.override]]`. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from gpuwatch.judge.limits import Limits
from gpuwatch.model import Owner
from gpuwatch.units import DAY, MINUTE, parse_duration

Row = Mapping[str, object]
"""As TOML has it."""
_USUAL: Final = Limits()


class WeekTime(NamedTuple):
    """A moment of the week, in the node's local time."""

    day: int
    """From 0 for Monday."""
    minute: int
    """Of the day."""


@dataclass(frozen=True, slots=True)
class Override:
    """One row: whom and when it is for, where empty is any, and what it sets."""

    user: str = ""
    project: str = ""
    kind: str = ""
    hours: tuple[int, int] | None = None
    """Minutes of the day, from and to: over midnight where the first is the later one."""
    days: frozenset[int] | None = None
    """Those on which the hours begin."""
    sets: Mapping[str, Any] | None = None
    """Fields of Limits."""

    @property
    def conditions(self) -> int:
        """How many it has: the more, the more specific it is."""
        return sum(bool(condition) for condition in (self.user, self.project, self.kind, self.hours, self.days))

    def matches(self, owner: Owner, kind: str, local: WeekTime) -> bool:
        """Whether it is for this run at this moment."""
        return (
            self.user in ("", owner.user)
            and self.project in ("", owner.project)
            and self.kind in ("", kind)
            and self._is_on(local)
        )

    def _is_on(self, local: WeekTime) -> bool:
        day, minute = local
        if self.hours is not None:
            start, end = self.hours
            if start > end and minute < end:
                day = (day - 1) % len(_DAYS)  # still the night that began then
            elif minute < start or start < end <= minute:
                return False
        return self.days is None or day in self.days


class Overrides:
    """All rows. Of those that match, each threshold goes by the most specific, and among equals by the last."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        """Rows as they are configured. Raises ValueError for one that is wrong."""
        self._rows = sorted((parse_row(row) for row in rows), key=lambda row: row.conditions)

    def limits_for(self, owner: Owner, kind: str, local: WeekTime) -> Limits:
        """The limits of a run at a moment."""
        limits = _USUAL
        for row in self._rows:
            if row.sets and row.matches(owner, kind, local):
                limits = replace(limits, **row.sets)
        return limits


def parse_row(row: Row) -> Override:
    """One row of TOML. Raises ValueError where a value is wrong, and KeyError for a name that is none."""
    values = {name: FIELDS[name].parse(value) for name, value in row.items()}
    sets = {name: value for name, value in values.items() if name in _SETS}
    return Override(**{name: value for name, value in values.items() if name not in _SETS}, sets=sets)


class Field(NamedTuple):
    """What may stand in a row under one name."""

    right: str
    """What would be right, in words."""
    parse: Callable[[object], Any]
    """From TOML. Raises ValueError."""


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ValueError
    return value


def _kind(value: object) -> str:
    if value not in ("batch", "interactive", "service"):
        raise ValueError
    return str(value)


_CLOCK: Final = r"([01][0-9]|2[0-4]):([0-5][0-9])"
_HOURS: Final = re.compile(f"{_CLOCK}-{_CLOCK}", re.ASCII)


def _hours(value: object) -> tuple[int, int]:
    match = _HOURS.fullmatch(_text(value))
    if match is None:
        raise ValueError
    start, end = (60 * int(match[place]) + int(match[place + 1]) for place in (1, 3))
    if start == end or start >= DAY // MINUTE or end > DAY // MINUTE:
        raise ValueError
    return start, end


_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _days(value: object) -> frozenset[int]:
    return frozenset(day for word in _text(value).split() for day in _days_of(word))


def _days_of(word: str) -> list[int]:
    """Of `sat`, or of `mon-fri`: over the end of the week where the first is the later one."""
    first, dash, last = word.partition("-")
    start, end = _DAYS.index(first), _DAYS.index(last if dash else first)
    return [day % len(_DAYS) for day in range(start, end + 1 if start <= end else end + 1 + len(_DAYS))]


def _duration(value: object) -> float:
    return float(parse_duration(_text(value)))


def _ratio(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError
    return float(value)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


_NAME: Final = Field("a name", _text)
_SPAN: Final = Field('a duration like "30m", "2h" or "1d"', _duration)
_PART: Final = Field("a ratio from 0 to 1", _ratio)
FIELDS: Final[Mapping[str, Field]] = {
    "user": _NAME,
    "project": _NAME,
    "kind": Field("one of: batch, interactive, service", _kind),
    "hours": Field('hours like "20:00-08:00"', _hours),
    "days": Field('days like "sat sun" or "mon-fri"', _days),
    "idle_after": _SPAN,
    "idle_below": _PART,
    "underused_below": _PART,
    "push_after": _SPAN,
    "quiet": Field("true or false", _flag),
}
_SETS: Final = frozenset({"idle_after", "idle_below", "underused_below", "push_after", "quiet"})
