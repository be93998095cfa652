"""One device over time: from its mark and a new reading to the stretches in between, and what they are charged to.

A device is accounted up to the driver's newest utilisation sample, not up to now: busy and elapsed are then of the same
time. Who held it is known at the readings; a stretch belongs to the owners of the reading at its end, and a change of
owners cuts it at the reading before.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import reduce
from typing import NamedTuple

from gpuwatch.account.split import Division, Stretch, split, unknown
from gpuwatch.model import DeviceUse, GpuReading, Mark, Owner, Piece, Use

LONGEST_GAP = 10.0
"""Seconds without any reading (agent down, machine stopped) that are still bridged; more is unknown."""
_NO_UTILIZATION = 2.0
"""Seconds without utilisation, for a card that has none to give, before its time is called unknown."""
_HIGHEST_WATTS = 5000.0
"""No card draws more: a larger step of the energy counter is a counter that was reset or is broken."""


class Holders(NamedTuple):
    """Who is on a device: the owner by pid, of those in its process list and of those known a reading ago."""

    by_pid: Mapping[int, Owner]
    """Every pid whose owner is known, listed or not."""
    listed: frozenset[Owner]
    """Owners in the process list now."""
    hidden: bool
    """A listed process of which nothing could be read: somebody holds the device, nobody knows who."""


class Outcome(NamedTuple):
    """What a reading, or its absence, adds."""

    mark: Mark
    device: DeviceUse
    charges: Mapping[Owner, Use]


def baseline(reading: GpuReading, holders: Holders) -> Mark:
    """The mark at first sight: nothing before it is charged."""
    owners = None if holders.hidden and not holders.listed else holders.listed
    return Mark(reading.read_at, reading.read_at, owners, reading.energy_joules)


def miss(mark: Mark, now: float) -> Outcome:
    """The device was not read at `now`: the time since the mark is unknown.

    Its energy is still to come: the driver's counter tells at the next reading.
    """
    unseen = max(0.0, now - mark.until)
    moved = Mark(max(mark.until, now), now, None, mark.energy_joules, mark.unseen + unseen)
    return Outcome(moved, unknown(Stretch(unseen, 0.0, 0.0)).device, {})


def observe(mark: Mark, reading: GpuReading, holders: Holders) -> Outcome:
    """Account for the time from the mark to the reading's newest utilisation sample."""
    now_mark = baseline(reading, holders)
    if reading.read_at - mark.seen_at > LONGEST_GAP:
        joules = _counter_step(mark, reading, reading.read_at - mark.until) or 0.0
        gap = unknown(Stretch(max(0.0, reading.read_at - mark.until), 0.0, joules))
        return Outcome(now_mark, gap.device, {})
    until = reading.pieces[-1].end if reading.pieces else mark.until
    if until <= mark.until:
        return _without_utilization(mark, reading, now_mark)
    whole = reduce(_join, _divide(mark, reading, holders, until))
    return Outcome(now_mark._replace(until=until), whole.device, whole.charges)


def _join(first: Division, second: Division) -> Division:
    charges = dict(first.charges)
    for owner, use in second.charges.items():
        charges[owner] = charges[owner].plus(use) if owner in charges else use
    return Division(first.device.plus(second.device), charges)


def _without_utilization(mark: Mark, reading: GpuReading, now_mark: Mark) -> Outcome:
    """The driver has no newer sample: wait for it, and where none comes at all, only `free` can be told."""
    if reading.read_at - mark.until <= _NO_UTILIZATION:
        return Outcome(mark._replace(seen_at=reading.read_at, owners=now_mark.owners), DeviceUse(), {})
    elapsed = reading.read_at - mark.until
    stretch = Stretch(elapsed, 0.0, _energy_since(mark, reading, elapsed))
    free = now_mark.owners is not None and not now_mark.owners
    division = split(stretch, (), {}) if free else unknown(stretch)
    return Outcome(now_mark, division.device, division.charges)


def _divide(mark: Mark, reading: GpuReading, holders: Holders, until: float) -> Sequence[Division]:
    shares, stray = _shares(reading, holders)
    now = holders.listed | shares.keys()
    before = mark.owners
    elapsed = until - mark.until
    joules = _energy_since(mark, reading, elapsed)
    seen_joules = joules * elapsed / (elapsed + mark.unseen) if mark.unseen else joules
    watts = seen_joules / elapsed
    divisions: list[Division] = []
    if mark.unseen:
        divisions.append(unknown(Stretch(0.0, 0.0, joules - seen_joules)))
    cut = min(max(mark.seen_at, mark.until), until) if before is not None and before != now else mark.until
    if cut > mark.until:
        stretch = Stretch(cut - mark.until, busy_seconds(reading.pieces, mark.until, cut), watts * (cut - mark.until))
        divisions.append(split(stretch, before or (), shares, stray))
    stretch = Stretch(until - cut, busy_seconds(reading.pieces, cut, until), watts * (until - cut))
    if stretch.elapsed > 0:
        hidden = holders.hidden and not now
        divisions.append(unknown(stretch) if hidden else split(stretch, now, shares, stray))
    return divisions


def _shares(reading: GpuReading, holders: Holders) -> tuple[dict[Owner, float], float]:
    """SM use by owner, and of processes that nobody knows."""
    shares: dict[Owner, float] = {}
    stray = 0.0
    for pid, use in reading.sm_use.items():
        owner = holders.by_pid.get(pid)
        if owner is None:
            stray += use
        else:
            shares[owner] = shares.get(owner, 0.0) + use
    return shares, stray


def _energy_since(mark: Mark, reading: GpuReading, elapsed: float) -> float:
    """Joules since the mark: the counter's step, or power over `elapsed` where there is no counter to trust."""
    step = _counter_step(mark, reading, elapsed)
    return step if step is not None else (reading.power_watts or 0.0) * (elapsed + mark.unseen)


def _counter_step(mark: Mark, reading: GpuReading, elapsed: float) -> float | None:
    """What the energy counter grew by; None where there is none, or it was reset or is broken."""
    if reading.energy_joules is None or mark.energy_joules is None:
        return None
    step = reading.energy_joules - mark.energy_joules
    return step if 0 <= step <= _HIGHEST_WATTS * (elapsed + mark.unseen + _NO_UTILIZATION) else None


def busy_seconds(pieces: Sequence[Piece], start: float, end: float) -> float:
    """Seconds busy between `start` and `end`. The first piece begins at or before `start`."""
    busy, left = 0.0, start
    for piece in pieces:
        right = min(piece.end, end)
        if right > left:
            busy += (right - left) * piece.ratio
            left = right
    return busy


def owners_of(pids: Collection[int], by_pid: Mapping[int, Owner]) -> Holders:
    """The holders of a device whose process list is `pids`."""
    listed = frozenset(by_pid[pid] for pid in pids if pid in by_pid)
    return Holders(by_pid, listed, hidden=any(pid not in by_pid for pid in pids))
