"""Calls that may never come back: the lane bounds them, and loses nothing but the call that hangs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from gpuwatch.errors import Overrun
from gpuwatch.sense.lane import Lane

PATIENCE = 0.1


@pytest.fixture
def lane() -> Iterator[Lane[str, int]]:
    lane: Lane[str, int] = Lane("test")
    yield lane
    lane.close()


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What a hanging call waits for."""
    gate = threading.Event()
    yield gate
    gate.set()


def hang(gate: threading.Event) -> Callable[[], int]:
    return lambda: int(gate.wait(30))


def test_results_come_back_by_key(lane: Lane[str, int]) -> None:
    assert lane.run({"a": lambda: 1, "b": lambda: 2}, patience=PATIENCE) == {"a": 1, "b": 2}


def test_an_exception_is_the_result_of_its_call_alone(lane: Lane[str, int]) -> None:
    results = lane.run({"a": lambda: 1 // 0, "b": lambda: 2}, patience=PATIENCE)
    assert isinstance(results["a"], ZeroDivisionError)
    assert results["b"] == 2


def test_a_call_that_hangs_costs_the_others_nothing(lane: Lane[str, int], gate: threading.Event) -> None:
    results = lane.run({"a": lambda: 1, "hung": hang(gate), "b": lambda: 2}, patience=PATIENCE)
    assert isinstance(results["hung"], Overrun)
    assert (results["a"], results["b"]) == (1, 2)


def test_a_key_that_hangs_is_left_out_until_it_comes_back(lane: Lane[str, int], gate: threading.Event) -> None:
    calls = {"hung": hang(gate), "b": lambda: 2}
    lane.run(calls, patience=PATIENCE)
    again = lane.run({"hung": lambda: 7, "b": lambda: 2}, patience=PATIENCE)
    assert isinstance(again["hung"], Overrun)
    assert again["b"] == 2
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "test" and lane.stuck()][:1]
    gate.set()
    thread.join(5)
    while lane.stuck():
        pass
    assert lane.run({"hung": lambda: 7}, patience=PATIENCE) == {"hung": 7}


def test_a_thread_that_cannot_be_had_is_no_end(lane: Lane[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert isinstance(lane.run({"a": lambda: 1}, patience=PATIENCE)["a"], RuntimeError)
    assert lane.run({"a": lambda: 1}, patience=PATIENCE) == {"a": 1}


def test_several_that_hang_are_all_told(lane: Lane[str, int], gate: threading.Event) -> None:
    results = lane.run({"x": hang(gate), "y": hang(gate), "b": lambda: 2}, patience=PATIENCE)
    assert isinstance(results["x"], Overrun)
    assert isinstance(results["y"], Overrun)
    assert results["b"] == 2
    assert lane.stuck() == {"x", "y"}
