"""Which time a report is about, from words that people use. Pure: the time now and the zone are arguments.

Days, weeks (of ISO 8601) and months are those of a calendar: where clocks are changed, a day has 23 or 25 hours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Final

from gpuwatch.errors import UsageError
from gpuwatch.model.history import Window
from gpuwatch.report.calendar import Span, parse_span
from gpuwatch.report.figures import written_duration
from gpuwatch.units import HOUR

RIGHT: Final = (
    "must be a length (36h, 7d, 2w), a name (today, yesterday, this week, last week, this month, last month), "
    "a week (2026-W46), a month (2026-11), a day (2026-11-01) or a moment (2026-11-01T08:00, or with a zone, +01:00)"
)
_LENGTH = re.compile(r"(\d{1,6})\s*([hdw])", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time that a report is about."""

    window: Window
    """As far as it has passed."""
    label: str
    """In words: `last week (2026-W46)`."""
    zone: tzinfo
    """Whose days and weeks they are."""
    before: Window
    """The stretch of the same kind before it, to compare with."""
    before_label: str
    """In words: `the week before`."""
    partial: str = ""
    """A sentence where it is not over: `this week is not over: 4 d 3 h of 7 d`."""

    @property
    def complete(self) -> bool:
        """All of it has passed."""
        return not self.partial

    def local(self, unix: float) -> datetime:
        """A time on the clocks of its zone."""
        return datetime.fromtimestamp(unix, self.zone)

    def days(self) -> list[tuple[str, Window]]:
        """Its calendar days by date (`2026-11-16`), the first and the last as far as they are in it."""
        days, start = [], self.window.start
        while start < self.window.end:
            day = self.local(start).date()
            end = min(_midnight(day + timedelta(days=1), self.zone), self.window.end)
            days.append((day.isoformat(), Window(start, end)))
            start = end
        return days


def parse_period(since: str, until: str | None, *, zone: tzinfo, now_unix: float) -> Period:
    """The period from `since` to `until`, as people write them (`RIGHT`), without `until` as below.

    A length ends at `until`, or now. A name, a week or a month is that stretch; a day or a moment lasts until now.
    An `until` that is a stretch or a day is within. Raises UsageError where it is no such text, or nothing has passed.
    """
    try:
        if until is None and (span := parse_span(since, _today(zone, now_unix))) is not None:
            return _of_span(span, zone, now_unix)
        end = now_unix if until is None else _end(until, zone, now_unix)
        if end <= 0:
            raise ValueError(f"--until {until!r} is before 1970")
        start = _start(since, end, zone, now_unix)
    except OverflowError as error:
        asked = f"--since {since!r}" if until is None else f"--since {since!r} --until {until!r}"
        raise UsageError(f"{asked} goes to before 1970, or beyond 9999") from error
    except ValueError as error:
        raise UsageError(str(error)) from error
    if start < 0:
        raise UsageError(f"--since {since!r} goes back to before 1970")
    if start >= now_unix:
        raise UsageError(f"--since {since!r} lies ahead: nothing is recorded of it yet")
    if end <= start:
        raise UsageError(f"--until {until!r} is not after --since {since!r}")
    return _stretch(since, Window(start, end), zone, now_unix)


def _of_span(span: Span, zone: tzinfo, now_unix: float) -> Period:
    """A stretch of the calendar, and the one before it; of one that is not over, as far as it has passed."""
    start, end = _midnight(span.first, zone), _midnight(span.after, zone)
    if start < 0:
        raise ValueError(f"--since {span.name!r} goes back to before 1970")
    if start >= now_unix:
        raise ValueError(f"--since {span.name!r} lies ahead: nothing is recorded of it yet")
    before = Window(_midnight(span.before, zone), start)
    if end <= now_unix:
        return Period(Window(start, end), span.label, zone, before, f"the {span.unit} before")
    passed = now_unix - start
    whole = written_duration((span.after - span.first).total_seconds())
    return Period(
        window=Window(start, now_unix),
        label=span.label,
        zone=zone,
        before=Window(before.start, min(before.start + passed, before.end)),
        before_label=f"the same part of the {span.unit} before",
        partial=f"{span.name} is not over: {written_duration(passed)} of {whole}",
    )


def _stretch(since: str, whole: Window, zone: tzinfo, now_unix: float) -> Period:
    """Any stretch, and one of the same length before it."""
    passed = Window(whole.start, min(whole.end, now_unix))
    label = " to ".join(f"{datetime.fromtimestamp(unix, zone):%Y-%m-%d %H:%M}" for unix in whole)
    own = written_duration(passed.seconds)
    start = passed.start - passed.seconds
    if (length := _LENGTH.fullmatch(since)) is not None and whole.end <= now_unix:
        own = f"{length[1]} {length[2]}"
        label = f"the last {own}" if whole.end == now_unix else label
        start = _back(length, passed.start, zone)
    over = whole.end <= now_unix
    return Period(
        window=passed,
        label=label,
        zone=zone,
        before=Window(max(0.0, start), passed.start),
        before_label=f"the {own} before",
        partial="" if over else f"the period is not over: {own} of {written_duration(whole.seconds)}",
    )


def _start(text: str, end: float, zone: tzinfo, now_unix: float) -> float:
    """Where a period begins that ends at `end`."""
    if (length := _LENGTH.fullmatch(text)) is not None:
        if int(length[1]) == 0:
            raise ValueError("--since must be longer than nothing")
        return _back(length, end, zone)
    if (span := parse_span(text, _today(zone, now_unix))) is not None:
        return _midnight(span.first, zone)
    if _DAY.fullmatch(text):
        return _midnight(_day(text, "--since"), zone)
    return _moment(text, "--since", zone)


def _end(text: str, zone: tzinfo, now_unix: float) -> float:
    """Where a period ends: with the stretch or day that is named, or at a moment."""
    if (span := parse_span(text, _today(zone, now_unix))) is not None:
        return _midnight(span.after, zone)
    if _DAY.fullmatch(text):
        return _midnight(_day(text, "--until") + timedelta(days=1), zone)
    if (length := _LENGTH.fullmatch(text)) is not None:
        return _back(length, now_unix, zone)
    return _moment(text, "--until", zone)


def _back(length: re.Match[str], unix: float, zone: tzinfo) -> float:
    """The moment a length before another: days and weeks by the calendar, at the same time of day."""
    number, unit = int(length[1]), length[2]
    if unit == "h":
        return unix - number * HOUR
    days = timedelta(days=number * (7 if unit == "w" else 1))
    return (datetime.fromtimestamp(unix, zone) - days).timestamp()


def _day(text: str, option: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{option} {text!r} is no day of the calendar") from error


def _moment(text: str, option: str, zone: tzinfo) -> float:
    try:
        moment = datetime.fromisoformat(text) if _MOMENT.fullmatch(text) else None
    except ValueError:
        moment = None
    if moment is None:
        raise ValueError(f"{option} {text!r} is no time; it {RIGHT}")
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp()


def _today(zone: tzinfo, now_unix: float) -> date:
    return datetime.fromtimestamp(now_unix, zone).date()


def _midnight(day: date, zone: tzinfo) -> float:
    """When a day begins; where clocks skip midnight, when they do."""
    return datetime.combine(day, time(), zone).timestamp()
