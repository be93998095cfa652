"""When somebody is told: how much has to be wasted, by whom, and of what nobody is told at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from idling import run_now

from gpuwatch.alert.push import Due, Push, due
from gpuwatch.alert.subject import key_of, subjects
from gpuwatch.model.judgement import IDLE, KEPT_WARM, OK, RESERVED, SNOOZED, STUCK, UNDERUSED, RunNow
from gpuwatch.model.notice import EARLY, QUIET, SERVICE
from gpuwatch.units import HOUR, MINUTE


def told(*runs: RunNow, push: Push | None = None) -> Due:
    (subject,) = subjects(runs)
    return due(subject, push or Push())


@pytest.mark.parametrize(
    ("gpus", "minutes", "is_due"),
    [(8, 29.9, False), (8, 30, True), (2, 29.9, False), (2, 30, True), (1, 59.9, False), (1, 60, True)],
)
def test_it_takes_half_an_hour_and_a_gpu_hour(gpus: int, minutes: float, is_due: bool) -> None:
    assert told(run_now(gpus=gpus, minutes=minutes)).due is is_due


def test_what_is_told_has_its_figures_and_what_is_not_says_what_it_takes() -> None:
    assert told(run_now(gpus=8, minutes=45)) == Due(True, "idle: 8 of 8 GPUs for 45 min, 6.0 GPU-hours")
    assert told(run_now(gpus=8, minutes=20)) == Due(False, "not idle for long enough: told from 30 min on", EARLY)
    assert told(run_now(gpus=1, minutes=45)) == Due(False, "not enough wasted: told from 1.0 GPU-hours on", EARLY)


def test_the_reason_stays_the_same_as_long_as_it_holds() -> None:
    assert told(run_now(minutes=16)) == told(run_now(minutes=29))


@pytest.mark.parametrize(("minutes", "is_due"), [(119, False), (120, True)])
def test_whoever_sits_before_a_notebook_has_two_hours(minutes: float, is_due: bool) -> None:
    assert told(run_now(kind="interactive", minutes=minutes)).due is is_due


def test_the_operator_has_the_last_word_on_how_long() -> None:
    assert not told(run_now(minutes=100, push_after=3 * HOUR)).due
    assert told(run_now(minutes=20, push_after=15 * MINUTE)).due
    assert told(run_now(kind="interactive", minutes=20, push_after=15 * MINUTE)).due


def test_a_service_waits_for_questions() -> None:
    assert told(run_now(kind="service", minutes=6000)).held == SERVICE


def test_quiet_hours_are_quiet() -> None:
    assert told(run_now(minutes=6000, quiet=True)).held == QUIET


@pytest.mark.parametrize("kind", ["batch", "interactive", "service", ""])
def test_what_is_stuck_is_told_at_any_hour(kind: str) -> None:
    stuck = run_now(kind=kind, verdict=STUCK, minutes=10, gpus=1, quiet=True)
    assert told(stuck) == Due(True, "stuck: 1 of 1 GPU for 10 min")
    assert not told(run_now(kind=kind, verdict=STUCK, minutes=9.9, gpus=1)).due


def test_what_has_been_stuck_for_a_moment_is_not_stuck_for_as_long_as_another_device_was_idle() -> None:
    stuck, idle = run_now(verdict=STUCK, minutes=1, gpus=1), run_now("wandb:b", minutes=20, gpus=1)
    both = stuck._replace(devices=(*stuck.devices, *idle.devices))
    assert told(both).held == EARLY


def test_reserved_and_never_used_is_idle() -> None:
    assert told(run_now(verdict=RESERVED, minutes=30, gpus=2)).due


@pytest.mark.parametrize("verdict", [OK, UNDERUSED, KEPT_WARM, SNOOZED])
def test_nobody_is_told_of_anything_else(verdict: str) -> None:
    assert subjects([run_now(verdict=verdict, minutes=6000)]) == []


def test_only_what_has_been_idle_for_long_enough_for_its_kind_counts() -> None:
    notebook = run_now("adhoc:nb", kind="interactive", minutes=100, gpus=8, group="g")
    batch = run_now("adhoc:b", minutes=40, gpus=1, group="g")
    assert told(notebook, batch).held == EARLY
    assert told(notebook, batch._replace(kind="service")).held == EARLY


def test_a_sweep_is_one_subject_on_all_its_nodes() -> None:
    runs = [run_now(f"wandb:{number}", node=f"n{number % 3}", group="sweep-1", gpus=1) for number in range(8)]
    busy = run_now("wandb:9", group="sweep-1", verdict=OK, gpus=2)
    (subject,) = subjects([*runs, busy, run_now("wandb:x", verdict=OK)])
    assert (subject.idle_gpus, subject.all_gpus, subject.group) == (8, 10, "sweep-1")
    assert due(subject, Push()).due


def test_a_run_on_two_nodes_is_one_subject_and_of_two_people_two() -> None:
    runs = [run_now(node="n1"), run_now(node="n2"), run_now(user="ben")]
    assert [(subject.user, len(subject.runs)) for subject in subjects(runs)] == [("ann", 2), ("ben", 1)]


def test_a_sweep_is_never_taken_for_a_run_of_its_name() -> None:
    assert key_of(run_now("s")) != key_of(run_now("wandb:1", group="s"))


@given(
    st.permutations([run_now(f"wandb:{n}", node=f"n{n % 2}", group="g" * (n > 2), minutes=20 + n) for n in range(6)])
)
def test_it_does_not_matter_in_which_order_runs_come(runs: list[RunNow]) -> None:
    assert subjects(runs) == subjects(sorted(runs, key=lambda run: run.owner))


@given(st.floats(0, 600), st.floats(0, 600), st.sampled_from([IDLE, STUCK, RESERVED]), st.integers(1, 8))
def test_more_waste_is_never_less_due(less: float, more: float, verdict: str, gpus: int) -> None:
    less, more = sorted((less, more))
    before, after = (told(run_now(verdict=verdict, minutes=minutes, gpus=gpus)).due for minutes in (less, more))
    assert after or not before
