"""The state file: opened by one agent, written once a cycle, read at start. Nothing else writes it.

Running totals and the minute's charges change in one transaction, on disk (`synchronous=FULL`) before anything is
published: no published total can be lower after a crash of the agent or of the machine.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from gpuwatch.errors import DiskRefused
from gpuwatch.model import Changes, GpuInfo, OnDevice, Owner, RunTotal
from gpuwatch.state import bins
from gpuwatch.state.file import FILE_NAME, keep_apart, lock_directory, open_file, set_aside
from gpuwatch.state.recent import Recent
from gpuwatch.state.saved import TAKEN_OUT, Saved, SavedRuns, read_counts, read_devices, read_people, read_runs
from gpuwatch.state.week import Week, read_week
from gpuwatch.units import DAY, HOUR, MINUTE

RECALL_SECONDS = 40 * DAY
"""A run that comes back within this time goes on from its old totals."""


class Store:
    """The open state file. Simulated totals are kept apart from real ones, and not worth waiting for the disk.

    Raises DiskRefused, from any method, where the disk does not take or give the data, and StateError at opening where
    the directory cannot be used.
    """

    def __init__(self, directory: Path, *, unix: float, simulated: bool = False) -> None:
        self.directory = directory
        self._durable = not simulated
        self.set_aside: Path | None = None
        """Where a damaged file was put."""
        self._lock = lock_directory(directory)
        try:
            keep_apart(directory, simulated=simulated)
            self._db = self._open(directory / FILE_NAME, unix)
            self._devices: dict[str, int] = dict(self._db.execute("SELECT uuid, id FROM device"))
            self._minute = int(self._meta("minute") or 0)
        except BaseException:
            self._lock.close()
            raise
        self._owners: dict[Owner, int] = {}
        self._totals: dict[OnDevice, int] = {}
        self._tidied = 0

    def _open(self, path: Path, unix: float) -> sqlite3.Connection:
        with _told(f"cannot open the state file {path}"):
            try:
                return open_file(path, unix=unix, durable=self._durable)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:
                self.set_aside = set_aside(path, unix=unix)
                return open_file(path, unix=unix, durable=self._durable)

    def close(self) -> None:
        """Close the file and let another agent have the directory."""
        self._db.close()
        self._lock.close()

    # Reading, at start

    def load(self, *, unix: float, boot_id: str, boot_unix: float, run_seconds: float) -> Saved:
        """Everything that is shown at once: devices, the roll-up, and the runs used in the last `run_seconds`."""
        with _told("cannot read the state file"):
            return self._load(unix - run_seconds, boot_id, boot_unix)

    def _load(self, since_unix: float, boot_id: str, boot_unix: float) -> Saved:
        same_boot = self._meta("boot_id") == boot_id
        if same_boot:
            boot_unix = float(self._meta("boot_unix") or boot_unix)
        with self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO meta VALUES ('boot_id', ?), ('boot_unix', ?)", (boot_id, boot_unix)
            )
            if not same_boot:  # or an agent that ends before its first commit leaves marks that look like this boot's
                self._db.execute("UPDATE device SET until = NULL")
        runs = self._load_runs("t.used_unix >= ?", (since_unix,))
        return Saved(
            devices=read_devices(self._db, same_boot=same_boot),
            counts=read_counts(self._db),
            runs=runs.totals,
            people=read_people(self._db),
            cpu_seconds=runs.cpu_seconds,
            details=runs.details,
            boot_unix=boot_unix,
        )

    def recall(self, owner: Owner, *, unix: float) -> tuple[dict[str, RunTotal], float]:
        """A run's saved totals by device, and its CPU seconds; empty where it is new or too long ago."""
        where = "o.user = ? AND o.project = ? AND o.run = ? AND t.used_unix >= ?"
        with _told("cannot read the state file"):
            runs = self._load_runs(where, (*owner, unix - RECALL_SECONDS))
        return {uuid: total for (uuid, _), total in runs.totals.items()}, runs.cpu_seconds.get(owner, 0.0)

    def _load_runs(self, where: str, values: tuple[str | float, ...]) -> SavedRuns:
        runs = read_runs(self._db, where, values)
        self._totals.update(runs.total_ids)
        self._owners.update(runs.owner_ids)
        return runs

    @contextmanager
    def recent(self) -> Iterator[Recent]:
        """The end of the record, to be read before the first commit."""
        with _told("cannot read the state file"):
            yield Recent(self._db, self._minute)

    def read_week(self, *, unix: float) -> Week:
        """Sums of the last week, to be read before the first commit."""
        with _told("cannot read the state file"):
            return read_week(self._db, open_minute=self._minute, unix=unix)

    def _meta(self, key: str) -> str | None:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    # Writing, once a cycle

    def note_node(self, name: str) -> None:
        """Whose record this is: those who read it later may be elsewhere."""
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('node', ?)", (name,))

    def commit(self, changes: Changes, infos: Mapping[str, GpuInfo], *, unix: float) -> None:
        """Save the changes; at the first commit of a minute, the last one's charges with them. All or nothing."""
        minute = int(unix // MINUTE)
        with self._transaction():
            if minute != self._minute:
                bins.close_minute(self._db, self._minute * MINUTE)
                self._db.execute("INSERT OR REPLACE INTO meta VALUES ('minute', ?)", (minute,))
            self._write_owners(changes)
            self._write_devices(changes, infos, unix)
            self._write_counts(changes)
            self._write_runs(changes)
            self._write_people(changes)
        self._minute = minute

    def tidy(self, *, unix: float) -> None:
        """Roll old charges up and drop totals that no run can come back to; once an hour does work."""
        hour = int(unix // HOUR)
        if hour == self._tidied:
            return
        with self._transaction():
            bins.roll_up(self._db, unix=unix)
            self._db.execute("DELETE FROM run_total WHERE used_unix < ?", (unix - RECALL_SECONDS,))
        self._totals.clear()
        self._owners.clear()
        self._tidied = hour

    def _write_owners(self, changes: Changes) -> None:
        if changes.details:
            self._db.executemany(
                "UPDATE owner SET source=?, kind=?, name=?, batch_job=?, url=?, group_name=?, started_unix=?,"
                " root_pid=?, root_ticks=? WHERE id=?",
                [
                    (r.source, r.kind, r.name, r.batch_job, r.url, r.group, r.started_unix, *r.root, self._id(owner))
                    for owner, r in changes.details.items()
                ],
            )
        if changes.cpu_seconds:
            self._db.executemany(
                # A total below its mark has begun anew, like that of a run that comes back after more than 40 days.
                "UPDATE owner SET cpu_seconds=?1, cpu_seconds_mark=iif(?1 < cpu_seconds_mark, 0, cpu_seconds_mark)"
                " WHERE id=?2",
                [(seconds, self._id(owner)) for owner, seconds in changes.cpu_seconds.items()],
            )

    def _write_devices(self, changes: Changes, infos: Mapping[str, GpuInfo], unix: float) -> None:
        rows = []
        for uuid, use in changes.devices.items():
            info, mark = infos[uuid], changes.marks.get(uuid)
            if uuid not in self._devices:
                cursor = self._db.execute(
                    "INSERT INTO device (uuid, gpu, model, pci, mig, capacity, first_unix, used_unix)"
                    " VALUES (?,?,?,?,?,?,?,?)",
                    (uuid, info.index, info.model, info.pci, info.mig, info.capacity, unix, unix),
                )
                self._devices[uuid] = cursor.lastrowid or 0
            about = (info.index, info.model, info.pci, info.mig, info.capacity, info.memory_bytes)
            seen = mark is not None and not mark.unseen
            rows.append((*about, seen, unix, *use[:4], *use.states, *(mark or TAKEN_OUT), self._devices[uuid]))
        self._db.executemany(
            "UPDATE device SET gpu=?, model=?, pci=?, mig=?, capacity=?, memory_bytes=?,"
            " used_unix=iif(?, ?, used_unix),"
            " busy=?, joules=?, unattributed_busy=?, unattributed_joules=?,"
            " active=?, idle=?, free=?, unavailable=?, unknown=?, until=?, seen_at=?, energy=?, unseen=?"
            " WHERE id=?",
            rows,
        )

    def _write_counts(self, changes: Changes) -> None:
        if changes.counts:
            self._db.executemany(
                "INSERT OR REPLACE INTO device_count (device, what, which, total, driver_total) VALUES (?,?,?,?,?)",
                [
                    (self._devices[uuid], *key, *count)
                    for uuid, counts in changes.counts.items()
                    for key, count in counts.items()
                ],
            )

    def _write_runs(self, changes: Changes) -> None:
        rows = []
        for key, (use, peak, used_unix, sm_active) in changes.runs.items():
            row_id = self._totals.get(key)
            if row_id is None:
                row_id = self._totals[key] = self._id_of_total(key)
            rows.append((*use, peak, used_unix, sm_active, row_id))
        self._db.executemany(
            "UPDATE run_total SET held=?, busy=?, joules=?, memory_peak=?, used_unix=?, sm_active=? WHERE id=?", rows
        )

    def _write_people(self, changes: Changes) -> None:
        self._db.executemany(
            "INSERT INTO person (user, project, held, busy, joules, used_unix, zero_until_unix) VALUES (?,?,?,?,?,?,?)"
            " ON CONFLICT (user, project) DO UPDATE SET"
            " held=excluded.held, busy=excluded.busy, joules=excluded.joules, used_unix=excluded.used_unix,"
            " zero_until_unix=excluded.zero_until_unix",
            [(*person, *total.use, total.used_unix, total.zero_until_unix) for person, total in changes.people.items()],
        )

    def _id(self, owner: Owner) -> int:
        if owner not in self._owners:
            self._owners[owner] = self._id_of_owner(owner)
        return self._owners[owner]

    def _id_of_owner(self, owner: Owner) -> int:
        self._db.execute("INSERT INTO owner (user, project, run) VALUES (?,?,?) ON CONFLICT DO NOTHING", owner)
        row = self._db.execute("SELECT id FROM owner WHERE user=? AND project=? AND run=?", owner).fetchone()
        return int(row[0])

    def _id_of_total(self, key: OnDevice) -> int:
        ids = (self._devices[key[0]], self._id(key[1]))
        self._db.execute(
            "INSERT INTO run_total (device, owner, held, busy, joules, used_unix) VALUES (?,?,0,0,0,0)"
            " ON CONFLICT DO NOTHING",
            ids,
        )
        row = self._db.execute("SELECT id FROM run_total WHERE device=? AND owner=?", ids).fetchone()
        return int(row[0])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with _told("cannot write the state file"):
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield
                self._db.execute("COMMIT")
            except BaseException:
                self._forget_ids()
                with suppress(sqlite3.Error):  # a full disk may have rolled it back already
                    self._db.execute("ROLLBACK")
                raise

    def _forget_ids(self) -> None:
        """Ids given out in a transaction that did not happen are void."""
        self._owners.clear()
        self._totals.clear()
        self._devices.clear()
        with suppress(sqlite3.Error):
            self._devices.update(self._db.execute("SELECT uuid, id FROM device"))


@contextmanager
def _told(what: str) -> Iterator[None]:
    """SQLite's errors as ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise DiskRefused(f"{what}: {error}") from error
