"""The ledger: what is shown, for how long, and that nothing ever falls."""

from __future__ import annotations

import pytest

from gpuwatch.account.cpu import CpuMeter, never_falling
from gpuwatch.account.device import Outcome
from gpuwatch.account.ledger import LINGER_SECONDS, ROLL_UP_BIRTH_SECONDS, ROLL_UP_SHOWN_SECONDS, Ledger
from gpuwatch.model import (
    Count,
    CountKey,
    DeviceUse,
    HostReading,
    Identity,
    Mark,
    Owner,
    Run,
    RunTotal,
    States,
    TreeReading,
    Use,
)

ANN = Owner("ann", "p", "r1")
RUN = Run(ANN, Identity(1, 1), 0.0, "adhoc")
MARK = Mark(1.0, 1.0, None)


def outcome(seconds: float) -> Outcome:
    use = Use(seconds, seconds / 2, seconds * 100)
    return Outcome(MARK, DeviceUse(use.busy, use.joules, states=States(active=use.busy, idle=use.busy)), {ANN: use})


@pytest.fixture
def ledger() -> Ledger:
    ledger = Ledger()
    ledger.enter("GPU-0", outcome(10.0), unix=1000.0)
    return ledger


def test_totals_add_up(ledger: Ledger) -> None:
    ledger.enter("GPU-0", outcome(5.0), unix=1001.0)
    ledger.enter("GPU-1", outcome(1.0), unix=1001.0)
    assert ledger.runs["GPU-0", ANN].use == Use(15.0, 7.5, 1500.0)
    assert ledger.devices["GPU-0"].busy == 7.5
    assert ledger.people["ann", "p"].use.held == 16.0


def test_a_run_lingers_ten_minutes_and_then_goes(ledger: Ledger) -> None:
    ledger.settle()
    ledger.put_away(set(), 1000.0 + LINGER_SECONDS)
    assert ledger.shown() == {ANN}
    ledger.put_away(set(), 1001.0 + LINGER_SECONDS)
    assert ledger.shown() == set()


def test_what_is_not_saved_is_not_put_away(ledger: Ledger) -> None:
    ledger.put_away(set(), 1001.0 + LINGER_SECONDS)
    assert ledger.shown() == {ANN}


def test_a_run_comes_back_at_its_old_value(ledger: Ledger) -> None:
    ledger.settle()
    ledger.put_away(set(), 9999.0)
    ledger.enter("GPU-0", outcome(1.0), unix=10_000.0)
    ledger.add_past(("GPU-0", ANN), RunTotal(Use(10.0, 5.0, 1000.0), 7, 1000.0))
    assert ledger.runs["GPU-0", ANN] == RunTotal(Use(11.0, 5.5, 1100.0), 7, 10_000.0)


def test_what_is_known_of_a_run_stays_while_it_lives(ledger: Ledger) -> None:
    ledger.describe(ANN, RUN)
    ledger.settle()
    ledger.enter_cpu(ANN, 2.0)
    ledger.settle()
    ledger.put_away({ANN}, 99_999.0)
    assert ledger.details == {ANN: RUN}
    assert ledger.cpu_seconds == {}, "with its past it would be counted twice when the run is charged again"
    ledger.put_away(set(), 99_999.0)
    assert ledger.details == {}


def test_a_roll_up_is_born_at_zero_and_goes_after_thirty_days(ledger: Ledger) -> None:
    ledger.ripen(1059.0)
    assert ledger.people_shown(1059.0) == {("ann", "p"): Use()}
    ledger.ripen(1000.0 + ROLL_UP_BIRTH_SECONDS)
    assert ledger.people_shown(1060.0) == {("ann", "p"): Use(10.0, 5.0, 1000.0)}
    assert ledger.people_shown(1001.0 + ROLL_UP_SHOWN_SECONDS) == {}


@pytest.mark.parametrize("first", [1061.0, 500.0], ids=["after its minute", "a clock set back"])
def test_a_roll_up_never_falls_when_the_clock_is_set_back(ledger: Ledger, first: float) -> None:
    ledger.ripen(first)
    ledger.ripen(900.0)
    assert ledger.people_shown(900.0)["ann", "p"].held == 10.0


