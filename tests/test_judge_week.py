"""The synthetic week of docs/judgement.md: that it knows nothing of what it tests, and how telling is scored."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from benchmarks.week import acts, lives
from benchmarks.week.lives import WEEK_MINUTES, Life, Phase, Waste, live
from benchmarks.week.score import score
from benchmarks.week.told import Told, by_gpuwatch, by_plain_rule, together

DAY = 24 * 60


def training(*phases: Phase, gpus: int = 8, **more: object) -> Life:
    life = Life("training", "run", "", "batch", gpus, 9 * 60, (Phase(60, "train"), *phases, Phase(60, "train")))
    return life._replace(**more)  # type: ignore[arg-type]


FORGOTTEN = training(Phase(300, "nothing", wasted=8))


@pytest.mark.parametrize("module", [acts, lives])
def test_the_generator_knows_nothing_of_gpuwatch(module: object) -> None:
    tree = ast.parse(Path(str(getattr(module, "__file__", ""))).read_text(encoding="utf-8"))
    imported = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not [name for name in imported if "gpuwatch" in name or "told" in name]
    assert not any(isinstance(node, ast.Import) for node in ast.walk(tree))


def test_a_seed_makes_the_same_week_again_and_another_makes_another() -> None:
    assert live(3) == live(3)
    assert live(3) != live(4)


def test_every_life_is_within_the_week_and_known_by_its_name() -> None:
    week = live(3)
    assert len({life.run for life in week}) == len(week) > 200
    for life in week:
        assert 0 <= life.start < WEEK_MINUTES
        assert life.start + sum(phase.minutes for phase in life.phases) <= WEEK_MINUTES
        assert all({phase.act, phase.rest or phase.act} <= acts.ACTS.keys() for phase in life.phases)
        assert all(phase.minutes > 0 for phase in life.phases)


def test_a_waste_is_what_nobody_means() -> None:
    assert list(FORGOTTEN.wastes) == [Waste(600, 900, 8)]
    assert next(FORGOTTEN.wastes).gpu_hours == 40


def test_the_runs_of_a_sweep_are_told_of_together() -> None:
    week = [training(run="a", group="s"), training(run="b"), training(run="c", group="s")]
    assert sorted([life.run for life in members] for members in together(week)) == [["a", "c"], ["b"]]


@pytest.mark.parametrize(
    ("told", "right", "found"),
    [
        ([], 0, 0),
        ([Told(630, 900)], 1, 1),
        ([Told(500, 520)], 0, 0),
        ([Told(590, 700)], 0, 1),
        ([Told(630, 640), Told(700, 900)], 2, 1),
        ([Told(950, 960)], 0, 0),
    ],
)
def test_telling_is_right_while_nobody_means_it(told: list[Told], right: int, found: int) -> None:
    result = score([FORGOTTEN], told)
    assert (result.told, result.right, result.worth, result.found) == (len(told), right, 1, found)


def test_what_costs_little_need_not_be_told() -> None:
    assert score([training(Phase(10, "nothing", wasted=8))], []).worth == 0


def test_a_forgotten_run_is_told_by_both_ways() -> None:
    (told,) = by_gpuwatch([FORGOTTEN], 1)
    assert told == Told(629, 900)  # after 30 min; it computes again in the first minute after 900
    (plain,) = by_plain_rule([FORGOTTEN], 1)
    assert 600 + 13 <= plain.start <= 600 + 16


def test_what_hangs_is_seen_only_by_its_power() -> None:
    hung = training(Phase(300, "hang", wasted=8))
    assert [told.start for told in by_gpuwatch([hung], 1)] == [609]
    assert by_plain_rule([hung], 1) == []


def test_who_said_that_it_is_meant_is_not_told() -> None:
    waiting = training(Phase(300, "nothing"), meant=(600, 930))
    assert by_gpuwatch([waiting], 1) == []


def test_nothing_is_told_of_what_is_not_seen() -> None:
    assert by_gpuwatch([FORGOTTEN._replace(unseen=((600, 900),))], 1) == []
