"""A device over time: examples, and the five laws on increments over any history."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuwatch.account.device import (
    LONGEST_GAP,
    Outcome,
    baseline,
    busy_seconds,
    miss,
    observe,
    owners_of,
)
from gpuwatch.model import DeviceUse, GpuCondition, GpuInfo, GpuReading, Mark, Owner, Piece, States, Use

ANN, BEN = (Owner(user, "", f"run-{user}") for user in ("ann", "ben"))
BY_PID = {1: ANN, 2: BEN, 3: BEN}
INFO = GpuInfo("GPU-0", 0, "H100", "0000:01:00.0")


def reading(at: float, *pieces: tuple[float, float], **changes: object) -> GpuReading:
    """A reading at `at` of a GPU that draws 300 W, with ann's process on it."""
    plain = GpuReading(
        info=INFO, read_at=at, pieces=tuple(Piece(*piece) for piece in pieces), sm_use={}, processes={1: 10},
        energy_joules=300.0 * at, power_watts=300.0, condition=GpuCondition(),
    )  # fmt: skip
    return replace(plain, **changes)  # type: ignore[arg-type]


def look(mark: Mark, seen: GpuReading, *, drained_at: float = math.inf) -> Outcome:
    return observe(mark, seen, owners_of(seen.processes, BY_PID), drained_at=drained_at)


START = baseline(reading(100.0))


def test_time_is_accounted_up_to_the_newest_sample() -> None:
    outcome = look(START, reading(101.0, (100.4, 1.0), (100.9, 0.5)))
    assert outcome.mark.until == 100.9
    assert outcome.charges[ANN].held == pytest.approx(0.9)
    assert outcome.charges[ANN].busy == pytest.approx(0.4 + 0.25)
    assert outcome.charges[ANN].joules == pytest.approx(300.0)


def test_no_newer_sample_yet_is_waited_for() -> None:
    outcome = look(START, reading(101.0))
    assert outcome.mark.until == 100.0
    assert outcome.device == DeviceUse()


def test_the_time_since_the_last_reading_belongs_to_the_owners_at_its_end() -> None:
    outcome = look(START, reading(101.0, (101.0, 0.0), processes={2: 10}))
    assert outcome.charges.keys() == {BEN}
    assert outcome.charges[BEN].held == pytest.approx(1.0)


def test_a_process_that_has_just_ended_is_charged_for_its_last_sample() -> None:
    outcome = look(START, reading(101.0, (101.0, 0.8), processes={}, sm_use={1: 80.0}))
    assert outcome.charges[ANN].busy == pytest.approx(0.8)
    assert outcome.device.unattributed_busy == 0


def test_a_free_device_is_free() -> None:
    start = baseline(reading(100.0, processes={}))
    outcome = look(start, reading(101.0, (101.0, 0.0), processes={}))
    assert outcome.device.states.free == pytest.approx(1.0)
    assert outcome.charges == {}


def test_a_process_that_nobody_could_read_makes_the_time_unknown() -> None:
    start = baseline(reading(100.0, processes={99: 10}))
    outcome = look(start, reading(101.0, (101.0, 0.5), processes={99: 10}))
    assert outcome.device.states.unknown == pytest.approx(1.0)
    assert outcome.device.unattributed_busy == pytest.approx(0.5)


def test_what_was_missed_is_unknown_and_its_energy_is_nobodys() -> None:
    missed = miss(START, 103.0)
    back = look(missed.mark, reading(104.0, (104.0, 1.0)))
    assert missed.device.states.unknown == pytest.approx(3.0)
    assert back.charges[ANN].held == pytest.approx(1.0)
    assert back.charges[ANN].joules == pytest.approx(300.0)
    assert back.device.unattributed_joules == pytest.approx(900.0)


def test_a_short_absence_of_the_agent_is_bridged() -> None:
    outcome = look(START, reading(109.0, (105.0, 1.0), (109.0, 0.0)))
    assert outcome.charges[ANN].held == pytest.approx(9.0)
    assert outcome.charges[ANN].busy == pytest.approx(5.0)


def test_a_long_absence_is_unknown() -> None:
    outcome = look(START, reading(100.0 + LONGEST_GAP + 1, (111.0, 1.0)))
    assert outcome.device.states.unknown == pytest.approx(11.0)
    assert outcome.charges == {}
    assert outcome.mark.until == 111.0


def test_without_an_energy_counter_power_is_integrated() -> None:
    start = START._replace(energy_joules=None)
    assert look(start, reading(101.0, (101.0, 0.5), energy_joules=None)).device.joules == pytest.approx(300.0)


@pytest.mark.parametrize("counter", [0.0, 1e12], ids=["reset", "broken"])
def test_an_energy_counter_that_cannot_be_right_is_not_believed(counter: float) -> None:
    outcome = look(START, reading(101.0, (101.0, 0.5), energy_joules=counter))
    assert outcome.device.joules == pytest.approx(300.0)


def test_after_an_outage_without_a_counter_only_what_was_seen_has_energy() -> None:
    missed = miss(START, 3700.0)
    back = look(missed.mark, reading(3701.0, (3701.0, 1.0), energy_joules=0.0))
    assert back.device.joules == pytest.approx(300.0)


def test_power_that_cannot_be_right_is_not_integrated() -> None:
    start = START._replace(energy_joules=None)
    outcome = look(start, reading(101.0, (101.0, 0.5), energy_joules=None, power_watts=4_294_967.0))
    assert outcome.device.joules == 0


