"""One device over time: from its mark and a new reading to what the time in between is charged to.

A device is accounted up to the driver's newest utilisation sample, not up to now: busy and elapsed are then of the same
time. The time since the mark belongs to the owners that the reading finds, and to those that were busy in it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from gpuwatch.account.split import Division, Stretch, split, unknown
from gpuwatch.model import DeviceUse, GpuReading, Mark, Owner, Piece, States, Use

LONGEST_GAP = 10.0
"""Seconds without any reading (agent down, machine stopped) that are still bridged; more is unknown."""
_NO_UTILIZATION = 2.0
"""Seconds without utilisation, for a card that has none to give, before its time is called unknown."""
_HIGHEST_WATTS = 5000.0
"""No card draws more: a larger reading, or step of the energy counter, is broken, or the counter was reset."""


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


def baseline(reading: GpuReading) -> Mark:
    """The mark at first sight: nothing before it is charged."""
    return Mark(reading.read_at, reading.read_at, reading.energy_joules)


def miss(mark: Mark, now: float, *, drained_at: float = math.inf) -> Outcome:
    """The device was not read at `now`: the time since the mark is unknown, or unavailable from `drained_at` on.

    Its energy is still to come: the driver's counter tells at the next reading.
    """
    unseen = max(0.0, now - mark.until)
    moved = Mark(max(mark.until, now), now, mark.energy_joules, mark.unseen + unseen)
    return Outcome(moved, _drain(unknown(Stretch(unseen, 0.0, 0.0)), mark.until, drained_at).device, {})


def observe(mark: Mark, reading: GpuReading, holders: Holders, *, drained_at: float = math.inf) -> Outcome:
    """Account for the time from the mark to the reading's newest utilisation sample.

    From `drained_at` on an operator has the device: time of which nobody is known to hold it is unavailable.
    """
    until = reading.pieces[-1].end if reading.pieces else mark.until
    now = baseline(reading)
    if reading.read_at - mark.seen_at > LONGEST_GAP:
        elapsed = max(0.0, reading.read_at - mark.until)
        division = unknown(Stretch(elapsed, 0.0, _counter_step(mark, reading, elapsed) or 0.0))
        division = _drain(division, mark.until, drained_at)
    elif until > mark.until:
        now = Mark(until, reading.read_at, reading.energy_joules)
        division = _divide(mark, reading, holders, until, drained_at)
    elif reading.read_at - mark.until <= _NO_UTILIZATION:
        return Outcome(mark._replace(seen_at=reading.read_at), DeviceUse(), {})  # the driver's next sample will tell
    else:
        division = _divide_blindly(mark, reading, holders, drained_at)
    return Outcome(now, division.device, division.charges)


def _drain(division: Division, start: float, drained_at: float) -> Division:
    """The stretch that began at `start`, with what is free or not seen of it from `drained_at` on as unavailable."""
    states = division.device.states
    nobodys = states.free + states.unknown
    drained = min(nobodys, max(0.0, start + sum(states) - drained_at))
    if not drained:
        return division
    left = 1 - drained / nobodys
    states = States(states.active, states.idle, states.free * left, states.unavailable + drained, states.unknown * left)
    return division._replace(device=division.device._replace(states=states))


def _divide(mark: Mark, reading: GpuReading, holders: Holders, until: float, drained_at: float) -> Division:
    shares, stray = _shares(reading, holders)
    owners = holders.listed | shares.keys()
    elapsed = until - mark.until
    seen, unseen = _energy_since(mark, reading, elapsed)
    stretch = Stretch(elapsed, busy_seconds(reading.pieces, mark.until, until), seen)
    if holders.hidden and not owners:
        division = unknown(stretch)
    else:
        division = _drain(split(stretch, owners, shares, stray), mark.until, drained_at)
    if unseen:
        energy = DeviceUse(joules=unseen, unattributed_joules=unseen)
        division = division._replace(device=division.device.plus(energy))
    return division


def _divide_blindly(mark: Mark, reading: GpuReading, holders: Holders, drained_at: float) -> Division:
    """A card that has no utilisation to give: of its time only `free` can be told."""
    elapsed = reading.read_at - mark.until
    stretch = Stretch(elapsed, 0.0, sum(_energy_since(mark, reading, elapsed)))
    if holders.hidden or holders.listed:
        return unknown(stretch)
    return _drain(split(stretch, (), {}), mark.until, drained_at)


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


def _energy_since(mark: Mark, reading: GpuReading, elapsed: float) -> tuple[float, float]:
    """Joules of the `elapsed` seconds since the mark, and of the time before it that was not seen.

    The counter's step, divided by time; where there is no counter to trust, power now over what was seen.
    """
    step = _counter_step(mark, reading, elapsed)
    if step is None:
        watts = reading.power_watts or 0.0
        return (watts if watts <= _HIGHEST_WATTS else 0.0) * elapsed, 0.0
    seen = step * (elapsed / (elapsed + mark.unseen))
    return seen, step - seen


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


def owners_of(pids: Collection[int] | None, by_pid: Mapping[int, Owner]) -> Holders:
    """The holders of a device whose process list is `pids`; None is a driver that has no such list."""
    if pids is None:
        return Holders(by_pid, frozenset(), hidden=True)
    known = [by_pid[pid] for pid in pids if pid in by_pid]
    return Holders(by_pid, frozenset(known), hidden=len(known) < len(pids))
