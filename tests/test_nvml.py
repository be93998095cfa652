"""The binding's own garbage: what is in a process list and cannot be."""

from __future__ import annotations

import pynvml
import pytest
from conftest import Play
from standin.trace import steady_trace

from gpuwatch.sense import nvml
from gpuwatch.sense.nvml import processes


def lists(*kinds: list[tuple[int, int | None]] | None) -> tuple[tuple[object, ...], ...]:
    def call(found: list[tuple[int, int | None]] | None) -> object:
        def answer(_: object) -> list[tuple[int, int | None]]:
            if found is None:
                raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
            return found

        answer.__name__ = f"list-{id(found)}"
        return answer

    return tuple((call(found),) for found in kinds)


@pytest.fixture
def card(play: Play) -> nvml.Card:
    play(steady_trace(1, 1, 10.0, 0.5))
    nvml.open_driver()
    return nvml.open_cards(0)[0]


def test_impossible_pids_and_sizes_are_left_out(card: nvml.Card, monkeypatch: pytest.MonkeyPatch) -> None:
    garbage = [(0, 5), (2**32 - 1, 5), (7, 2**63), (8, 9), (9, None)]
    monkeypatch.setattr(processes, "_PROCESS_LISTS", lists(garbage, [(8, 11), (7, None)]))
    assert card.read_processes() == {7: None, 8: 11, 9: None}


def test_no_list_at_all_is_not_an_empty_one(card: nvml.Card, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_PROCESS_LISTS", lists(None, None))
    assert card.read_processes() is None
    monkeypatch.setattr(processes, "_PROCESS_LISTS", lists(None, []))
    assert card.read_processes() == {}


def test_a_list_longer_than_usual_is_read_whole(play: Play) -> None:
    driver = play(steady_trace(1, 100, 10.0, 0.5))
    for slot in range(100):
        driver.set_pid(slot, 1000 + slot)
    nvml.open_driver()
    assert nvml.open_cards(0)[0].read_processes() is not None
    assert len(nvml.open_cards(0)[0].read_processes() or {}) == 100
