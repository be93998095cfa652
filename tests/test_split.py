"""The split rule: worked examples, and the laws on any stretch."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuwatch.account.split import Stretch, split, unknown
from gpuwatch.model import Owner, States

ANN, BEN, CAT = (Owner(user, "", f"run-{user}") for user in ("ann", "ben", "cat"))
OWNERS = st.lists(st.sampled_from([ANN, BEN, CAT]), unique=True)
SHARES = st.dictionaries(st.sampled_from([ANN, BEN, CAT]), st.floats(0, 100))
STRETCHES = st.builds(
    lambda elapsed, part, joules: Stretch(elapsed, elapsed * part, joules),
    st.floats(1e-3, 1e4), st.floats(0, 1), st.floats(0, 1e6),
)  # fmt: skip


def near(value: float) -> object:
    return pytest.approx(value, rel=1e-9, abs=1e-6)


def test_one_owner_gets_all_of_it() -> None:
    division = split(Stretch(10.0, 4.0, 1000.0), [ANN], {ANN: 37.0})
    assert division.charges[ANN] == (10.0, 4.0, 1000.0)
    assert division.device.states == States(active=4.0, idle=6.0)


def test_busy_goes_by_shares_and_the_rest_is_held_in_equal_parts() -> None:
    division = split(Stretch(10.0, 6.0, 1000.0), [ANN, BEN], {ANN: 60.0, BEN: 30.0})
    assert division.charges[ANN] == near_all(held=6.0, busy=4.0, joules=600.0)
    assert division.charges[BEN] == near_all(held=4.0, busy=2.0, joules=400.0)


def near_all(**parts: float) -> object:
    return pytest.approx(tuple(parts.values()))


def test_without_shares_the_split_is_equal() -> None:
    division = split(Stretch(10.0, 6.0, 1000.0), [ANN, BEN], {})
    assert division.charges[ANN] == division.charges[BEN] == (5.0, 3.0, 500.0)


def test_nobody_there_is_free_and_its_use_is_nobodys() -> None:
    division = split(Stretch(10.0, 1.0, 700.0), [], {})
    assert division.charges == {}
    assert division.device == (1.0, 700.0, 1.0, 700.0, States(free=10.0))


def test_use_of_an_unknown_process_is_unattributed() -> None:
    division = split(Stretch(10.0, 8.0, 1000.0), [ANN], {ANN: 30.0}, stray=10.0)
    assert division.device.unattributed_busy == near(2.0)
    assert division.device.unattributed_joules == near(200.0)
    assert division.charges[ANN] == near_all(held=10.0, busy=6.0, joules=800.0)


@given(STRETCHES, OWNERS, SHARES, st.floats(0, 100))
def test_the_laws_hold_for_any_stretch(
    stretch: Stretch, owners: list[Owner], shares: dict[Owner, float], stray: float
) -> None:
    device, charges = split(stretch, owners, shares, stray)
    assert sum(device.states) == near(stretch.elapsed)
    assert sum(use.held for use in charges.values()) == near(device.states.active + device.states.idle)
    assert sum(use.busy for use in charges.values()) + device.unattributed_busy == near(stretch.busy)
    assert sum(use.joules for use in charges.values()) + device.unattributed_joules == near(stretch.joules)
    for use in charges.values():
        assert -1e-9 <= use.busy <= use.held + 1e-6


@given(STRETCHES)
def test_unknown_is_neither_free_nor_idle(stretch: Stretch) -> None:
    device, charges = unknown(stretch)
    assert device.states == States(unknown=stretch.elapsed)
    assert charges == {}
