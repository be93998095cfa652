"""Ninety minutes of a scripted fleet, real agents and a real Prometheus: the short form of `make bench BENCH=day`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pytest
from servers import program

from benchmarks.day import show
from benchmarks.day.judge import MEASURES
from benchmarks.day.script import Plan, write_script
from benchmarks.day.truth import account_of

SEED: Final = 5
EVENING: Final = Plan(2, 48, 5_400, 900, gaps=(300, 1_200), restarts=3, absences=(45,))
STATE_PERCENT: Final = 1.0
"""A start or stop is known to a second: of a shorter stretch that is more."""
PROMETHEUS_PERCENT: Final = 3.0
"""And a window's edge to a scrape and, recorded, to an evaluation: 100 s of 90 min at the worst."""
WAYS: Final = {
    "state": STATE_PERCENT,
    "Prometheus, raw": PROMETHEUS_PERCENT,
    "Prometheus, recorded": PROMETHEUS_PERCENT,
}


@pytest.fixture(scope="module")
def figures() -> Mapping[str, float]:
    """By name."""
    for name in ("prometheus", "promtool"):
        program(name)
    return {figure.name: figure.value for figure in show(SEED, EVENING)}


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize(("way", "percent"), WAYS.items())
def test_everybody_has_what_they_used(figures: Mapping[str, float], way: str, percent: float, measure: str) -> None:
    assert figures[f"{way}: {measure}, worst person"] < percent


@pytest.mark.parametrize("way", WAYS)
def test_all_time_is_somewhere_and_what_is_held_is_somebodys(figures: Mapping[str, float], way: str) -> None:
    assert figures[f"{way}: all states against capacity"] < 0.01
    assert figures[f"{way}: held by people against held"] < 0.01


def test_samples_tell_less(figures: Mapping[str, float]) -> None:
    assert figures["sampled 30 s: busy, worst person"] > 10 * figures["state: busy, worst person"]


def test_the_judge_gives_every_second_away_once() -> None:
    nodes = write_script(SEED, EVENING)
    truth = account_of(nodes, EVENING.window)
    capacity = sum(len(node.trace.gpus) for node in nodes) * EVENING.seconds
    assert sum(truth.states) + truth.unknown == pytest.approx(capacity)
    assert sum(share.held for share in truth.people.values()) == pytest.approx(truth.states.active + truth.states.idle)
    assert sum(share.busy for share in truth.people.values()) == pytest.approx(truth.states.active)


def test_a_seed_is_a_script() -> None:
    assert write_script(SEED, EVENING) == write_script(SEED, EVENING)
    assert write_script(SEED, EVENING) != write_script(SEED + 1, EVENING)
