"""The SQL behind the figures of a report. Pure text: `:start` and `:end` bound the window, `:node` names the node.

Charges are first summed by device and owner, which are many times fewer, and only then joined with what these are.
"""

from __future__ import annotations

from collections.abc import Sequence

from gpuwatch.model.history import Filters
from gpuwatch.state.bins import BIN_SECONDS, CHARGES, DEVICES, Table
from gpuwatch.state.saved import MISSED_SECONDS
from gpuwatch.units import MINUTE

ALIVE_SECONDS = MINUTE
"""An agent is alive whose newest reading is no older: that reading stands for now."""
NO_SINGLE_RUN = "'short', 'overflow'"
"""What many runs are charged to together."""
DEVICE_NAME = "device.gpu || ifnull(':' || device.mig, '')"
SM_TOLD = "device.id IN (SELECT device FROM run_total WHERE sm_active > 0)"
"""Lately a device has told the activity of its SMs: if there is none of a run, the run had none."""
_KEYS = {
    "user": "owner.user",
    "project": "owner.project",
    "run": "owner.run",
    "kind": "owner.kind",
    "node": ":node",
    "model": "device.model",
    "gpu": f":node || '/' || {DEVICE_NAME}",
}
_OF_WHOLE_GPUS = "total(charge.held * device.capacity) AS held,\n  total(charge.busy * device.capacity) AS busy"


def bins_in(table: Table) -> list[str]:
    """For each kind of bin, the oldest first, and for the minute that is open, its rows in the window."""
    columns = ", ".join(table.columns)
    closed = [
        f"SELECT start, {seconds} AS seconds, {table.key}, {columns}"
        f" FROM {table.name}_{name} WHERE start >= :start AND start < :end"
        for name, seconds in BIN_SECONDS.items()
    ]
    growth = ", ".join(f"{grown} AS {column}" for grown, column in zip(table.growth, table.columns, strict=True))
    return [
        *closed,
        f"SELECT value * {MINUTE} AS start, {MINUTE} AS seconds, {_source(table)}, {growth}"
        f" FROM meta CROSS JOIN {table.totals}"
        f" WHERE key = 'minute' AND value * {MINUTE} >= :start AND value * {MINUTE} < :end AND ({table.grown})",
    ]


def rows_in(table: Table) -> str:
    """All of these as one."""
    return "\n  UNION ALL ".join(bins_in(table))


def usage(by: Sequence[str], where: Filters) -> str:
    """What owners had, divided by `by`: held, busy, joules, SM-active and the number of runs."""
    return (
        f"SELECT {_listed(by)}{_OF_WHOLE_GPUS},\n  total(charge.joules),"
        f" iif(total(charge.sm_active) > 0 OR max({SM_TOLD}), total(charge.sm_active * device.capacity), NULL),\n"
        f"  count(DISTINCT iif(owner.run IN ({NO_SINGLE_RUN}), NULL, owner.id))\n"
        f"{_charges_with_owners(where)}{_grouped(by)}"
    )


def worst_runs(by: Sequence[str], where: Filters) -> str:
    """Of each division the run with the most idle time: its owner, held, busy, link and idle.

    SQLite takes the other columns from the row in which it finds the max().
    """
    names = [f"key{number}" for number in range(len(by))]
    keys = "".join(f"{_KEYS[key]} AS {name}, " for key, name in zip(by, names, strict=True))
    grouping = ", ".join([*names, "owner.id"])
    return (
        f"SELECT {''.join(f'{name}, ' for name in names)}user, project, run, held, busy, url, max(held - busy)\n"
        f"FROM (SELECT {keys}user, project, run, url,\n  {_OF_WHOLE_GPUS}\n"
        f"{_charges_with_owners(where)} AND owner.run NOT IN ({NO_SINGLE_RUN})\nGROUP BY {grouping})\n"
        f"WHERE held > busy GROUP BY {', '.join(names) or 'NULL'}"
    )


def fleet(by: Sequence[str], where: Filters) -> str:
    """What became of the devices' time, divided by `by`: the five states, joules and unattributed busy time.

    Unknown is what nothing is recorded of, from the first reading of a device to `:now`, or for one that was taken out
    or is missed for too long, to its last reading.
    """
    states = ("active", "idle", "free", "unavailable")
    sums = ", ".join(f"sum({column}) AS {column}" for column in DEVICES.columns)
    known = " - ".join(f"ifnull(recorded.{state}, 0)" for state in states)
    recorded = ", ".join(f"total(recorded.{state} * capacity)" for state in states)
    return (
        f"WITH recorded AS (SELECT device, {sums} FROM (\n  {rows_in(DEVICES)})\n  GROUP BY device),\n"
        f"moment AS (SELECT iif(:now - max(used_unix) <= {ALIVE_SECONDS}, max(used_unix), :now) AS now FROM device),\n"
        "life AS (SELECT id, first_unix AS began,"
        f" iif(seen_at IS NULL OR now - used_unix > {MISSED_SECONDS}, used_unix, now) AS ended FROM device, moment)\n"
        f"SELECT {_listed(by)}{recorded},\n"
        f"  total(max(0, max(0, min(:end, ended) - max(:start, began)) - {known}) * capacity),\n"
        "  total(recorded.joules), total(recorded.unattributed_busy * capacity)\n"
        "FROM device JOIN life USING (id) LEFT JOIN recorded ON recorded.device = device.id\n"
        f"WHERE (recorded.device IS NOT NULL OR min(:end, ended) > max(:start, began)){_conditions(where)}"
        f"{_grouped(by)}"
    )


def last_bins() -> str:
    """The newest bin of each kind that begins before `:end`: its start and its length."""
    return "\nUNION ALL ".join(
        [
            *(
                f"SELECT max(start), {seconds} FROM device_{name} WHERE start < :end"
                for name, seconds in BIN_SECONDS.items()
            ),
            f"SELECT max(start), max(seconds) FROM ({bins_in(DEVICES)[-1]})",
        ]
    )


def values_of(where: Filters) -> dict[str, str]:
    """What stands for the names in a filter's conditions."""
    return {f"{key}_{number}": value for key, values in where.items() for number, value in enumerate(values)}


def _source(table: Table) -> str:
    """The key's columns in the table of totals, called as they are in the bins."""
    return table.source if table.source == table.key else f"{table.source} AS {table.key}"


def _charges_with_owners(where: Filters) -> str:
    sums = ", ".join(f"sum({column}) AS {column}" for column in CHARGES.columns)
    totals = "\n  UNION ALL ".join(
        f"SELECT device, owner, {sums} FROM ({bins}) GROUP BY owner, device" for bins in bins_in(CHARGES)
    )
    return (
        f"FROM (\n  {totals}) AS charge\n"
        "JOIN device ON device.id = charge.device JOIN owner ON owner.id = charge.owner\n"
        f"WHERE true{_conditions(where)}"
    )


def _conditions(where: Filters) -> str:
    return "".join(
        f" AND {_KEYS[key]} IN ({', '.join(f':{key}_{number}' for number in range(len(values)))})"
        for key, values in where.items()
    )


def _listed(by: Sequence[str]) -> str:
    return "".join(f"{_KEYS[key]}, " for key in by)


def _grouped(by: Sequence[str]) -> str:
    """By the first columns, which are the keys. With no key it is all in one row."""
    return f"\nGROUP BY {', '.join(str(place + 1) for place in range(len(by)))}" if by else ""
