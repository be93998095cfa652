"""From the driver's samples to utilisation over time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuwatch.sense.nvml import Sample
from gpuwatch.sense.track import DriverClock, newest_plausible, process_use, track

UNIX, BOOT = 1_800_000_000.0, 5_000.0
CLOCK = DriverClock(None, unix=UNIX, boottime=BOOT)


def us(boottime: float) -> int:
    """The stamp that a driver on the wall clock gives at a boot time."""
    return round((UNIX + boottime - BOOT) * 1e6)


def samples(*pairs: tuple[float, int]) -> list[Sample]:
    return [(us(at), percent) for at, percent in pairs]


def test_samples_become_contiguous_pieces_in_order() -> None:
    pieces = track(samples((5001.0, 80), (5000.5, 20)), CLOCK, since=5000.0, now=5001.1)
    assert [(round(piece.end, 3), piece.ratio) for piece in pieces] == [(5000.5, 0.2), (5001.0, 0.8)]


def test_garbage_is_left_out() -> None:
    garbage = [(us(5000.6), 37100), (0, 50), (us(9999.0), 50), (us(4999.0), 50)]
    pieces = track([*samples((5000.5, 20)), *garbage], CLOCK, since=5000.0, now=5001.0)
    assert [piece.ratio for piece in pieces] == [0.2]


def test_what_the_ring_has_lost_takes_the_mean_of_what_is_there() -> None:
    pieces = track(samples((5008.0, 40), (5008.5, 80)), CLOCK, since=5000.0, now=5009.0)
    assert [(round(piece.end, 3), round(piece.ratio, 3)) for piece in pieces] == [
        (5007.5, 0.6), (5008.0, 0.4), (5008.5, 0.8),
    ]  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, 2**63), st.integers(0, 2**31))))
def test_no_ring_content_breaks_the_track(entries: list[tuple[int, int]]) -> None:
    pieces = track(entries, CLOCK, since=5000.0, now=5005.0)
    assert all(5000.0 < piece.end <= 5005.0 and 0 <= piece.ratio <= 1 for piece in pieces)
    assert list(pieces) == sorted(pieces)


def test_process_use_by_pid_without_garbage() -> None:
    entries = [
        (11, us(5002.0), 60), (12, us(5002.0), 37100),
        (13, 0, 20), (14, us(9999.0), 20), (15, us(5002.0), 0),
    ]  # fmt: skip
    use = process_use(entries, CLOCK, since_us=us(5000.0), now=5002.1)
    assert use.by_pid == {11: 120.0, 15: 0.0}
    assert use.until_us == us(5002.0)


def test_nothing_newer_is_no_use() -> None:
    assert process_use([], CLOCK, since_us=us(5000.0), now=5002.0) == ({}, us(5000.0))


def test_the_clock_follows_a_wall_clock_that_was_set() -> None:
    clock = DriverClock(us(5000.0), unix=UNIX, boottime=BOOT)
    clock.follow(unix=UNIX + 3600, boottime=BOOT)
    assert clock.to_boottime(us(5000.0) + 3_600_000_000) == pytest.approx(5000.0)
    assert clock.to_driver_us(5000.0) == us(5000.0) + 3_600_000_000


def test_the_clock_does_not_follow_slew_and_jitter() -> None:
    clock = DriverClock(us(5000.0), unix=UNIX, boottime=BOOT)
    clock.follow(unix=UNIX + 0.1, boottime=BOOT)
    assert clock.to_boottime(us(5000.0)) == pytest.approx(5000.0)


def test_a_driver_with_a_clock_of_its_own_is_mapped_by_its_newest_stamp() -> None:
    clock = DriverClock(77_000_000, unix=UNIX, boottime=BOOT)
    clock.follow(unix=UNIX + 3600, boottime=BOOT)
    assert clock.to_boottime(77_000_000) == pytest.approx(BOOT)


def test_the_newest_plausible_stamp_lies_with_the_bulk() -> None:
    ring = [*samples((5000.0, 1), (5001.0, 1), (5002.0, 1)), (0, 50), (2**60, 50), (us(5003.0), 400)]
    assert newest_plausible(ring) == us(5002.0)
    assert newest_plausible([]) is None
