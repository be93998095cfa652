"""The minutes that judgement goes by: how they are taken from running totals, and for how long they are kept."""

from __future__ import annotations

from dataclasses import replace

import pytest
from judged import ME, MONDAY, OTHER, course, idle, play, work
from judgement_stories import STORIES

from gpuwatch.judge.bins import DeviceMinute, Minutes
from gpuwatch.judge.clocks import Charge, Clocks, Stretch
from gpuwatch.judge.limits import Limits
from gpuwatch.judge.verdict import Circumstances, judge
from gpuwatch.model import DeviceUse, OnDevice, Owner, RunTotal, States, Use
from gpuwatch.units import DAY, HOUR, MINUTE

KEY: OnDevice = ("GPU-0", ME)
FIRST = MONDAY // MINUTE
HELD = DeviceMinute(60.0, 60.0, 0.0, 4200.0)


def usual(_: Owner) -> Limits:
    return Limits()


def entered(minutes: Minutes, minute: int, charge: Charge | None, device: DeviceMinute = HELD) -> Clocks | None:
    charges = {} if charge is None else {KEY: charge}
    minutes.enter(minute, charges, {"GPU-0": device}, limits_of=usual, power_limits={"GPU-0": 700.0})
    return minutes.of(KEY)


def closed(minutes: Minutes, minute: int, held: float, *, device: float) -> Clocks | None:
    runs = {KEY: RunTotal(Use(held, 0.0, 0.0))}
    devices = {"GPU-0": DeviceUse(states=States(idle=device))}
    minutes.close(minute, runs, devices, limits_of=usual, power_limits={})
    return minutes.of(KEY)


def seen(clocks: Clocks | None) -> float:
    assert clocks is not None
    return clocks.idle.seen


def test_a_run_seen_for_the_first_time_is_ok() -> None:
    judgement = judge(None, Limits(), Circumstances(MONDAY, MONDAY))
    assert (judgement.verdict, judgement.idle_seconds, judgement.mean_use, judgement.coverage) == ("ok", 0, None, 0)


def test_a_minute_is_what_the_totals_have_grown_by() -> None:
    minutes = Minutes()
    minutes.begin({KEY: RunTotal(Use(1000.0, 0.0, 0.0))}, {"GPU-0": DeviceUse(states=States(idle=5000.0))})
    assert seen(closed(minutes, FIRST, 1060.0, device=5060.0)) == 60
    assert seen(closed(minutes, FIRST + 1, 1120.0, device=5120.0)) == 120


def test_the_past_of_a_run_that_came_back_is_not_of_this_minute() -> None:
    minutes = Minutes()
    minutes.begin({}, {"GPU-0": DeviceUse(states=States(idle=5000.0))})
    assert closed(minutes, FIRST, 90_000.0, device=5060.0) is None
    assert seen(closed(minutes, FIRST + 1, 90_060.0, device=5120.0)) == 60


def test_who_was_not_there_while_the_device_was_seen_is_forgotten() -> None:
    minutes = Minutes()
    entered(minutes, FIRST, Charge(60.0, 0.0))
    assert entered(minutes, FIRST + 1, None) is None


