"""What the state file knows, as records: read at start, and for a run that comes back. Reads only."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import NamedTuple

from gpuwatch.model import (
    Count,
    CountKey,
    DeviceUse,
    GpuInfo,
    Identity,
    Mark,
    OnDevice,
    Owner,
    Person,
    RollUp,
    Run,
    RunTotal,
    States,
    Use,
)
from gpuwatch.units import DAY

TAKEN_OUT = (None, None, None, 0.0)
"""What stands for the mark of a device that was taken out: it was never looked at again."""
MISSED_SECONDS = 7 * DAY
"""For how long a GPU that was here and is not any more counts as unknown rather than as taken out."""


class SavedDevice(NamedTuple):
    """A device as it was last saved. `mark` is None where it holds no longer than the boot that it was made in."""

    info: GpuInfo
    use: DeviceUse
    mark: Mark | None
    used_unix: float
    taken_out: bool = False
    """No time passes for it any more."""


class Saved(NamedTuple):
    """What the state file knew at start."""

    devices: Mapping[str, SavedDevice]
    counts: Mapping[str, Mapping[CountKey, Count]]
    runs: Mapping[OnDevice, RunTotal]
    people: Mapping[Person, RollUp]
    cpu_seconds: Mapping[Owner, float]
    details: Mapping[Owner, Run]
    boot_unix: float
    """When this boot was, as first written down: the kernel's own figure moves with the clock, run names must not."""


class SavedRuns(NamedTuple):
    """Runs as they were last saved, and their rows in the file."""

    totals: dict[OnDevice, RunTotal]
    details: dict[Owner, Run]
    cpu_seconds: dict[Owner, float]
    total_ids: dict[OnDevice, int]
    owner_ids: dict[Owner, int]


def read_devices(connection: sqlite3.Connection, *, same_boot: bool) -> dict[str, SavedDevice]:
    """All devices by uuid. Marks hold no longer than the boot that they were made in."""
    devices = {}
    for row in connection.execute(
        "SELECT uuid, gpu, model, pci, mig, capacity, NULL, memory_bytes, used_unix,"
        " busy, joules, unattributed_busy, unattributed_joules,"
        " active, idle, free, unavailable, unknown, until, seen_at, energy, unseen FROM device"
    ):
        info, used_unix, mark = GpuInfo(*row[:8]), row[8], row[18:]
        use = DeviceUse(*row[9:13])._replace(states=States(*row[13:18]))
        known = same_boot and mark[0] is not None
        devices[info.uuid] = SavedDevice(info, use, Mark(*mark) if known else None, used_unix, mark[1] is None)
    return devices


def read_counts(connection: sqlite3.Connection) -> dict[str, dict[CountKey, Count]]:
    """All counts by device."""
    found: dict[str, dict[CountKey, Count]] = {}
    for uuid, what, which, total, driver_total in connection.execute(
        "SELECT d.uuid, c.what, c.which, c.total, c.driver_total FROM device_count c JOIN device d ON d.id = c.device"
    ):
        found.setdefault(uuid, {})[CountKey(what, which)] = Count(total, driver_total)
    return found


def read_people(connection: sqlite3.Connection) -> dict[Person, RollUp]:
    """The whole roll-up."""
    rows = connection.execute("SELECT user, project, held, busy, joules, used_unix, zero_until_unix FROM person")
    return {
        (user, project): RollUp(Use(held, busy, joules), used_unix, zero_until_unix)
        for user, project, held, busy, joules, used_unix, zero_until_unix in rows
    }


def read_runs(connection: sqlite3.Connection, where: str, values: tuple[str | float, ...]) -> SavedRuns:
    """The runs for which a condition on `o` (the owner) and `t` (its total on a device) holds."""
    runs = SavedRuns({}, {}, {}, {}, {})
    for row in connection.execute(
        "SELECT d.uuid, t.id, t.held, t.busy, t.joules, t.memory_peak, t.used_unix, t.sm_active,"
        " o.id, o.user, o.project, o.run, o.cpu_seconds, o.started_unix, o.root_pid, o.root_ticks,"
        " o.source, o.name, o.kind, o.batch_job, o.url, o.group_name"
        " FROM run_total t JOIN owner o ON o.id = t.owner JOIN device d ON d.id = t.device"
        f" WHERE {where}",
        values,
    ):
        uuid, total_id, held, busy, joules, *total = row[:8]
        owner_id, user, project, run, cpu_seconds, started, root_pid, root_ticks, *about = row[8:]
        owner = Owner(user, project, run)
        runs.totals[uuid, owner] = RunTotal(Use(held, busy, joules), *total)
        runs.total_ids[uuid, owner] = total_id
        runs.owner_ids[owner] = owner_id
        runs.cpu_seconds[owner] = cpu_seconds
        if started is not None:
            runs.details[owner] = Run(owner, Identity(root_pid, root_ticks), started, *about)
    return runs
