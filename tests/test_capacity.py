"""What was paid: GPUs count while they are there, and for seven days after they fell silent."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuwatch.model.history import Window
from gpuwatch.report.prometheus.capacity import Division, Steps, Stock, steps
from gpuwatch.report.prometheus.client import Track
from gpuwatch.units import DAY, HOUR

LABELS = ("model", "node")


def track(node: str, *looks: float, gpus: float = 8.0, model: str = "H100") -> Track:
    return Track({"node": node, "model": model}, tuple((unix, gpus) for unix in looks))


def capacity_seconds(before: list[Track], within: list[Track], grid: Steps) -> dict[Division, float]:
    return Stock(before, within, grid, LABELS).seconds(grid.window)


@given(st.floats(0, 1e9), st.floats(1, 40 * DAY))
def test_the_steps_of_a_window_cover_it_once(start: float, seconds: float) -> None:
    grid = steps(Window(start, start + seconds))
    assert sum(grid.covered(number, grid.window) for number in range(grid.many)) == pytest.approx(
        grid.window.seconds, rel=1e-6
    )
    assert 60 <= grid.seconds <= HOUR


@given(st.lists(st.booleans(), min_size=24, max_size=24))
def test_a_node_counts_from_its_first_sight_on_whatever_was_missed(seen: list[bool]) -> None:
    grid = Steps(Window(0.0, float(DAY)), HOUR)
    looks = [grid.first + number * HOUR for number in range(24) if seen[number]]
    found = capacity_seconds([], [track("n1", *looks)], grid)
    hours = 24 - seen.index(True) if any(seen) else 0
    assert sum(found.values()) == pytest.approx(8 * hours * HOUR)


def test_a_node_that_fell_silent_before_the_window_counts_for_seven_days() -> None:
    grid = Steps(Window(10.0 * DAY, 12.0 * DAY), HOUR)
    before = [track("n1", 4.0 * DAY), track("n2", 2.0 * DAY), track("n3", 9.9 * DAY)]
    found = capacity_seconds(before, [], grid)
    assert found == {("H100", "n1"): 8.0 * DAY, ("H100", "n3"): 16.0 * DAY}


def test_a_card_that_was_replaced_counts_as_long_as_it_was_there() -> None:
    grid = Steps(Window(0.0, 4.0 * HOUR), HOUR)
    old = track("n1", 1.0 * HOUR, 2.0 * HOUR, model="A100")
    new = track("n1", 3.0 * HOUR + 1, 4.0 * HOUR + 1)
    assert capacity_seconds([], [old, new], grid) == {
        ("A100", "n1"): 16.0 * HOUR, ("H100", "n1"): 16.0 * HOUR,
    }  # fmt: skip


@given(st.lists(st.floats(0, 12 * HOUR), min_size=1, max_size=5))
def test_the_parts_of_a_window_add_up_to_it(cuts: list[float]) -> None:
    grid = Steps(Window(0.0, 12.0 * HOUR), HOUR)
    stock = Stock([], [track("n1", 3.0 * HOUR, 9.0 * HOUR)], grid, LABELS)
    edges = [0.0, *sorted(cuts), 12.0 * HOUR]
    parts = [stock.seconds(Window(start, end)) for start, end in pairwise(edges)]
    assert sum(part.get(("H100", "n1"), 0.0) for part in parts) == pytest.approx(8 * 10 * HOUR)