def test_who_was_not_seen_is_remembered_for_a_day() -> None:
    minutes, unseen = Minutes(), DeviceMinute(0.0, 0.0, 0.0)
    entered(minutes, FIRST, Charge(60.0, 0.0))
    assert entered(minutes, FIRST + DAY // MINUTE, None, unseen) is not None
    assert entered(minutes, FIRST + DAY // MINUTE + 1, None, unseen) is None


def test_on_a_shared_device_a_run_is_there_for_longer_than_it_is_charged() -> None:
    minutes = Minutes()
    for minute in range(3):
        clocks = entered(minutes, FIRST + minute, Charge(20.0, 0.0))
    assert clocks is not None
    assert (clocks.idle.seen, clocks.idle.held) == (140, 60)  # of its first minute only what it was charged is sure


def test_who_has_next_to_nothing_of_a_minute_wastes_nothing() -> None:
    assert entered(Minutes(), FIRST, Charge(0.05, 0.0)) is None


def test_a_long_idle_time_is_brought_back_from_sums() -> None:
    minutes = Minutes()
    minutes.recall(KEY, FIRST - 1, Stretch(MONDAY - 20 * HOUR, 19.0 * HOUR, 19.0 * HOUR, 60.0, 5e6))
    clocks = entered(minutes, FIRST, Charge(60.0, 0.0))
    judgement = judge(clocks, Limits(), Circumstances(MONDAY + MINUTE, MONDAY - 3 * DAY))
    assert (judgement.verdict, judgement.since_unix) == ("idle", MONDAY - 20 * HOUR)
    assert judgement.idle_seconds == judgement.wasted_seconds == 19 * HOUR + MINUTE
    assert judgement.coverage == pytest.approx(0.95, abs=0.01)


def test_what_is_brought_back_holds_before_the_first_minute_is_over() -> None:
    minutes = Minutes()
    minutes.recall(KEY, FIRST - 1, Stretch(MONDAY - 20 * HOUR, 15.0 * HOUR, 15.0 * HOUR))
    judgement = judge(minutes.of(KEY), Limits(), Circumstances(MONDAY, MONDAY - 3 * DAY))
    assert (judgement.verdict, judgement.coverage) == ("idle", 0.75)
    minutes.recall(KEY, FIRST - 1, Stretch(MONDAY - 300, 300.0, 300.0))
    judgement = judge(minutes.of(KEY), Limits(), Circumstances(MONDAY, MONDAY - 3 * DAY))
    assert (judgement.verdict, judgement.idle_seconds, judgement.mean_use) == ("ok", 300, None)


def test_the_idle_power_is_the_lowest_that_was_seen_of_an_unused_device() -> None:
    hung = Charge(60.0, 60.0, 60 * 120.0)
    for idle_watts, is_stuck in ((70.0, True), (50.0, False)):
        minutes = Minutes()
        minutes.recall_idle_watts("GPU-0", 90.0)
        entered(minutes, FIRST - 1, None, DeviceMinute(60.0, 0.0, 0.0, 60 * idle_watts))
        entered(minutes, FIRST, None, DeviceMinute(60.0, 0.0, 30.0, 60 * 20.0))  # used: not its idle power
        clocks = entered(minutes, FIRST + 1, hung, DeviceMinute(60.0, 60.0, 60.0, hung.joules))
        assert clocks is not None
        assert (clocks.stuck.seen > 0) is is_stuck


def test_no_more_than_an_hour_of_minutes_is_kept_of_a_run() -> None:
    minutes = Minutes()
    for minute in range(600):
        clocks = entered(minutes, FIRST + minute, Charge(60.0, 6.0))
    assert clocks is not None
    total = clocks.hour.total()
    assert total is not None
    assert (total.since_unix, total.seen) == (MONDAY + 540 * MINUTE, HOUR)


def test_an_hour_of_seen_time_reaches_back_two_hours_at_most() -> None:
    minutes = Minutes()
    for minute in range(0, 600, 3):
        clocks = entered(minutes, FIRST + minute, Charge(60.0, 0.0))
    assert clocks is not None
    total = clocks.hour.total()
    assert total is not None
    assert total.seen == 40 * MINUTE


def test_two_runs_on_a_device_have_clocks_of_their_own() -> None:
    minutes = Minutes()
    charges = {KEY: Charge(40.0, 20.0), ("GPU-0", OTHER): Charge(20.0, 0.0)}
    minutes.enter(FIRST, charges, {"GPU-0": HELD}, limits_of=usual, power_limits={})
    assert seen(minutes.of(KEY)) == 0
    assert seen(minutes.of(("GPU-0", OTHER))) == 20


def test_the_reason_has_the_figures() -> None:
    story = next(story for story in STORIES if story.title == "all 8 ranks hang in a collective call")
    assert course(story).reasons[70] == "100% busy at 100 W, as if idle, for 10 min"
    story = next(story for story in STORIES if story.title == "snoozed, and the snooze runs out")
    assert course(story).reasons[80] == (
        "no minute at 5% or more for 20 min; meant for 69 min more, says ann: waiting for labels"
    )


def test_since_and_coverage_leave_out_what_was_not_seen() -> None:
    story = next(story for story in STORIES if story.title == "20 min unseen in an idle stretch")
    (judgement,) = list(play(story))[99].judgements
    start = MONDAY + story.begins * HOUR
    assert judgement.since_unix == start + 60 * MINUTE
    assert (judgement.idle_seconds, judgement.wasted_seconds) == (20 * MINUTE, 20 * MINUTE)
    assert judgement.coverage == pytest.approx(0.5, abs=0.01)
    assert judgement.mean_watts == pytest.approx(70)


def test_after_a_clock_set_back_it_began_no_later_than_it_can_have() -> None:
    story = replace(STORIES[0], doing=(work(60), idle(40)), clock_steps={90: -3600.0})
    (judgement,) = list(play(story))[-1].judgements
    now = MONDAY + story.begins * HOUR + 40 * MINUTE + 0.3
    assert judgement.since_unix == pytest.approx(now - 40 * MINUTE)
    assert judgement.coverage == 1