def test_a_driver_that_lists_no_processes_makes_the_time_unknown() -> None:
    outcome = observe(START, reading(101.0, (101.0, 0.5), processes=None), owners_of(None, BY_PID))
    assert outcome.device.states.unknown == pytest.approx(1.0)


def test_a_card_without_utilization_is_free_or_unknown_but_never_idle() -> None:
    held = look(START, reading(103.0))
    assert held.device.states.unknown == pytest.approx(3.0)
    start = baseline(reading(100.0, processes={}))
    assert look(start, reading(103.0, processes={})).device.states.free == pytest.approx(3.0)


def test_busy_seconds_takes_parts_of_pieces() -> None:
    pieces = [Piece(1.0, 1.0), Piece(2.0, 0.5), Piece(3.0, 0.0)]
    assert busy_seconds(pieces, 0.5, 1.5) == pytest.approx(0.75)
    assert busy_seconds(pieces, 2.5, 9.0) == 0


def test_nobodys_time_on_a_drained_device_is_unavailable_from_then_on() -> None:
    start = baseline(reading(100.0, processes={}))
    seen = reading(101.0, (101.0, 0.0), processes={})
    outcome = look(start, seen, drained_at=100.25)
    assert outcome.device.states == pytest.approx(States(free=0.25, unavailable=0.75))


def test_held_time_on_a_drained_device_is_still_active_and_idle() -> None:
    seen = reading(101.0, (101.0, 0.75))
    outcome = look(START, seen, drained_at=0.0)
    assert outcome.device.states == pytest.approx(States(active=0.75, idle=0.25))


def test_what_is_not_seen_of_a_drained_device_is_unavailable() -> None:
    assert miss(START, 160.0, drained_at=0.0).device.states == pytest.approx(States(unavailable=60.0))
    assert miss(START, 160.0, drained_at=130.0).device.states == pytest.approx(States(unavailable=30.0, unknown=30.0))
    seen = reading(160.0, (160.0, 0.0), processes={})
    gap = look(START, seen, drained_at=0.0)
    assert gap.device.states == pytest.approx(States(unavailable=60.0))


def test_an_unknown_holder_keeps_a_drained_device_from_being_unavailable() -> None:
    seen = reading(101.0, (101.0, 0.5), processes={99: 5})
    outcome = look(START, seen, drained_at=0.0)
    assert outcome.device.states == pytest.approx(States(unknown=1.0))


@dataclass
class Event:
    """What happens next: a reading after a while, or none."""

    after: float
    pieces: list[tuple[float, float]]
    pids: set[int]
    sm_use: dict[int, float]
    missed: bool
    joules: float
    drained_at: float = math.inf


EVENTS = st.lists(
    st.builds(
        Event,
        after=st.floats(0.05, 14.0),
        pieces=st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0)), max_size=8),
        pids=st.sets(st.sampled_from([1, 2, 3, 99])),
        sm_use=st.dictionaries(st.sampled_from([1, 2, 3, 99, 98]), st.floats(0, 100)),
        missed=st.booleans(),
        joules=st.floats(0, 1000),
        drained_at=st.sampled_from([math.inf, 0.0]) | st.floats(90.0, 400.0),
    ),
    max_size=25,
)


def play(events: list[Event]) -> tuple[Mark, DeviceUse, dict[Owner, Use]]:
    """The totals after a history, each increment checked on its own."""
    mark, device, charges = START, DeviceUse(), dict[Owner, Use]()
    now, energy = 100.0, 300.0 * 100
    for event in events:
        now += event.after
        energy += event.joules
        if event.missed:
            outcome = miss(mark, now, drained_at=event.drained_at)
        else:
            span = now - mark.until
            pieces = sorted((mark.until + part * span, ratio) for part, ratio in event.pieces if part > 0)
            outcome = look(
                mark,
                reading(
                    now, *pieces, processes=dict.fromkeys(event.pids, 1), sm_use=event.sm_use, energy_joules=energy
                ),
                drained_at=event.drained_at,
            )
        check(outcome, elapsed=outcome.mark.until - mark.until)
        mark, device = outcome.mark, device.plus(outcome.device)
        for owner, use in outcome.charges.items():
            charges[owner] = charges.get(owner, Use()).plus(use)
    return mark, device, charges


def check(outcome: Outcome, *, elapsed: float) -> None:
    """The laws on one increment."""
    device, charges = outcome.device, outcome.charges.values()
    assert elapsed >= 0
    assert sum(device.states) == pytest.approx(elapsed, abs=1e-6)
    assert sum(use.held for use in charges) == pytest.approx(device.states.active + device.states.idle, abs=1e-6)
    assert sum(use.busy for use in charges) + device.unattributed_busy == pytest.approx(device.busy, abs=1e-6)
    assert sum(use.joules for use in charges) + device.unattributed_joules == pytest.approx(device.joules, abs=1e-3)
    for value in [*device[:4], *device.states, *(part for use in charges for part in use)]:
        assert value >= -1e-9
    assert device.busy <= elapsed + 1e-6


@given(EVENTS)
@settings(max_examples=300)
def test_the_laws_hold_over_any_history(events: list[Event]) -> None:
    mark, device, charges = play(events)
    assert sum(device.states) == pytest.approx(mark.until - 100.0, abs=1e-4)
    assert sum(use.held for use in charges.values()) == pytest.approx(
        device.states.active + device.states.idle, abs=1e-4
    )


@given(EVENTS)
def test_energy_is_complete_whatever_was_missed(events: list[Event]) -> None:
    last = Event(0.5, [(1.0, 0.0)], {1}, {}, False, 0.0)
    _, device, _ = play([*events, last])
    assert device.joules == pytest.approx(sum(event.joules for event in events), abs=1e-3)
