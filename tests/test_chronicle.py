"""The past that the live page shows: what the agent sees of it, what a restart finds again, and how little it keeps."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from examples import snapshot
from hypothesis import given
from hypothesis import strategies as st

from gpuwatch.agent.chronicle import Chronicle
from gpuwatch.agent.ring import Ring
from gpuwatch.errors import DiskRefused
from gpuwatch.model import (
    Changes,
    DeviceUse,
    DeviceView,
    GpuInfo,
    Identity,
    Mark,
    Owner,
    Person,
    RollUp,
    Run,
    RunTotal,
    Snapshot,
    States,
    Use,
)
from gpuwatch.state.store import Store
from gpuwatch.units import DAY, HOUR, MINUTE

START = 1_795_176_000.0
"""The beginning of an hour."""
WHOLE = GpuInfo("GPU-a", 0, "H100", "0000:01:00.0")
SLICE = GpuInfo("MIG-b", 1, "H100 MIG", "0000:02:00.0", 1, 0.5)
ANN = Owner("ann", "vision", "wandb:a")


def published(unix: float, uses: Mapping[GpuInfo, DeviceUse], people: Mapping[Person, Use] | None = None) -> Snapshot:
    devices = tuple(DeviceView(info, use, None) for info, use in uses.items())
    return replace(snapshot(), taken_unix=unix, devices=devices, people=people or {})


def busy(seconds: float, half: float = 0.5) -> DeviceUse:
    """Held for so long, and busy for a part of that."""
    return DeviceUse(half * seconds, states=States(half * seconds, (1 - half) * seconds))


# What it sees


def test_a_minute_is_told_once_it_is_over() -> None:
    chronicle = Chronicle()
    assert chronicle.add(published(START, {WHOLE: busy(1000)})).course.use == {}
    assert chronicle.add(published(START + 59, {WHOLE: busy(1059)})).course.use == {}
    course = chronicle.add(published(START + 60, {WHOLE: busy(1060)})).course
    assert course.use == {"GPU-a": (*[None] * 59, 50)}
    course = chronicle.add(published(START + 121, {WHOLE: DeviceUse(530 + 61, states=States(591, 530))})).course
    assert course.use == {"GPU-a": (*[None] * 58, 50, 100)}


def test_a_minute_of_which_little_was_seen_tells_nothing() -> None:
    chronicle = Chronicle()
    chronicle.add(published(START, {WHOLE: DeviceUse()}))
    use = DeviceUse(5.0, states=States(active=5.0, unknown=55.0))
    assert chronicle.add(published(START + 60, {WHOLE: use})).course.use == {"GPU-a": (None,) * 60}


def test_the_hours_are_of_whole_gpus() -> None:
    chronicle = Chronicle()
    chronicle.add(published(START, {WHOLE: DeviceUse(), SLICE: DeviceUse()}))
    course = chronicle.add(published(START + 60, {WHOLE: busy(60), SLICE: busy(60)})).course
    assert len(course.hours) == 168
    assert course.hour_unix == START
    assert course.hours[-1] == pytest.approx(States(45.0, 45.0))
    assert not any(map(any, course.hours[:-1]))


def test_people_are_added_up_over_their_projects() -> None:
    chronicle, uses = Chronicle(), {WHOLE: DeviceUse()}
    chronicle.add(published(START, uses, {("ann", "a"): Use(100, 50), ("ann", "b"): Use(), ("ben", ""): Use(9, 9)}))
    now = {("ann", "a"): Use(130, 60), ("ann", "b"): Use(30, 20), ("ben", ""): Use(9, 9)}
    course = chronicle.add(published(START + 60, uses, now)).course
    assert course.people == {"ann": Use(60.0, 30.0)}


def test_who_comes_back_after_a_month_brings_nothing_of_before() -> None:
    chronicle, uses = Chronicle(), {WHOLE: DeviceUse()}
    chronicle.add(published(START, uses, {}))
    chronicle.add(published(START + 60, uses, {("ann", ""): Use(9e6, 9e6)}))
    course = chronicle.add(published(START + 120, uses, {("ann", ""): Use(9e6 + 60, 9e6 + 30)})).course
    assert course.people == {"ann": Use(60.0, 30.0)}


def test_a_device_that_is_new_has_no_past() -> None:
    chronicle = Chronicle()
    chronicle.add(published(START, {WHOLE: DeviceUse()}))
    course = chronicle.add(published(START + 60, {WHOLE: busy(60), SLICE: busy(9e6)})).course
    assert course.hours[-1] == pytest.approx(States(30.0, 30.0))


def test_what_is_older_than_a_week_is_forgotten() -> None:
    chronicle, uses = Chronicle(), {WHOLE: DeviceUse()}
    chronicle.add(published(START, uses, {("ann", ""): Use()}))
    chronicle.add(published(START + 60, {WHOLE: busy(60)}, {("ann", ""): Use(60, 30)}))
    last = chronicle.add(published(START + 7 * DAY - 1, {WHOLE: busy(60)}, {("ann", ""): Use(60, 30)})).course
    assert (last.hours[0].active, last.people) == (30.0, {"ann": Use(60.0, 30.0)})
    after = chronicle.add(published(START + 7 * DAY, {WHOLE: busy(60)}, {("ann", ""): Use(60, 30)})).course
    assert (any(map(any, after.hours)), after.people, after.use) == (False, {}, {})


def test_sixteen_gpus_and_fifty_people_are_some_hundred_kilobytes() -> None:
    minutes, people = Ring(MINUTE, 61, 2), Ring(HOUR, 168, 2)
    for number in range(50):
        minutes.add(f"GPU-{number % 16}", START, (1.0, 1.0))
        people.add(f"user{number}", START, (1.0, 1.0))
    size = sum(sys.getsizeof(row) for ring in (minutes, people) for row in ring._rows.values())
    assert size < 100_000


# What a restart finds


def test_a_restart_goes_on_from_the_record(tmp_path: Path) -> None:
    store = Store(tmp_path, unix=START - HOUR)
    for minute in range(130):
        record(store, START - 90 * MINUTE + minute * MINUTE, 60.0 * minute)
    store.close()
    again = Store(tmp_path, unix=START + 40 * MINUTE)
    chronicle, end = Chronicle(), START + 39 * MINUTE + 30
    chronicle.restore(again, unix=end)
    course = chronicle.add(published(end, {WHOLE: busy(60.0 * 129)}, {("ann", "vision"): Use(9e3, 9e3)})).course
    assert course.use == {"GPU-a": (50,) * 60}
    assert [round(hour.active) for hour in course.hours[-3:]] == [29 * 30, 60 * 30, 40 * 30]
    assert course.people["ann"].held == pytest.approx(129 * 60.0, rel=1e-6)
    again.close()


def test_a_record_that_cannot_be_read_costs_only_the_past(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Store):
        def read_week(self, *, unix: float) -> None:  # type: ignore[override]
            raise DiskRefused("cannot read the state file: it is broken")

    store = Broken(tmp_path, unix=START)
    chronicle = Chronicle()
    chronicle.restore(store, unix=START)
    store.close()
    assert "the page has no past before now" in caplog.text
    assert chronicle.add(published(START, {WHOLE: DeviceUse()})).course.people == {}


def record(store: Store, unix: float, seconds: float) -> None:
    """One commit at a minute's beginning, with all that has been charged so far."""
    use = Use(seconds, seconds / 2, 1.0)
    changes = Changes(
        devices={"GPU-a": busy(seconds)}, marks={"GPU-a": Mark(unix, unix, None)}, counts={},
        runs={("GPU-a", ANN): RunTotal(use, 1, unix)}, people={("ann", "vision"): RollUp(use, unix)},
        cpu_seconds={}, details={ANN: Run(ANN, Identity(1, 1), unix, "wandb")},
    )  # fmt: skip
    store.commit(changes, {"GPU-a": WHOLE}, unix=unix)


# Rings


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(1, 9)), max_size=60))
def test_a_ring_has_the_sums_of_its_newest_stretches(steps: list[tuple[int, int]]) -> None:
    ring, truth = Ring(10, 5, 1), dict.fromkeys(range(-5, 300), 0)
    newest = 0
    for at, amount in sorted(steps):
        ring.add("a", at * 10.0, (amount,))
        truth[at] += amount
        newest = at
    assert ring.of("a") == [(float(truth[number]),) for number in range(newest - 4, newest + 1)]


def test_a_clock_that_is_set_back_for_long_begins_anew() -> None:
    ring = Ring(10, 5, 1)
    ring.add("a", 1000.0, (1.0,))
    ring.add("a", 990.0, (2.0,))
    assert ring.of("a")[-2:] == [(2.0,), (1.0,)]
    ring.add("a", 500.0, (3.0,))
    assert (ring.of("a")[-1], ring.newest_unix) == ((3.0,), 500.0)