def test_changes_are_what_was_not_saved(ledger: Ledger) -> None:
    ledger.enter_memory(("GPU-0", ANN), 5)
    ledger.enter_cpu(ANN, 2.0)
    ledger.describe(ANN, RUN)
    changes = ledger.changes()
    assert changes.runs == {("GPU-0", ANN): RunTotal(Use(10.0, 5.0, 1000.0), 5, 1000.0)}
    assert changes.cpu_seconds == {ANN: 2.0}
    ledger.settle()
    assert not ledger.changes().runs
    assert not ledger.changes().details


def test_memory_peaks_never_fall(ledger: Ledger) -> None:
    for size in (5, 9, 7):
        ledger.enter_memory(("GPU-0", ANN), size)
    assert ledger.runs["GPU-0", ANN].memory_peak_bytes == 9


def test_a_mode_of_the_machine_never_falls() -> None:
    before = HostReading({"user": 5.0, "iowait": 7.0}, 1, 2, 0.5)
    now = never_falling(before, HostReading({"user": 6.0, "iowait": 6.5}, 3, 4, 0.7))
    assert now == HostReading({"user": 6.0, "iowait": 7.0}, 3, 4, 0.7)
    assert never_falling(before, None) is None


def test_cpu_begins_with_a_baseline_and_never_falls() -> None:
    meter, root = CpuMeter(), Identity(1, 1)
    members = {root: {root}}
    steps = [
        meter.advance({root: TreeReading(seconds, 0)}, members).get(root) for seconds in (100.0, 103.0, 90.0, 91.0)
    ]
    assert steps == [None, 3.0, 0.0, 1.0]
    meter.advance({}, {})
    assert meter.advance({root: TreeReading(500.0, 0)}, members) == {}


def test_the_past_of_a_process_that_comes_from_another_tree_is_not_charged_again() -> None:
    meter, root, rank = CpuMeter(), Identity(1, 1), Identity(2, 2)
    meter.advance({root: TreeReading(10.0, 0), rank: TreeReading(3600.0, 0)}, {root: {root}, rank: {rank}})
    assert meter.advance({root: TreeReading(3615.0, 0)}, {root: {root, rank}}) == {}
    assert meter.advance({root: TreeReading(3620.0, 0)}, {root: {root, rank}}) == {root: 5.0}


def test_people_are_charged_in_whole_gpus_and_runs_by_device() -> None:
    ledger = Ledger()
    ledger.enter("MIG-0", outcome(7.0), unix=1000.0, capacity=1 / 7)
    assert ledger.runs["MIG-0", ANN].use == Use(7.0, 3.5, 700.0)
    assert ledger.people["ann", "p"].use == pytest.approx(Use(1.0, 0.5, 700.0))


def test_throttled_seconds_count_from_first_sight_and_go_on_when_the_driver_begins_anew() -> None:
    ledger, key = Ledger(), CountKey("throttle", "power_cap")
    for driver_total in (50.0, 53.0, 2.0, 2.5):
        ledger.enter_counts("GPU-0", {key: driver_total})
    assert ledger.counts["GPU-0"][key].total == pytest.approx(5.5)


def test_memory_errors_count_from_the_cards_first_day() -> None:
    ledger, key = Ledger(), CountKey("ecc", "corrected")
    ledger.enter_counts("GPU-0", {key: 7.0})
    ledger.enter_counts("GPU-0", {key: 9.0})
    assert ledger.counts["GPU-0"][key].total == 9.0


def test_only_counts_that_changed_are_saved() -> None:
    ledger, key = Ledger(), CountKey("ecc", "corrected")
    ledger.enter_counts("GPU-0", {key: 7.0})
    assert ledger.changes().counts == {"GPU-0": {key: Count(7.0, 7.0)}}
    ledger.settle()
    ledger.enter_counts("GPU-0", {key: 7.0})
    assert ledger.changes().counts == {}


def test_activity_is_kept_with_its_run_and_comes_back_with_its_past(ledger: Ledger) -> None:
    ledger.enter_activity(("GPU-0", ANN), 3.0)
    ledger.enter_activity(("GPU-9", ANN), 3.0)  # never charged there
    ledger.add_past(("GPU-0", ANN), RunTotal(Use(1.0, 1.0, 1.0), 0, 5.0, 4.0))
    assert ledger.runs["GPU-0", ANN].sm_active == 7.0
    assert ("GPU-9", ANN) not in ledger.runs
