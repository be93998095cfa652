"""What is told, minute by minute: a few stories, and the laws that hold in any small world."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from idling import BERLIN, TUESDAY, Memory, Spell, at, local, play, run_now, runs_at

from gpuwatch.alert.hours import parse_hours
from gpuwatch.alert.plan import (
    Close,
    Digest,
    HoldBack,
    Minute,
    Open,
    Record,
    Refresh,
    Remind,
    Step,
    plan,
)
from gpuwatch.alert.policy import AlertPolicy
from gpuwatch.model.judgement import IDLE, OK, SNOOZED, STUCK, RunNow
from gpuwatch.model.notice import (
    BUSY,
    CAP,
    EARLY,
    ELSEWHERE,
    ENDED,
    HELD_BACK,
    QUIET,
    SENT,
    SERVICE,
    SHADOW,
    SNOOZE,
    Notice,
    Told,
)
from gpuwatch.units import DAY, HOUR, MINUTE

AGENT = AlertPolicy(mode="agent")


def steps_for(
    *runs: RunNow, memory: Memory | None = None, now: float = TUESDAY, policy: AlertPolicy = AGENT, **about: object
) -> list[Step]:
    memory = memory or Memory()
    minute = Minute(now, runs)._replace(**about)  # type: ignore[arg-type]  # what a test gives
    planned = plan(minute, memory.record, policy, local=local, place="n1")
    memory.take(planned, minute, policy)
    return planned


def kinds(steps: Sequence[Step]) -> list[type[Step]]:
    return [type(step) for step in steps]


def only(steps: Sequence[Step]) -> Step:
    (step,) = steps
    return step


# Stories.


def test_it_is_noted_then_told_then_edited_then_reminded_of_and_closed() -> None:
    memory = Memory()
    first = only(steps_for(run_now(minutes=15), memory=memory))
    assert isinstance(first, HoldBack)
    assert (first.notice.outcome, first.notice.held, first.notice.told) == (HELD_BACK, EARLY, 0)
    assert steps_for(run_now(minutes=29), memory=memory, now=TUESDAY + 14 * MINUTE) == []
    told = only(steps_for(run_now(minutes=30), memory=memory, now=TUESDAY + 15 * MINUTE))
    assert isinstance(told, Open)
    assert told.notice.id == first.notice.id
    assert (told.notice.outcome, told.notice.told, told.notice.opened_unix) == (SENT, 1, TUESDAY + 15 * MINUTE)
    assert steps_for(run_now(minutes=59), memory=memory, now=TUESDAY + 44 * MINUTE) == []
    edited = only(steps_for(run_now(minutes=60), memory=memory, now=TUESDAY + 45 * MINUTE))
    assert isinstance(edited, Refresh)
    reminded = only(steps_for(run_now(minutes=270), memory=memory, now=TUESDAY + 255 * MINUTE))
    assert isinstance(reminded, Remind)
    assert reminded.number == 1
    closed = only(steps_for(run_now(verdict=OK), memory=memory, now=TUESDAY + 256 * MINUTE))
    assert isinstance(closed, Close)
    assert (closed.notice.close_reason, closed.notice.wasted_gpu_seconds) == (BUSY, 8 * 270 * MINUTE)
    assert memory.record.open == []


@pytest.mark.parametrize(
    ("run", "held"),
    [
        (run_now(kind="service", minutes=999), SERVICE),
        (run_now(quiet=True, minutes=999), QUIET),
        (run_now(minutes=16), EARLY),
    ],
)
def test_what_is_held_back_is_noted_once_with_its_reason(run: RunNow, held: str) -> None:
    memory = Memory()
    step = only(steps_for(run, memory=memory))
    assert isinstance(step, HoldBack)
    assert step.notice.held == held
    assert steps_for(run, memory=memory, now=TUESDAY + MINUTE) == []
    closed = only(steps_for(memory=memory, now=TUESDAY + HOUR))
    assert isinstance(closed, Close)
    assert (closed.notice.told, closed.notice.close_reason) == (0, ENDED)


def test_a_run_that_cannot_be_seen_for_a_moment_has_not_ended() -> None:
    memory = Memory()
    steps_for(run_now(), memory=memory)
    assert steps_for(memory=memory, now=TUESDAY + 4 * MINUTE) == []
    assert steps_for(run_now(minutes=50), memory=memory, now=TUESDAY + 5 * MINUTE) == []
    closed = only(steps_for(memory=memory, now=TUESDAY + 10 * MINUTE))
    assert isinstance(closed, Close)
    assert closed.notice.close_reason == ENDED


def test_what_was_on_a_node_that_cannot_be_seen_stays_open() -> None:
    memory = Memory()
    steps_for(run_now(node="n2"), memory=memory)
    assert steps_for(memory=memory, now=TUESDAY + DAY, unseen=frozenset({"n2"})) == []
    assert kinds(steps_for(memory=memory, now=TUESDAY + DAY, unseen=frozenset({"n1"}))) == [Close]


def test_a_run_that_can_be_seen_at_work_is_closed_whatever_else_cannot() -> None:
    memory = Memory()
    steps_for(run_now(), memory=memory)
    busy = steps_for(run_now(verdict=OK), memory=memory, now=TUESDAY + MINUTE, unseen=frozenset({"n1"}))
    assert kinds(busy) == [Close]


def test_other_limits_are_no_work() -> None:
    """At eight in the evening the night's limit begins, and for a while nothing is idle by it."""
    memory = Memory()
    (told,) = steps_for(run_now(minutes=60), memory=memory)
    night = run_now(minutes=180)
    idle = night.devices[0].judgement
    quiet = night._replace(devices=tuple(one._replace(judgement=idle._replace(verdict=OK)) for one in night.devices))
    assert steps_for(quiet, memory=memory, now=TUESDAY + 2 * HOUR) == []
    later = only(steps_for(run_now(minutes=300), memory=memory, now=TUESDAY + 4 * HOUR))
    assert isinstance(later, Remind)
    assert isinstance(told, Open)
    assert later.notice.id == told.notice.id
    assert kinds(steps_for(run_now(verdict=OK), memory=memory, now=TUESDAY + 5 * HOUR)) == [Close]


