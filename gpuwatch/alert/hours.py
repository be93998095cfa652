"""When people are at work: `mon-fri 09:00-18:00`. Pure; by the clocks on the wall, whatever is done to them."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final, NamedTuple

RIGHT: Final = "days and hours like mon-fri 09:00-18:00 or mon,wed 08:30-24:00"
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY: Final = "|".join(_DAYS)
_FORM: Final = re.compile(
    rf"((?:{_DAY})(?:[-,](?:{_DAY}))*) ([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)", re.ASCII
)


class WorkingHours(NamedTuple):
    """Some days of the week, and from which minute of them up to, and without, which other."""

    days: frozenset[int]
    """0 is Monday."""
    start: int
    end: int

    def covers(self, local: datetime) -> bool:
        """Whether a moment is within them."""
        return local.weekday() in self.days and self.start <= 60 * local.hour + local.minute < self.end


def parse_hours(text: str) -> WorkingHours:
    """From words (`RIGHT`). Raises ValueError for others, and for hours that end before they begin."""
    match = _FORM.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError(text)
    start, end = 60 * int(match[2]) + int(match[3]), 60 * int(match[4]) + int(match[5])
    if not start < end <= 24 * 60:
        raise ValueError(text)
    return WorkingHours(frozenset(day for part in match[1].split(",") for day in _span(part)), start, end)


def _span(part: str) -> list[int]:
    """The days from one to another, over the end of the week where need be."""
    ends = [_DAYS.index(name) for name in part.split("-")]
    if len(ends) > 2:
        raise ValueError(part)
    first, last = ends[0], ends[-1]
    return [day % 7 for day in range(first, (last if last >= first else last + 7) + 1)]
