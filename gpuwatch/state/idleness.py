"""For how long runs had been idle when a minute began: read out of the record for all of them at once, by the hour.

Only the hour in which a run's idleness began is read minute by minute: a node on which everybody is idle for weeks must
not keep an agent from starting. Reads only.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from gpuwatch.units import DAY, HOUR, MINUTE

_FURTHEST_BACK: Final = 40 * DAY
_SEEN: Final = "(active + idle + free + unavailable)"
_ACTIVITY: Final = f"iif(c.held > 0, c.busy / min(c.held, {MINUTE}), 1)"
"""The highest that a minute of a bin may have had."""
Ids = tuple[int, int]
"""The numbers of a device and of an owner, as the record has them."""


class IdleBefore(NamedTuple):
    """For how long a run had not used a device: the sums of its bins, in seconds and joules."""

    since_unix: float
    seen: float = 0.0
    held: float = 0.0
    busy: float = 0.0
    joules: float = 0.0


class _Span(NamedTuple):
    """Some bins in a row, of one kind."""

    kind: str
    start: int
    end: int


class _Device(NamedTuple):
    """Its bins in a span."""

    bins: int
    first: int
    last: int
    """Where the oldest and the newest begin."""
    held: float
    """Seconds, by anybody."""


class _Run(NamedTuple):
    """Of a run on a device in a span: how many bins it has, and their sums."""

    bins: int
    held: float
    busy: float
    joules: float
    activity: float
    """The highest."""


def read_idle(connection: sqlite3.Connection, limits: Mapping[Ids, float], until_unix: int) -> dict[Ids, IdleBefore]:
    """Of these runs those that were idle at a time, by the activity (busy by held) from which on each is not.

    It goes back to the last bin that may have a minute in which the run's activity was at its limit, or to a day in
    which nothing of it was seen.
    """
    found = {ids: IdleBefore(until_unix) for ids in limits}
    going_on = set(limits)
    for span in _spans(connection, until_unix):
        if not going_on:
            break
        devices, runs = _device_sums(connection, span), _run_sums(connection, span)
        for ids in [ids for ids in going_on if ids[0] in devices]:
            device, run, idle = devices[ids[0]], runs.get(ids), found[ids]
            if run and run.bins == device.bins and run.activity < limits[ids] and idle.since_unix - device.last <= DAY:
                found[ids] = _longer(idle, device.first, (max(device.held, run.held), run.held, run.busy, run.joules))
                continue
            found[ids], is_over = _walk(connection, span, ids, limits[ids], idle)
            if is_over:
                going_on.remove(ids)
    return {ids: idle for ids, idle in found.items() if idle.seen}


def _spans(connection: sqlite3.Connection, until_unix: int) -> Iterator[_Span]:
    """From the newest to the oldest, as far as there are bins."""
    for kind, seconds in (("minute", HOUR), ("hour", DAY)):
        ((oldest,),) = connection.execute(f"SELECT min(start) FROM device_{kind}")
        since = until_unix if oldest is None else max(oldest, until_unix - _FURTHEST_BACK)
        for end in range(until_unix, since, -seconds):
            yield _Span(kind, end - seconds, end)


def _device_sums(connection: sqlite3.Connection, span: _Span) -> dict[int, _Device]:
    rows = connection.execute(
        f"SELECT device, count(*), min(start), max(start), sum(active + idle) FROM device_{span.kind}"
        " WHERE start >= ? AND start < ? GROUP BY device",
        span[1:],
    )
    return {device: _Device(*sums) for device, *sums in rows}


def _run_sums(connection: sqlite3.Connection, span: _Span) -> dict[Ids, _Run]:
    rows = connection.execute(
        f"SELECT device, owner, count(*), sum(held), sum(busy), sum(joules), max({_ACTIVITY})"
        f" FROM charge_{span.kind} c WHERE start >= ? AND start < ?"
        " GROUP BY device << 32 | owner",  # a single number is sorted by in a fraction of the time
        span[1:],
    )
    return {(device, owner): _Run(*sums) for device, owner, *sums in rows}


def _walk(
    connection: sqlite3.Connection, span: _Span, ids: Ids, limit: float, found: IdleBefore
) -> tuple[IdleBefore, bool]:
    """Go back bin by bin; how far that came, and whether it ended there.

    Where the run has no bin, all the device's time that was seen stands for it.
    """
    device, owner = ids
    rows = connection.execute(
        f"SELECT d.start, iif(c.held IS NULL, {_SEEN}, active + idle), c.held, c.busy, c.joules, {_ACTIVITY}"
        f" FROM device_{span.kind} d LEFT JOIN charge_{span.kind} c"
        " ON c.start = d.start AND c.device = d.device AND c.owner = ?"
        " WHERE d.start >= ? AND d.start < ? AND d.device = ? ORDER BY d.start DESC",
        (owner, *span[1:], device),
    )
    for start, seen, held, busy, joules, activity in rows:
        if held is None and seen < MINUTE / 2:
            continue  # nobody saw it; else it was not there
        if held is None or activity >= limit or found.since_unix - start > DAY:
            return found, True
        found = _longer(found, start, (max(held, seen), held, busy, joules))
    return found, False


def _longer(found: IdleBefore, since_unix: int, more: tuple[float, float, float, float]) -> IdleBefore:
    _, *sums = found
    return IdleBefore(since_unix, *(amount + added for amount, added in zip(sums, more, strict=True)))
