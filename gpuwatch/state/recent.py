"""The newest of the record, for a judgement that goes on after a restart: read piece by piece, and not kept.

Reads only. Bins hold charges, so a run that was on a device in a minute has a row of it, and one that was not has none.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from gpuwatch.model import DeviceUse, OnDevice, Owner, RunTotal, States, Use
from gpuwatch.state.idleness import IdleBefore, read_idle
from gpuwatch.units import MINUTE

_LAST_SECONDS: Final = MINUTE
"""Who was charged so shortly before a device was last seen was on it then."""
_SEEN: Final = "(active + idle + free + unavailable)"


class Minute(NamedTuple):
    """What happened in a minute, or running totals at its beginning."""

    runs: Mapping[OnDevice, RunTotal]
    devices: Mapping[str, DeviceUse]
    """Without what was not seen: no bin tells of that."""
    cpu_seconds: Mapping[Owner, float]


class Recent:
    """The end of the record. Only the runs that were on a device then are of interest, short ones apart."""

    def __init__(self, connection: sqlite3.Connection, minute: int) -> None:
        """`minute` is the open one (unix time by 60)."""
        self._db = connection
        self.minute = minute
        self._devices: dict[int, str] = dict(connection.execute("SELECT id, uuid FROM device"))
        self._owners: dict[int, Owner] = {}
        self._on: dict[OnDevice, tuple[int, int]] = {}
        for device, number, *owner in connection.execute(
            "SELECT t.device, o.id, o.user, o.project, o.run"
            " FROM run_total t JOIN device d ON d.id = t.device JOIN owner o ON o.id = t.owner"
            f" WHERE t.used_unix >= d.used_unix - {_LAST_SECONDS} AND o.started_unix IS NOT NULL"
        ):
            found = self._owners.setdefault(number, Owner(*owner))
            self._on[self._devices[device], found] = (device, number)
        self._cpu_seconds = {
            self._owners[number]: seconds
            for number, seconds in connection.execute("SELECT id, cpu_seconds_mark FROM owner WHERE cpu_seconds > 0")
            if number in self._owners
        }

    @property
    def on_device(self) -> frozenset[OnDevice]:
        """The runs that were on a device when the record ended."""
        return frozenset(self._on)

    def opened(self) -> Minute:
        """The running totals as they were at the beginning of the open minute."""
        runs = self._db.execute(
            "SELECT device, owner, held_mark, busy_mark, joules_mark, sm_active_mark FROM run_total"
        )
        devices = self._db.execute(
            "SELECT id, busy_mark, joules_mark, active_mark, idle_mark, free_mark, unavailable_mark FROM device"
        )
        return Minute(self._runs(runs), self._uses(devices), self._cpu_seconds)

    def minutes(self, since: int) -> Iterator[tuple[int, Minute]]:
        """The closed minutes from `since` (unix time by 60) on that the record has, one after another."""
        rows = self._db.execute(
            "SELECT DISTINCT start FROM device_minute WHERE start >= ? AND start < ? ORDER BY start",
            (since * MINUTE, self.minute * MINUTE),
        )
        for (start,) in rows.fetchall():
            yield start // MINUTE, self._closed(start)

    def idle_before(self, minute: int, idle_below: Callable[[Owner], float]) -> dict[OnDevice, IdleBefore]:
        """For how long runs had been idle when a minute began; without those that had not.

        `idle_below` gives the activity (busy by held) of a minute from which on a run is not.
        """
        limits = {ids: idle_below(owner) for (_, owner), ids in self._on.items()}
        idle = read_idle(self._db, limits, minute * MINUTE)
        return {key: idle[ids] for key, ids in self._on.items() if ids in idle}

    def idle_watts(self, *, used_below: float) -> dict[str, float]:
        """The lowest mean power of a minute in which a device's use was under the limit, by uuid."""
        rows = self._db.execute(
            f"SELECT device, min(joules / {_SEEN}) FROM device_minute"
            f" WHERE joules > 0 AND {_SEEN} >= {MINUTE / 2} AND busy < ? * {_SEEN} GROUP BY device",
            (used_below,),
        )
        return {self._devices[device]: watts for device, watts in rows}

    def _closed(self, start: int) -> Minute:
        runs = self._db.execute(
            "SELECT device, owner, held, busy, joules, sm_active FROM charge_minute WHERE start = ?", (start,)
        )
        devices = self._db.execute(
            "SELECT device, busy, joules, active, idle, free, unavailable FROM device_minute WHERE start = ?", (start,)
        )
        cpu = self._db.execute("SELECT owner, cpu_seconds FROM cpu_minute WHERE start = ?", (start,))
        grown = {self._owners[owner]: seconds for owner, seconds in cpu if owner in self._owners}
        return Minute(self._runs(runs), self._uses(devices), dict.fromkeys(self._cpu_seconds, 0.0) | grown)

    def _runs(self, rows: sqlite3.Cursor) -> dict[OnDevice, RunTotal]:
        return {
            (self._devices[device], self._owners[owner]): RunTotal(Use(held, busy, joules), sm_active=sm_active)
            for device, owner, held, busy, joules, sm_active in rows
            if owner in self._owners
        }

    def _uses(self, rows: sqlite3.Cursor) -> dict[str, DeviceUse]:
        return {
            self._devices[device]: DeviceUse(busy, joules, states=States(*states))
            for device, busy, joules, *states in rows
        }
