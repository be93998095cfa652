"""SM-active seconds: divided by who was busy, charged once, and never more than the device was active."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuwatch.account.activity import ActivityMeter
from gpuwatch.account.device import Outcome
from gpuwatch.model import Activity, DeviceUse, Mark, Owner, Use

ANN, BEN = (Owner(user, "", f"run-{user}") for user in ("ann", "ben"))


def outcome(unattributed: float = 0.0, **busy: float) -> Outcome:
    owners = {"ann": ANN, "ben": BEN}
    charges = {owners[name]: Use(1.0, seconds, 0.0) for name, seconds in busy.items()}
    return Outcome(Mark(0.0, 0.0, None), DeviceUse(sum(busy.values()) + unattributed, 0.0, unattributed), charges)


def activity(began: float, ended: float, sm: float | None) -> Activity:
    return Activity(began, ended, 1.0, sm, None, None)


def test_a_stretch_is_divided_by_who_kept_the_device_busy_in_it() -> None:
    meter = ActivityMeter()
    for _ in range(5):
        meter.add("GPU-0", outcome(ann=0.6, ben=0.2))
    charged = meter.charge("GPU-0", activity(100.0, 105.0, 0.4))
    assert charged == {ANN: pytest.approx(1.5), BEN: pytest.approx(0.5)}


def test_a_stretch_is_charged_once() -> None:
    meter = ActivityMeter()
    meter.add("GPU-0", outcome(ann=0.6))
    assert meter.charge("GPU-0", activity(100.0, 105.0, 0.4))
    meter.add("GPU-0", outcome(ann=0.6))
    assert meter.charge("GPU-0", activity(100.0, 105.0, 0.4)) == {}


def test_what_unknown_processes_kept_busy_is_charged_to_nobody() -> None:
    meter = ActivityMeter()
    meter.add("GPU-0", outcome(ann=0.5, unattributed=0.5))
    assert meter.charge("GPU-0", activity(0.0, 1.0, 0.4)) == {ANN: pytest.approx(0.2)}


def test_nobody_busy_or_nothing_measured_charges_nobody() -> None:
    meter = ActivityMeter()
    meter.add("GPU-0", outcome(ann=0.0))
    assert meter.charge("GPU-0", activity(0.0, 1.0, 0.4)) == {}
    meter.add("GPU-0", outcome(ann=0.5))
    assert meter.charge("GPU-0", activity(1.0, 2.0, None)) == {}


def test_who_was_busy_while_the_device_told_nothing_has_no_part_in_what_follows() -> None:
    meter = ActivityMeter()
    meter.add("GPU-0", outcome(ben=1.0))
    meter.forget("GPU-0")
    meter.add("GPU-0", outcome(ann=0.5))
    assert meter.charge("GPU-0", activity(7.0, 8.0, 0.5)) == {ANN: pytest.approx(0.5)}


def test_a_stretch_that_began_before_the_device_was_unseen_is_nobodys() -> None:
    meter = ActivityMeter()
    meter.forget("GPU-0", unseen_until=50.0)
    meter.add("GPU-0", outcome(ann=1.0))
    assert meter.charge("GPU-0", activity(5.0, 51.0, 0.5)) == {}
    meter.add("GPU-0", outcome(ann=0.5))
    assert meter.charge("GPU-0", activity(51.0, 52.0, 0.5)) == {ANN: pytest.approx(0.5)}


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20),
    st.floats(0, 1),
)
def test_no_more_is_charged_than_the_device_was_active(cycles: list[tuple[float, float, float]], sm: float) -> None:
    meter = ActivityMeter()
    for ann, ben, unattributed in cycles:
        meter.add("GPU-0", outcome(unattributed, ann=ann, ben=ben))
    charged = meter.charge("GPU-0", activity(10.0, 15.0, sm))
    assert sum(charged.values()) <= 5.0 * sm + 1e-9
    assert all(seconds >= 0 for seconds in charged.values())
