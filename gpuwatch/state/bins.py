"""Charges over time: minutes, moved into hours after two weeks and into days after thirteen months.

They are moved, not copied: every charge is in exactly one of the three, and a sum over all three is a sum over time.
"""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from gpuwatch.units import DAY, HOUR, MINUTE

MINUTES_KEPT_SECONDS = 14 * DAY
HOURS_KEPT_SECONDS = 400 * DAY
_DEVICE_COLUMNS = (
    "busy", "joules", "unattributed_busy", "unattributed_joules", "active", "idle", "free", "unavailable",
)  # fmt: skip
BIN_SECONDS = {"day": DAY, "hour": HOUR, "minute": MINUTE}
"""The kinds of bins, from the oldest to the newest."""


class Table(NamedTuple):
    """A table of charges by bin, the table of running totals behind it, and what tells its rows apart."""

    name: str
    totals: str
    key: str
    """The columns of the bins' key beside `start`."""
    source: str
    """The same columns in the table of totals."""
    columns: tuple[str, ...]

    @property
    def growth(self) -> tuple[str, ...]:
        """What the columns of the totals have grown by since their marks: the charges of the minute that is open."""
        return tuple(f"{column} - {column}_mark" for column in self.columns)

    @property
    def grown(self) -> str:
        """The condition for a total that has."""
        return " OR ".join(f"{column} <> {column}_mark" for column in self.columns)


CHARGES = Table("charge", "run_total", "device, owner", "device, owner", ("held", "busy", "joules", "sm_active"))
DEVICES = Table("device", "device", "device", "id", _DEVICE_COLUMNS)
CPU = Table("cpu", "owner", "owner", "id", ("cpu_seconds",))
_TABLES = (CHARGES, DEVICES, CPU)


def close_minute(connection: sqlite3.Connection, start_unix: int) -> None:
    """Write what the totals grew by since their marks as the charges of the minute that began at `start_unix`."""
    for table in _TABLES:
        connection.execute(
            f"INSERT INTO {table.name}_minute (start, {table.key}, {', '.join(table.columns)})"
            f" SELECT {start_unix}, {table.source}, {', '.join(table.growth)}"
            f" FROM {table.totals} WHERE {table.grown}"
            f" {_on_conflict(table)}"
        )
        marks = ", ".join(f"{column}_mark = {column}" for column in table.columns)
        connection.execute(f"UPDATE {table.totals} SET {marks} WHERE {table.grown}")


def roll_up(connection: sqlite3.Connection, *, unix: float) -> None:
    """Move minutes that are old enough into hours, and such hours into days (of UTC)."""
    for table in _TABLES:
        _move(connection, table, ("minute", "hour"), HOUR, unix - MINUTES_KEPT_SECONDS)
        _move(connection, table, ("hour", "day"), DAY, unix - HOURS_KEPT_SECONDS)


def _move(
    connection: sqlite3.Connection, table: Table, bins: tuple[str, str], seconds: int, before_unix: float
) -> None:
    fine, coarse = (f"{table.name}_{name}" for name in bins)
    edge = int(before_unix // seconds) * seconds
    start = f"start / {seconds} * {seconds}"
    sums = ", ".join(f"sum({column})" for column in table.columns)
    connection.execute(
        f"INSERT INTO {coarse} (start, {table.key}, {', '.join(table.columns)})"
        f" SELECT {start}, {table.key}, {sums} FROM {fine} WHERE start < {edge} GROUP BY {start}, {table.key}"
        f" {_on_conflict(table)}"
    )
    connection.execute(f"DELETE FROM {fine} WHERE start < {edge}")


def _on_conflict(table: Table) -> str:
    sums = ", ".join(f"{column} = {column} + excluded.{column}" for column in table.columns)
    return f"ON CONFLICT DO UPDATE SET {sums}"
