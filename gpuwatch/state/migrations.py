"""The shape of the state file: named migrations, applied in order, each in a transaction of its own. Append only."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from gpuwatch.errors import StateError

_CHARGES = """
CREATE TABLE charge_{bin} (
    start INTEGER NOT NULL, device INTEGER NOT NULL, owner INTEGER NOT NULL,
    held REAL NOT NULL, busy REAL NOT NULL, joules REAL NOT NULL,
    PRIMARY KEY (start, device, owner)
) WITHOUT ROWID;
CREATE TABLE device_{bin} (
    start INTEGER NOT NULL, device INTEGER NOT NULL,
    busy REAL NOT NULL, joules REAL NOT NULL, unattributed_busy REAL NOT NULL, unattributed_joules REAL NOT NULL,
    active REAL NOT NULL, idle REAL NOT NULL, free REAL NOT NULL, unavailable REAL NOT NULL,
    PRIMARY KEY (start, device)
) WITHOUT ROWID;
"""

_FIRST = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE device (
    id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, gpu INTEGER NOT NULL, model TEXT NOT NULL, pci TEXT NOT NULL,
    first_unix REAL NOT NULL, used_unix REAL NOT NULL,
    busy REAL NOT NULL DEFAULT 0, joules REAL NOT NULL DEFAULT 0,
    unattributed_busy REAL NOT NULL DEFAULT 0, unattributed_joules REAL NOT NULL DEFAULT 0,
    active REAL NOT NULL DEFAULT 0, idle REAL NOT NULL DEFAULT 0, free REAL NOT NULL DEFAULT 0,
    unavailable REAL NOT NULL DEFAULT 0, unknown REAL NOT NULL DEFAULT 0,
    -- the totals at the start of the open minute: the minute's charge is the difference
    busy_mark REAL NOT NULL DEFAULT 0, joules_mark REAL NOT NULL DEFAULT 0,
    unattributed_busy_mark REAL NOT NULL DEFAULT 0, unattributed_joules_mark REAL NOT NULL DEFAULT 0,
    active_mark REAL NOT NULL DEFAULT 0, idle_mark REAL NOT NULL DEFAULT 0, free_mark REAL NOT NULL DEFAULT 0,
    unavailable_mark REAL NOT NULL DEFAULT 0,
    -- up to where it is accounted, and when it was last looked at (CLOCK_BOOTTIME)
    until REAL, seen_at REAL, energy REAL, unseen REAL NOT NULL DEFAULT 0
);
CREATE TABLE owner (
    id INTEGER PRIMARY KEY, user TEXT NOT NULL, project TEXT NOT NULL, run TEXT NOT NULL,
    source TEXT NOT NULL DEFAULT '', kind TEXT NOT NULL DEFAULT '', name TEXT NOT NULL DEFAULT '',
    batch_job TEXT NOT NULL DEFAULT '', url TEXT NOT NULL DEFAULT '', started_unix REAL,
    root_pid INTEGER NOT NULL DEFAULT 0, root_ticks INTEGER NOT NULL DEFAULT 0,
    cpu_seconds REAL NOT NULL DEFAULT 0,
    UNIQUE (user, project, run)
);
CREATE TABLE run_total (
    id INTEGER PRIMARY KEY, device INTEGER NOT NULL, owner INTEGER NOT NULL,
    held REAL NOT NULL, busy REAL NOT NULL, joules REAL NOT NULL,
    held_mark REAL NOT NULL DEFAULT 0, busy_mark REAL NOT NULL DEFAULT 0, joules_mark REAL NOT NULL DEFAULT 0,
    memory_peak INTEGER NOT NULL DEFAULT 0, used_unix REAL NOT NULL,
    UNIQUE (owner, device)
);
CREATE TABLE person (
    id INTEGER PRIMARY KEY, user TEXT NOT NULL, project TEXT NOT NULL,
    held REAL NOT NULL, busy REAL NOT NULL, joules REAL NOT NULL,
    used_unix REAL NOT NULL, zero_until_unix REAL NOT NULL,
    UNIQUE (user, project)
);
""" + "".join(_CHARGES.format(bin=name) for name in ("minute", "hour", "day"))

_REST_OF_THE_CARD = """
ALTER TABLE device ADD COLUMN mig INTEGER;
ALTER TABLE device ADD COLUMN capacity REAL NOT NULL DEFAULT 1;
CREATE TABLE device_count (
    device INTEGER NOT NULL, what TEXT NOT NULL, which TEXT NOT NULL,
    total REAL NOT NULL, driver_total REAL NOT NULL,
    PRIMARY KEY (device, what, which)
) WITHOUT ROWID;
ALTER TABLE run_total ADD COLUMN sm_active REAL NOT NULL DEFAULT 0;
ALTER TABLE run_total ADD COLUMN sm_active_mark REAL NOT NULL DEFAULT 0;
""" + "".join(
    f"ALTER TABLE charge_{name} ADD COLUMN sm_active REAL NOT NULL DEFAULT 0;\n" for name in ("minute", "hour", "day")
)

_CPU_OVER_TIME = """
ALTER TABLE device ADD COLUMN memory_bytes INTEGER;
ALTER TABLE owner ADD COLUMN cpu_seconds_mark REAL NOT NULL DEFAULT 0;
UPDATE owner SET cpu_seconds_mark = cpu_seconds;  -- what was used so far is of no minute
-- the few that have grown, among all owners that there ever were
CREATE INDEX owner_grown ON owner (id) WHERE cpu_seconds <> cpu_seconds_mark;
""" + "".join(
    f"CREATE TABLE cpu_{name} (start INTEGER NOT NULL, owner INTEGER NOT NULL, cpu_seconds REAL NOT NULL,"
    " PRIMARY KEY (start, owner)) WITHOUT ROWID;\n"
    for name in ("minute", "hour", "day")
)

_GROUPS = """
ALTER TABLE owner ADD COLUMN group_name TEXT NOT NULL DEFAULT '';
"""

MIGRATIONS: tuple[tuple[str, str], ...] = (
    ("0001-totals-and-charges", _FIRST),
    ("0002-rest-of-the-card", _REST_OF_THE_CARD),
    ("0003-cpu-over-time", _CPU_OVER_TIME),
    ("0004-groups", _GROUPS),
)


def migrate(
    connection: sqlite3.Connection, *, unix: float, migrations: Sequence[tuple[str, str]] | None = None
) -> list[str]:
    """Bring the file to this version's shape, that of the state without other `migrations`; the names of those applied.

    Raises StateError where a newer gpuwatch has changed the file in ways unknown here.
    """
    known = MIGRATIONS if migrations is None else migrations
    connection.execute("CREATE TABLE IF NOT EXISTS migration (name TEXT PRIMARY KEY, applied_unix REAL NOT NULL)")
    applied = {row[0] for row in connection.execute("SELECT name FROM migration")}
    if strange := applied - {name for name, _ in known}:
        raise StateError(
            f"the state was written by a newer gpuwatch (it has {', '.join(sorted(strange))}): "
            "install that version again, or start with another --state-dir"
        )
    missing = [(name, script) for name, script in known if name not in applied]
    for name, script in missing:
        # executescript commits by itself unless the script holds the transaction.
        quoted = name.replace("'", "''")
        try:
            connection.executescript(
                f"BEGIN IMMEDIATE;\n{script}\nINSERT INTO migration VALUES ('{quoted}', {unix!r});\nCOMMIT;"
            )
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_ERROR":  # the disk's doing, not the script's
                raise
            raise StateError(f"the state cannot be brought to this version's shape ({name}): {error}") from error
    return [name for name, _ in missing]
