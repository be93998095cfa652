"""Other thresholds for some runs and times: which row applies, and which is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from configured import configured, in_file, told
from judged import ME

from gpuwatch.judge.limits import Limits
from gpuwatch.judge.overrides import Overrides, Row, WeekTime
from gpuwatch.units import HOUR, MINUTE

MON, FRI, SAT, SUN = 0, 4, 5, 6
NOON = WeekTime(MON, 12 * 60)


def limits(*rows: Row, kind: str = "batch", at: WeekTime = NOON) -> Limits:
    return Overrides(rows).limits_for(ME, kind, at)


def test_without_rows_the_limits_are_the_usual_ones() -> None:
    assert limits() == Limits()


def test_a_row_sets_what_it_names_and_nothing_else() -> None:
    row = {"idle_after": "2h", "idle_below": 0.01, "underused_below": 0, "push_after": "45m", "quiet": True}
    assert limits(row) == Limits(
        idle_after=2 * HOUR, idle_below=0.01, underused_below=0.0, push_after=45 * MINUTE, quiet=True
    )
    assert limits({"quiet": True}) == Limits(quiet=True)


@pytest.mark.parametrize("row", [{"user": "ann"}, {"project": "vision"}, {"kind": "batch"}, {"days": "mon"}])
def test_a_row_is_for_those_that_it_names(row: dict[str, str]) -> None:
    other = {name: {"kind": "service", "days": "tue-sun"}.get(name, "other") for name in row}
    assert limits({**row, "quiet": True}).quiet
    assert not limits({**other, "quiet": True}).quiet
    assert not limits({**row, **{"user": "ben"}, "quiet": True}).quiet


def test_the_more_specific_row_wins_and_among_equals_the_last() -> None:
    user, everybody = {"user": "ann", "idle_after": "1h"}, {"idle_after": "2h", "quiet": True}
    both = {"user": "ann", "kind": "batch", "idle_after": "3h"}
    assert limits(user, everybody) == Limits(idle_after=HOUR, quiet=True)
    assert limits(both, user, everybody).idle_after == 3 * HOUR
    assert limits(user, {"project": "vision", "idle_after": "4h"}).idle_after == 4 * HOUR


@pytest.mark.parametrize(
    ("at", "is_on"),
    [
        (WeekTime(FRI, 19 * 60 + 59), False),
        (WeekTime(FRI, 20 * 60), True),
        (WeekTime(SAT, 7 * 60 + 59), True),
        (WeekTime(SAT, 8 * 60), False),
        (WeekTime(SAT, 21 * 60), False),
        (WeekTime(FRI, 7 * 60), False),
    ],
)
def test_a_night_belongs_to_the_day_on_which_it_begins(at: WeekTime, is_on: bool) -> None:
    assert limits({"hours": "20:00-08:00", "days": "fri", "quiet": True}, at=at).quiet is is_on


def test_the_night_of_sunday_reaches_into_monday() -> None:
    row = {"hours": "22:00-06:00", "days": "sun", "quiet": True}
    assert limits(row, at=WeekTime(MON, 60)).quiet
    assert not limits(row, at=WeekTime(SUN, 60)).quiet


def test_hours_of_one_day_begin_with_their_first_minute_and_end_before_their_last() -> None:
    row = {"hours": "12:00-14:00", "quiet": True}
    found = [limits(row, at=WeekTime(MON, minute)).quiet for minute in (719, 720, 839, 840)]
    assert found == [False, True, True, False]
    assert limits({"hours": "18:00-24:00", "quiet": True}, at=WeekTime(MON, 1439)).quiet


@pytest.mark.parametrize(("days", "on"), [("sat sun", {5, 6}), ("mon-fri", {0, 1, 2, 3, 4}), ("fri-mon", {4, 5, 6, 0})])
def test_days_are_words_and_ranges(days: str, on: set[int]) -> None:
    assert {day for day in range(7) if limits({"days": days, "quiet": True}, at=WeekTime(day, 0)).quiet} == on


@pytest.mark.parametrize(
    "row",
    [
        {"user": ""}, {"user": 5}, {"project": "a\nb"}, {"kind": "cron"}, {"kind": []}, {"hours": "20-8"},
        {"hours": "08:00-08:00"}, {"hours": "24:00-08:00"}, {"hours": "08:00-24:30"}, {"hours": 8}, {"days": "Sat"},
        {"days": ""}, {"days": "mon-"}, {"days": "mon - fri"}, {"idle_after": "0m"}, {"idle_after": 90},
        {"idle_after": "1.5h"}, {"idle_after": "30 min"}, {"idle_after": "\u0663h"}, {"idle_below": 1.1},
        {"idle_below": True}, {"idle_below": float("nan")}, {"underused_below": "10%"}, {"push_after": "-1h"},
        {"quiet": "yes"}, {"quiet": 1},
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused(row: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Overrides([row])


def test_rows_are_written_as_tables_of_the_configuration(tmp_path: Path) -> None:
    rows = '[[judge.override]]\nkind = "service"\nquiet = true\n\n[[judge.override]]\nidle_after = "2h"\n'
    overrides = Overrides(configured(path=in_file(tmp_path, rows)).settings.overrides)
    assert overrides.limits_for(ME, "service", NOON) == Limits(idle_after=2 * HOUR, quiet=True)


def test_a_row_with_an_unknown_name_is_told(tmp_path: Path) -> None:
    path = in_file(tmp_path, '[[judge.override]]\nidle_for = "2h"\n')
    (line,) = told("config", "--show", "--config", path)
    assert (
        f'{path}: judge.override has "idle_for" in table 1, which is none of user, project, kind, hours, days' in line
    )
