"""For how long a run had been idle, out of the record: by the hour it is what it is minute by minute."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuwatch.state.idleness import IdleBefore, read_idle
from gpuwatch.state.migrations import migrate
from gpuwatch.units import DAY, HOUR, MINUTE

UNTIL = 1_794_182_400
LIMIT = 0.05


class Bin(NamedTuple):
    """What is in the record of one device and one run of it."""

    seen: float
    held: float | None = None
    """None where the run was not charged."""
    busy: float = 0.0
    others: float = 0.0
    """Seconds that others held the device."""


IDLE, ABSENT, UNSEEN, BUSY = Bin(60.0, 60.0, 1.0), Bin(60.0), Bin(5.0), Bin(60.0, 60.0, 30.0)
SHARED = Bin(60.0, 20.0, 0.5, others=40.0)
BARELY, AT_THE_LIMIT = Bin(60.0, 60.0, 2.99), Bin(60.0, 60.0, 3.0)
PIECES = st.lists(
    st.tuples(st.sampled_from([IDLE, SHARED, BARELY, UNSEEN, ABSENT, None, BUSY, AT_THE_LIMIT]), st.integers(1, 100)),
    min_size=1,
    max_size=6,
)


@contextmanager
def record(bins: Sequence[Bin | None]) -> Iterator[sqlite3.Connection]:
    """A record whose minutes, up to UNTIL, are these; None for minutes in which there was no agent."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        migrate(db, unix=0.0)
        for start, one in zip(range(UNTIL - len(bins) * MINUTE, UNTIL, MINUTE), bins, strict=True):
            if one is not None:
                write(db, "minute", start, one)
        yield db


def write(db: sqlite3.Connection, kind: str, start: int, one: Bin) -> None:
    active, idle = one.busy, (one.held or 0.0) - one.busy + one.others
    free = one.seen - active - idle
    db.execute(
        f"INSERT INTO device_{kind} VALUES (?, 1, ?, 0, 0, 0, ?, ?, ?, 0)", (start, one.busy, active, idle, free)
    )
    if one.held is not None:
        db.execute(
            f"INSERT INTO charge_{kind} (start, device, owner, held, busy, joules) VALUES (?, 1, 7, ?, ?, 10)",
            (start, one.held, one.busy),
        )


def idleness(db: sqlite3.Connection) -> IdleBefore | None:
    return read_idle(db, {(1, 7): LIMIT}, UNTIL).get((1, 7))


def minute_by_minute(bins: Sequence[Bin | None]) -> IdleBefore | None:
    """The rule as it is told."""
    found = IdleBefore(UNTIL)
    for back, one in enumerate(reversed(bins), 1):
        start = UNTIL - back * MINUTE
        if one is None or (one.held is None and one.seen < MINUTE / 2):
            continue
        if one.held is None or one.busy / one.held >= LIMIT or found.since_unix - start > DAY:
            break
        seen = one.held + one.others
        found = IdleBefore(start, found.seen + seen, found.held + one.held, found.busy + one.busy, found.joules + 10.0)
    return found if found.seen else None


@settings(max_examples=150, deadline=None)
@given(PIECES)
def test_by_the_hour_it_is_what_it_is_minute_by_minute(pieces: list[tuple[Bin | None, int]]) -> None:
    bins = [one for one, minutes in pieces for _ in range(minutes)]
    with record(bins) as db:
        found = idleness(db)
    expected = minute_by_minute(bins)
    assert (found is None) == (expected is None)
    if found is not None and expected is not None:
        assert tuple(found) == pytest.approx(tuple(expected))


@pytest.mark.parametrize(("hours", "goes_on"), [(23, True), (25, False)])
def test_it_does_not_go_back_over_a_day_without_an_agent(hours: int, goes_on: bool) -> None:
    with record([IDLE] * 90 + [None] * (hours * 60) + [IDLE] * 30) as db:
        found = idleness(db)
    assert found is not None
    assert found.seen == ((120 if goes_on else 30) * MINUTE)


def test_hours_that_were_moved_count_like_minutes() -> None:
    with record([IDLE] * 60) as db:
        for hour in range(2, 102):
            write(db, "hour", UNTIL - hour * HOUR, Bin(HOUR, HOUR, 1.0))
        write(db, "hour", UNTIL - 102 * HOUR, Bin(HOUR, HOUR, 4.0))  # a minute of it may have been at the limit
        found = idleness(db)
    assert found is not None
    assert (found.since_unix, found.seen) == (UNTIL - 101 * HOUR, 101 * HOUR)


def test_a_run_that_was_busy_last_has_not_been_idle() -> None:
    with record([IDLE] * 60 + [BUSY]) as db:
        assert idleness(db) is None


def test_an_empty_record_says_nothing() -> None:
    with record([]) as db:
        assert idleness(db) is None