def test_a_snooze_closes_at_once() -> None:
    memory = Memory()
    steps_for(run_now(), memory=memory)
    closed = only(steps_for(run_now(verdict=SNOOZED), memory=memory, now=TUESDAY + MINUTE))
    assert isinstance(closed, Close)
    assert closed.notice.close_reason == SNOOZE


def test_idle_again_is_a_notice_of_its_own() -> None:
    memory = Memory()
    first = only(steps_for(run_now(), memory=memory))
    steps_for(run_now(verdict=OK), memory=memory, now=TUESDAY + MINUTE)
    second = only(steps_for(run_now(), memory=memory, now=TUESDAY + HOUR))
    assert isinstance(first, Open)
    assert isinstance(second, Open)
    assert first.notice.id != second.notice.id


def test_three_at_once_are_one_message_and_two_are_two() -> None:
    three = steps_for(*(run_now(f"wandb:{name}") for name in "abc"), run_now("wandb:d", user="ben"))
    assert kinds(three) == [Digest, Open]
    digest = three[0]
    assert isinstance(digest, Digest)
    assert [notice.told for notice in digest.notices] == [1, 1, 1]
    assert {notice.digest for notice in digest.notices} == {digest.notices[0].id}
    assert kinds(steps_for(run_now("wandb:a"), run_now("wandb:b"))) == [Open, Open]


def test_an_array_is_told_of_in_one_message() -> None:
    assert kinds(steps_for(*(run_now(f"slurm:1_{n}", group="1") for n in range(40)))) == [Open]


def test_what_is_in_a_digest_is_closed_one_by_one_and_not_edited() -> None:
    memory = Memory()
    steps_for(*(run_now(f"wandb:{name}") for name in "abc"), memory=memory)
    later = [run_now(f"wandb:{name}", minutes=90) for name in "bc"]
    assert kinds(steps_for(run_now("wandb:a", verdict=OK), *later, memory=memory, now=TUESDAY + HOUR)) == [Close]


def test_what_has_a_message_of_its_own_is_only_named_in_a_digest_and_closed_in_its_own() -> None:
    memory = Memory()
    (own,) = steps_for(run_now("wandb:a"), memory=memory)
    new = [run_now(f"wandb:{name}") for name in "bc"]
    (digest,) = steps_for(run_now("wandb:a", minutes=300), *new, memory=memory, now=TUESDAY + 5 * HOUR)
    assert isinstance(own, Open)
    assert isinstance(digest, Digest)
    assert [notice.conversation for notice in digest.notices] == [digest.notices[0].id] * 2 + [own.notice.id]
    (closing,) = steps_for(run_now("wandb:a", verdict=OK), *new, memory=memory, now=TUESDAY + 5 * HOUR + MINUTE)
    assert isinstance(closing, Close)
    assert closing.notice.conversation == own.notice.id


