"""Who is on a GPU: owners and their memory, strangers, reservations; the same answer is not worked out twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from examples import ANN, reading

from gpuwatch.agent.attribution import Attributed
from gpuwatch.agent.occupancy import Occupancies, occupancy_of
from gpuwatch.model import GpuInfo, GpuReading, Owner

GPU = GpuInfo("GPU-aaaa", 0, "H100", "0000:01:00.0")
BEN = Owner("ben", "vision", "adhoc:eval.py-k3f9z2.3mw@n7")
OWNERS = {11: ANN, 12: ANN, 13: BEN}
ATTRIBUTED = Attributed(OWNERS, {}, {}, ignored=frozenset({1}))
RESERVED = ATTRIBUTED._replace(reserved={"GPU-aaaa": ANN})


def on_gpu(processes: Mapping[int, int | None] | None) -> GpuReading:
    return replace(reading(GPU), processes=processes)


@pytest.mark.parametrize(
    ("processes", "memory", "strangers"),
    [
        ({}, {}, 0),
        ({11: 5, 12: 6, 13: 7}, {ANN: 11, BEN: 7}, 0),
        ({11: None, 12: 6}, {ANN: 6}, 0),
        ({11: 5, 12: None, 13: None}, {ANN: 5, BEN: None}, 0),
        ({1: 5, 99: 6, 13: 7}, {BEN: 7}, 1),
        (None, {}, None),
    ],
)
def test_owners_have_the_memory_of_their_processes(
    processes: dict[int, int | None] | None, memory: dict[Owner, int | None], strangers: int | None
) -> None:
    found = occupancy_of(on_gpu(processes), OWNERS, ATTRIBUTED)
    assert found.memory == {("GPU-aaaa", owner): size for owner, size in memory.items()}
    assert found.holders.listed == memory.keys()
    assert found.strangers == strangers
    assert found.holders.hidden == (strangers != 0)


def test_a_process_that_was_known_a_moment_ago_holds_and_has_no_memory_to_show() -> None:
    found = occupancy_of(on_gpu({13: 7}), OWNERS, Attributed({}, {}, {}))
    assert found.holders.listed == {BEN}
    assert not found.memory
    assert found.strangers == 1


def test_a_reservation_counts_where_nothing_runs() -> None:
    empty, used = (occupancy_of(on_gpu(processes), OWNERS, RESERVED) for processes in ({1: 5}, {13: 7}))
    assert empty.holders.listed == {ANN}
    assert list(empty.memory.items()) == [(("GPU-aaaa", ANN), None)]
    assert empty.reserved == ANN
    assert used.holders.listed == {BEN}
    assert used.reserved is None


def test_what_has_not_changed_is_not_worked_out_again() -> None:
    occupancies = Occupancies()
    first = occupancies.of(on_gpu({11: 5}), OWNERS, ATTRIBUTED)
    assert occupancies.of(on_gpu({11: 5}), OWNERS, ATTRIBUTED) is first
    assert occupancies.of(on_gpu({11: 6}), OWNERS, ATTRIBUTED).memory == {("GPU-aaaa", ANN): 6}
    assert occupancies.of(on_gpu({11: 6}), OWNERS, RESERVED) is not first
    assert occupancies.of(on_gpu({}), OWNERS, RESERVED).reserved == ANN
