"""Which time is meant by the words that people use."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuwatch.errors import UsageError
from gpuwatch.report.figures import written_duration
from gpuwatch.report.period import Period, parse_period
from gpuwatch.report.zone import read_zone
from gpuwatch.units import DAY, HOUR

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 20, 12, 44, tzinfo=BERLIN).timestamp()
"""A Friday of week 47."""


def period_of(since: str, until: str | None = None, *, now: float = NOW) -> Period:
    return parse_period(since, until, zone=BERLIN, now_unix=now)


def shown(unix: float) -> str:
    return f"{datetime.fromtimestamp(unix, BERLIN):%Y-%m-%d %H:%M}"


@pytest.mark.parametrize(
    ("since", "start", "end", "label"),
    [
        ("36h", "2026-11-19 00:44", "2026-11-20 12:44", "the last 36 h"),
        ("7d", "2026-11-13 12:44", "2026-11-20 12:44", "the last 7 d"),
        ("2w", "2026-11-06 12:44", "2026-11-20 12:44", "the last 2 w"),
        ("today", "2026-11-20 00:00", "2026-11-20 12:44", "today (2026-11-20)"),
        ("yesterday", "2026-11-19 00:00", "2026-11-20 00:00", "yesterday (2026-11-19)"),
        ("this week", "2026-11-16 00:00", "2026-11-20 12:44", "this week (2026-W47)"),
        ("last week", "2026-11-09 00:00", "2026-11-16 00:00", "last week (2026-W46)"),
        ("Last-Week", "2026-11-09 00:00", "2026-11-16 00:00", "last week (2026-W46)"),
        ("last month", "2026-10-01 00:00", "2026-11-01 00:00", "last month (2026-10)"),
        ("2026-W46", "2026-11-09 00:00", "2026-11-16 00:00", "2026-W46"),
        ("2025-12", "2025-12-01 00:00", "2026-01-01 00:00", "2025-12"),
        ("2026-11-01", "2026-11-01 00:00", "2026-11-20 12:44", "2026-11-01 00:00 to 2026-11-20 12:44"),
        ("2026-11-01T08:00", "2026-11-01 08:00", "2026-11-20 12:44", "2026-11-01 08:00 to 2026-11-20 12:44"),
        ("2026-11-01T08:00+05:00", "2026-11-01 04:00", "2026-11-20 12:44", "2026-11-01 04:00 to 2026-11-20 12:44"),
    ],
)
def test_the_words_for_a_time(since: str, start: str, end: str, label: str) -> None:
    period = period_of(since)
    assert (shown(period.window.start), shown(period.window.end), period.label) == (start, end, label)


@pytest.mark.parametrize(
    ("since", "until", "start", "end"),
    [
        ("2026-11-01", "2026-11-03", "2026-11-01 00:00", "2026-11-04 00:00"),
        ("2026-11-01", "2026-11-03T12:00", "2026-11-01 00:00", "2026-11-03 12:00"),
        ("7d", "2026-11-15", "2026-11-09 00:00", "2026-11-16 00:00"),
        ("2026-09", "2026-10", "2026-09-01 00:00", "2026-11-01 00:00"),
        ("last month", "yesterday", "2026-10-01 00:00", "2026-11-20 00:00"),
        ("14d", "7d", "2026-10-30 12:44", "2026-11-13 12:44"),
    ],
)
def test_until_takes_in_the_day_or_stretch_that_it_names(since: str, until: str, start: str, end: str) -> None:
    window = period_of(since, until).window
    assert (shown(window.start), shown(window.end)) == (start, end)


@pytest.mark.parametrize(
    ("since", "until", "start", "end", "label"),
    [
        ("last week", None, "2026-11-02 00:00", "2026-11-09 00:00", "the week before"),
        ("this week", None, "2026-11-09 00:00", "2026-11-13 12:44", "the same part of the week before"),
        ("last month", None, "2026-09-01 00:00", "2026-10-01 00:00", "the month before"),
        ("36h", None, "2026-11-17 12:44", "2026-11-19 00:44", "the 36 h before"),
        ("4w", None, "2026-09-25 12:44", "2026-10-23 12:44", "the 4 w before"),  # the clocks were changed in between
        ("2026-11-10", "2026-11-11", "2026-11-08 00:00", "2026-11-10 00:00", "the 2 d before"),
    ],
)
def test_what_it_is_compared_with(since: str, until: str | None, start: str, end: str, label: str) -> None:
    period = period_of(since, until)
    assert (shown(period.before.start), shown(period.before.end), period.before_label) == (start, end, label)


def test_what_is_not_over_says_so() -> None:
    assert period_of("this week").partial == "this week is not over: 4 d 12 h of 7 d"
    assert period_of("2026-11-19", "2026-11-30").partial == "the period is not over: 1 d 12 h of 12 d"
    assert not period_of("this week").complete
    assert period_of("last week").complete
    assert period_of("7d").complete


@pytest.mark.parametrize(
    ("since", "until", "message"),
    [
        ("last wek", None, "is no time; it must be a length"),
        ("7", None, "is no time"),
        ("0d", None, "longer than nothing"),
        ("2026-W54", None, "the calendar has no 2026-W54"),
        ("2026-13", None, "the calendar has no 2026-13"),
        ("2026-02-30", None, "no day of the calendar"),
        ("2026-11-01T25:00", None, "is no time"),
        ("2027-01-01", None, "lies ahead"),
        ("2026-12", None, "lies ahead"),
        ("2026-11-05", "2026-11-01", "is not after"),
        ("7d", "tomorrow", "--until 'tomorrow' is no time"),
        ("999999w", None, "before 1970"),
        ("1969-12-01", None, "before 1970"),
        ("7d", "1960-01-01", "--until '1960-01-01' is before 1970"),
        ("7d", "9999-12-31", "--until '9999-12-31' goes to before 1970, or beyond 9999"),
    ],
)
def test_what_is_no_time_is_told_with_what_would_be(since: str, until: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        period_of(since, until)


@given(st.text(max_size=20), st.none() | st.text(max_size=20))
def test_any_text_is_a_period_or_a_clear_error(since: str, until: str | None) -> None:
    try:
        period = period_of(since, until)
    except UsageError as error:
        assert str(error)
    else:
        assert 0 <= period.window.start < period.window.end <= NOW


def test_a_day_has_25_hours_when_clocks_go_back() -> None:
    now = datetime(2026, 10, 26, 9, 0, tzinfo=BERLIN).timestamp()
    days = dict(period_of("last week", now=now).days())
    assert days["2026-10-25"].seconds == 25 * HOUR
    assert {window.seconds for day, window in days.items() if day != "2026-10-25"} == {24 * HOUR}
    assert period_of("1d", now=now - 12 * HOUR).window.seconds == 25 * HOUR
    assert period_of("24h", now=now - 12 * HOUR).window.seconds == 24 * HOUR


@given(st.floats(0, 400 * DAY), st.sampled_from(["36h", "9d", "this month", "2026-01-01", "last week"]))
def test_the_days_of_a_period_make_it_up(later: float, since: str) -> None:
    period = period_of(since, now=NOW + later)
    windows = [window for _, window in period.days()]
    assert (windows[0].start, windows[-1].end) == period.window
    assert all(one.end == next_.start for one, next_ in pairwise(windows))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (30, "0 min"),
        (420, "7 min"),
        (3 * HOUR, "3 h"),
        (5.5 * HOUR, "5 h 30 min"),
        (7 * DAY, "7 d"),
        (99 * HOUR, "4 d 3 h"),
    ],
)
def test_stretches_of_time_are_written_in_two_units(seconds: float, text: str) -> None:
    assert written_duration(seconds) == text


def test_the_zone_is_the_named_one_else_the_machines(tmp_path: Path) -> None:
    database = tmp_path / "zoneinfo/Europe/Berlin"
    database.parent.mkdir(parents=True)
    database.touch()
    localtime = tmp_path / "localtime"
    localtime.symlink_to(database)
    assert read_zone("Asia/Tokyo", local="Europe/Paris") == ZoneInfo("Asia/Tokyo")
    assert read_zone(None, local=":Europe/Paris") == ZoneInfo("Europe/Paris")
    assert read_zone(None, localtime=localtime) == BERLIN
    assert read_zone(None, localtime=tmp_path / "missing") == UTC
    assert read_zone(None, local="/etc/shadow") == UTC
    with pytest.raises(UsageError, match="did you mean Europe/Berlin"):
        read_zone("Berlin")
    with pytest.raises(UsageError, match="no time zone"):
        read_zone("../../etc/passwd")