def test_reminders_go_to_their_own_messages_as_far_as_the_day_allows() -> None:
    memory, names = Memory(), "abcd"
    for number in range(len(names)):
        runs = [run_now(f"wandb:{name}") for name in names[: number + 1]]
        assert kinds(steps_for(*runs, memory=memory, now=TUESDAY + number * MINUTE)) == [Open]
        memory.told.clear()
    later = [run_now(f"wandb:{name}", minutes=400) for name in names]
    assert kinds(steps_for(*later, memory=memory, now=TUESDAY + 6 * HOUR)) == [Remind] * 3
    assert kinds(steps_for(*later, memory=memory, now=TUESDAY + 6 * HOUR + MINUTE)) == []


def test_the_fourth_message_of_a_day_waits_until_work_begins_on_the_next() -> None:
    memory = Memory()
    for number in range(3):
        assert kinds(steps_for(run_now(f"wandb:{number}"), memory=memory, now=TUESDAY + number * MINUTE)) == [Open]
    memory.notices.clear()
    fourth = only(steps_for(run_now("wandb:4"), memory=memory, now=TUESDAY + HOUR))
    assert isinstance(fourth, HoldBack)
    assert fourth.notice.held == CAP
    assert "3 messages today already" in fourth.notice.why
    assert steps_for(run_now("wandb:4", minutes=800), memory=memory, now=at(2026, 11, 18, 0, 1)) == []
    morning = only(steps_for(run_now("wandb:4", minutes=1400), memory=memory, now=at(2026, 11, 18, 9)))
    assert isinstance(morning, Open)
    assert morning.notice.id == fourth.notice.id


def test_messages_to_others_and_those_that_were_only_noted_do_not_count() -> None:
    told = [
        Told(TUESDAY - MINUTE, user, "x", "first", outcome) for user in ("ben", "ann") for outcome in (SHADOW, SENT)
    ]
    steps = plan(Minute(TUESDAY, (run_now(),)), Record([], told * 2), AGENT, local=local, place="n1")
    assert kinds(steps) == [Open]


def test_the_last_message_of_a_day_holds_all_that_is_left() -> None:
    memory = Memory()
    for number in range(2):
        steps_for(run_now(f"wandb:{number}"), memory=memory, now=TUESDAY + number * MINUTE)
    memory.notices.clear()
    steps = steps_for(run_now("wandb:x"), run_now("wandb:y"), memory=memory, now=TUESDAY + HOUR)
    assert kinds(steps) == [Digest]
    assert kinds(steps_for(run_now("wandb:z"), memory=memory, now=TUESDAY + HOUR)[-1:]) != [Open]


def test_reminders_wait_for_working_hours_and_never_come_two_at_once() -> None:
    memory, friday = Memory(), at(2026, 11, 20, 17)
    steps_for(run_now(), memory=memory, now=friday)

    def reminders(when: float) -> list[int]:
        run = run_now(minutes=45 + (when - friday) / MINUTE)
        return [step.number for step in steps_for(run, memory=memory, now=when) if isinstance(step, Remind)]

    assert reminders(at(2026, 11, 20, 21)) == []
    assert reminders(at(2026, 11, 21, 12)) == []
    assert reminders(at(2026, 11, 23, 9)) == [1]
    assert reminders(at(2026, 11, 23, 9, 1)) == []
    assert reminders(at(2026, 11, 23, 12, 59)) == []
    assert reminders(at(2026, 11, 23, 13)) == [2]
    assert reminders(at(2026, 11, 24, 13)) == []


def test_what_was_called_wrong_is_not_reminded_of() -> None:
    memory = Memory()
    steps_for(run_now(), memory=memory)
    memory.notices = {id: notice._replace(wrong="it loads") for id, notice in memory.notices.items()}
    assert kinds(steps_for(run_now(minutes=300), memory=memory, now=TUESDAY + 5 * HOUR)) == [Refresh]


def test_what_another_node_tells_is_noted_and_not_told() -> None:
    memory, run = Memory(), run_now()
    elsewhere = {"ann\nwandb:a": "n0 tells of it"}
    step = only(steps_for(run, memory=memory, elsewhere=elsewhere))
    assert isinstance(step, HoldBack)
    assert (step.notice.held, step.notice.why) == (ELSEWHERE, "n0 tells of it")
    assert steps_for(run, memory=memory, now=TUESDAY + MINUTE, elsewhere=elsewhere) == []
    assert kinds(steps_for(run, memory=memory, now=TUESDAY + 2 * MINUTE)) == [Open]


