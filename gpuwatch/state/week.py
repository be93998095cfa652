"""The last week of the record, for a page that goes on after a restart. Reads only, and by sums: little is kept."""

from __future__ import annotations

import sqlite3
from typing import Final, NamedTuple

from gpuwatch.units import DAY, HOUR, MINUTE

_HOUR: Final = f"start / {HOUR} * {HOUR}"
_STATES: Final = ("active", "idle", "free", "unavailable")
_GROWN: Final = ", ".join(f"{state} - {state}_mark AS {state}" for state in _STATES)
_DEVICES: Final = f"""
SELECT start, device, {", ".join(_STATES)} FROM device_minute WHERE start >= :since
UNION ALL SELECT :open, id, {_GROWN} FROM device
"""
_CHARGES: Final = """
SELECT start, device, owner, held, busy FROM charge_minute WHERE start >= :since
UNION ALL SELECT :open, device, owner, held - held_mark, busy - busy_mark FROM run_total WHERE held <> held_mark
"""


class Week(NamedTuple):
    """Sums of the record, with the minute that was open when it ended. `start` is in seconds of UTC."""

    minutes: list[tuple[str, int, float, float]]
    """Of the last hour: uuid, start, and seconds busy and seen."""
    hours: list[tuple[int, float, float, float, float]]
    """Of the last week: start, and GPU-seconds active, idle, free and unavailable."""
    people: list[tuple[str, int, float, float]]
    """Of the last week: user, start of an hour, and GPU-seconds held and busy."""


def read_week(connection: sqlite3.Connection, *, open_minute: int, unix: float) -> Week:
    """The week before `unix`; `open_minute` (unix time by 60) is the one that is not closed."""
    when = {"since": (unix // HOUR + 1) * HOUR - 7 * DAY, "until": unix, "open": open_minute * MINUTE}
    minutes = connection.execute(
        f"SELECT uuid, start, m.busy, {' + '.join(f'm.{state}' for state in _STATES)}"
        " FROM device_minute m JOIN device d ON d.id = m.device"
        f" WHERE start > :until - {HOUR + MINUTE} AND start < :until",
        when,
    )
    hours = connection.execute(
        f"SELECT {_HOUR}, {', '.join(f'sum(d.capacity * m.{state})' for state in _STATES)}"
        f" FROM ({_DEVICES}) m JOIN device d ON d.id = m.device WHERE start BETWEEN :since AND :until GROUP BY 1",
        when,
    )
    people = connection.execute(
        f"SELECT o.user, {_HOUR}, sum(d.capacity * m.held), sum(d.capacity * m.busy)"
        f" FROM ({_CHARGES}) m JOIN device d ON d.id = m.device JOIN owner o ON o.id = m.owner"
        " WHERE start BETWEEN :since AND :until GROUP BY 2, 1",
        when,
    )
    return Week(minutes.fetchall(), hours.fetchall(), people.fetchall())
