"""Days, weeks of ISO 8601 and months by the words that people use. Pure dates: neither zones nor clocks."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import NamedTuple

_WEEK = re.compile(r"(\d{4})-?W(\d\d)", re.ASCII)
_MONTH = re.compile(r"(\d{4})-(\d\d)", re.ASCII)
_NAMES = {
    "today": ("day", 0),
    "yesterday": ("day", -1),
    "this week": ("week", 0),
    "last week": ("week", -1),
    "this month": ("month", 0),
    "last month": ("month", -1),
}


class Span(NamedTuple):
    """A stretch of the calendar: from one day up to, and without, another."""

    first: date
    after: date
    before: date
    """The first day of the one before it."""
    unit: str
    """`day`, `week` or `month`."""
    name: str
    """As it was called."""

    @property
    def label(self) -> str:
        """Its name, and what the calendar calls it: `last week (2026-W46)`."""
        year, week, _ = self.first.isocalendar()
        own = {"day": f"{self.first}", "week": f"{year}-W{week:02}", "month": f"{self.first:%Y-%m}"}[self.unit]
        return f"{self.name} ({own})" if self.name in _NAMES else own


def parse_span(text: str, today: date) -> Span | None:
    """The stretch that is meant; None for what names none. Raises ValueError for a week or month that there is not."""
    name = " ".join(text.lower().replace("-", " ").split()) if text[:1].isalpha() else text
    if name in _NAMES:
        unit, steps = _NAMES[name]
        return _span(_shifted(_first(today, unit), unit, steps), unit, name)
    try:
        if (week := _WEEK.fullmatch(text)) is not None:
            return _span(date.fromisocalendar(int(week[1]), int(week[2]), 1), "week", text)
        if (month := _MONTH.fullmatch(text)) is not None:
            return _span(date(int(month[1]), int(month[2]), 1), "month", text)
    except ValueError as error:
        raise ValueError(f"the calendar has no {text}") from error
    return None


def _span(first: date, unit: str, name: str) -> Span:
    return Span(first, _shifted(first, unit, 1), _shifted(first, unit, -1), unit, name)


def _first(day: date, unit: str) -> date:
    """The first day of the week or month that a day is in."""
    if unit == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if unit == "month" else day


def _shifted(first: date, unit: str, steps: int) -> date:
    """The first day of the stretch so many later."""
    if unit == "month":
        year, month = divmod(first.year * 12 + first.month - 1 + steps, 12)
        return date(year, month + 1, 1)
    return first + timedelta(days=steps * (7 if unit == "week" else 1))