def test_what_was_only_noted_in_shadow_mode_is_told_when_people_are_told() -> None:
    memory = Memory()
    shadow = only(steps_for(run_now(), memory=memory, policy=AlertPolicy(mode="shadow")))
    assert isinstance(shadow, Open)
    assert shadow.notice.outcome == SHADOW
    told = only(steps_for(run_now(), memory=memory, now=TUESDAY + MINUTE))
    assert isinstance(told, Open)
    assert (told.notice.id, told.notice.outcome, told.notice.told) == (shadow.notice.id, SENT, 1)
    assert steps_for(run_now(), memory=memory, now=TUESDAY + 2 * MINUTE) == []


def test_a_clock_that_is_set_back_repeats_nothing() -> None:
    memory = Memory()
    steps_for(run_now(), memory=memory, now=TUESDAY + 2 * HOUR)
    assert kinds(steps_for(run_now(), memory=memory, now=TUESDAY)) == [Refresh]
    assert steps_for(run_now(), memory=memory, now=TUESDAY + MINUTE) == []
    assert kinds(steps_for(memory=memory, now=TUESDAY + 30 * MINUTE)) == [Close]


@pytest.mark.parametrize("day", [(2026, 3, 29), (2026, 10, 25)])
def test_a_day_of_23_or_25_hours_is_one_day(day: tuple[int, int, int]) -> None:
    first, last = at(*day), at(*day, 23, 59)
    assert last - first in (23 * HOUR - MINUTE, 25 * HOUR - MINUTE)
    told = [Told(first + number, "ann", f"x{number}", "first", SENT) for number in range(3)]
    record = Record([], told)
    capped = plan(Minute(last, (run_now(now=last),)), record, AGENT, local=local, place="n1")
    assert kinds(capped) == [HoldBack]
    after = plan(Minute(last + MINUTE, (run_now(now=last),)), record, AGENT, local=local, place="n1")
    assert kinds(after) == [Open]


# Working hours.


@pytest.mark.parametrize(
    ("text", "within", "without"),
    [
        ("mon-fri 09:00-18:00", ["2026-11-16 09:00", "2026-11-20 17:59"], ["2026-11-16 08:59", "2026-11-21 12:00"]),
        ("sun-thu 08:00-24:00", ["2026-11-15 08:00", "2026-11-19 23:59"], ["2026-11-20 12:00"]),
        ("mon,wed 10:30-12:00", ["2026-11-18 11:59"], ["2026-11-17 11:00", "2026-11-18 12:00"]),
        ("SAT-MON 00:00-01:00", ["2026-11-22 00:30", "2026-11-16 00:00"], ["2026-11-17 00:30"]),
    ],
)
def test_working_hours_are_days_and_hours(text: str, within: list[str], without: list[str]) -> None:
    hours = parse_hours(text)
    assert all(hours.covers(datetime.fromisoformat(one).replace(tzinfo=BERLIN)) for one in within)
    assert not any(hours.covers(datetime.fromisoformat(one).replace(tzinfo=BERLIN)) for one in without)


@pytest.mark.parametrize(
    "text",
    ["", "mon-fri", "09:00-18:00", "mon-fri 18:00-09:00", "mon-fri 9-18", "mo-fr 09:00-18:00",
     "mon-wed-fri 09:00-18:00", "mon-fri 09:00-24:30", "mon-fri 25:00-26:00", "mon 09:00-09:00"],
)  # fmt: skip
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_hours(text)


# Laws, in small worlds: a few runs of two people, seen each quarter of an hour for two days.

SPELLS = st.builds(
    Spell,
    run=st.sampled_from([f"wandb:{name}" for name in "abcdef"]),
    user=st.sampled_from(["ann", "ben"]),
    node=st.sampled_from(["n1", "n2"]),
    group=st.sampled_from(["", "", "g"]),
    kind=st.sampled_from(["batch", "batch", "interactive", "service"]),
    verdict=st.sampled_from([IDLE, IDLE, STUCK]),
    start=st.sampled_from([0, 0, 30, 600]) | st.integers(0, 2000),
    end=st.integers(60, 3000),
    then=st.sampled_from(["", OK, SNOOZED]),
    gpus=st.integers(1, 8),
    quiet=st.sampled_from([False, False, False, True]),
)
WORLDS = st.lists(SPELLS, min_size=3, max_size=16, unique_by=lambda spell: (spell.node, spell.user, spell.run))
STARTS = st.sampled_from([at(2026, 3, 28, 7), at(2026, 10, 24, 7), at(2026, 11, 19, 15), TUESDAY])
POLICIES = st.builds(AlertPolicy, mode=st.sampled_from(["agent", "shadow"]), per_day=st.integers(1, 4))
TICKS = range(0, 2 * 24 * 60, 15)
few = settings(max_examples=40, deadline=None)


def messages(steps: Sequence[tuple[float, Step]]) -> list[tuple[float, str]]:
    """When who got one."""
    told = []
    for unix, step in steps:
        if isinstance(step, Digest):
            told.append((unix, step.notices[0].user))
        elif isinstance(step, Open | Remind):
            told.append((unix, step.notice.user))
    return told


def touched(step: Step) -> Sequence[Notice]:
    return step.notices if isinstance(step, Digest) else (step.notice,)


@few
@given(WORLDS, STARTS, POLICIES)
def test_nobody_gets_too_many_messages_a_day(world: list[Spell], start: float, policy: AlertPolicy) -> None:
    steps, _ = play(world, policy, start_unix=start, minutes=TICKS)
    a_day = Counter((user, local(unix).date()) for unix, user in messages(steps))
    assert all(number <= policy.per_day for number in a_day.values())


@few
@given(WORLDS, STARTS, POLICIES)
def test_all_that_is_opened_is_closed_once(world: list[Spell], start: float, policy: AlertPolicy) -> None:
    over = max((spell.end for spell in world), default=0) + 20
    steps, memory = play(world, policy, start_unix=start, minutes=[*TICKS, max(TICKS[-1] + 10, over), over + TICKS[-1]])
    opened = {notice.id for _, step in steps for notice in touched(step)}
    closed = Counter(step.notice.id for _, step in steps if isinstance(step, Close))
    assert closed == Counter(opened)
    assert memory.record.open == []


@few
@given(WORLDS, STARTS, POLICIES)
def test_nothing_is_told_twice(world: list[Spell], start: float, policy: AlertPolicy) -> None:
    steps, _ = play(world, policy, start_unix=start, minutes=TICKS)
    told: dict[str, list[int]] = defaultdict(list)
    for _, step in steps:
        if isinstance(step, Open | Remind | Digest):
            for notice in touched(step):
                told[notice.id].append(notice.told)
    assert all(numbers == list(range(1, len(numbers) + 1)) and len(numbers) <= 3 for numbers in told.values())


@few
@given(WORLDS, STARTS, POLICIES)
def test_reminders_come_in_working_hours_alone(world: list[Spell], start: float, policy: AlertPolicy) -> None:
    steps, _ = play(world, policy, start_unix=start, minutes=TICKS)
    for unix, step in steps:
        if isinstance(step, Remind | Digest) and any(notice.told > 1 for notice in touched(step)):
            assert policy.hours.covers(local(unix))


@few
@given(WORLDS, STARTS)
def test_what_is_stuck_is_told_at_any_hour_while_there_are_messages_left(world: list[Spell], start: float) -> None:
    policy = AlertPolicy(mode="agent", per_day=99)
    memory = Memory()
    for number in TICKS:
        minute = Minute(start + number * MINUTE, runs_at(world, start, number))
        memory.take(plan(minute, memory.record, policy, local=local, place="n1"), minute, policy)
        told = {run for notice in memory.record.open if notice.told for run in notice.runs}
        assert {
            run.owner.run for run in minute.runs if any(held.judgement.verdict == STUCK for held in run.devices)
        } <= told


@few
@given(WORLDS, STARTS, POLICIES, st.randoms(use_true_random=False))
def test_the_order_of_runs_and_records_changes_nothing(
    world: list[Spell], start: float, policy: AlertPolicy, random: Random
) -> None:
    memory = Memory()
    for number in TICKS:
        minute = Minute(start + number * MINUTE, runs_at(world, start, number))
        runs, opened, told = list(minute.runs), list(memory.record.open), list(memory.record.told)
        for items in (runs, opened, told):
            random.shuffle(items)
        planned = plan(minute, memory.record, policy, local=local, place="n1")
        assert plan(minute._replace(runs=tuple(runs)), Record(opened, told), policy, local=local, place="n1") == planned
        memory.take(planned, minute, policy)


@few
@given(WORLDS, STARTS, POLICIES)
def test_planning_a_minute_again_does_nothing_more(world: list[Spell], start: float, policy: AlertPolicy) -> None:
    memory = Memory()
    for number in TICKS[::3]:
        minute = Minute(start + number * MINUTE, runs_at(world, start, number))
        memory.take(plan(minute, memory.record, policy, local=local, place="n1"), minute, policy)
        assert plan(minute, memory.record, policy, local=local, place="n1") == []
