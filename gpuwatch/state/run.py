"""One run in the record: found by what people call it, and read with all of its bins."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter

from gpuwatch.model.history import Bin, RunOnDevice, RunRecord
from gpuwatch.model.identity import Identity, Owner, Run
from gpuwatch.state.bins import CHARGES, CPU
from gpuwatch.state.charges import DEVICE_NAME, NO_SINGLE_RUN, SM_TOLD, rows_in
from gpuwatch.state.readonly import Reader, Row

_EVER = {"start": 0, "end": 1 << 53}
_NAMED = {
    "by name": "run = :text",
    "by name without the source": "substr(run, instr(run, ':') + 1) = :text",
    "by batch job": "batch_job = :text",
    "by what people call it": "name = :text",
}
"""What somebody may mean, the most exact first."""


def find_runs(reader: Reader, text: str) -> list[Owner]:
    """The runs that somebody may mean, the newest first. By no text nobody means any."""
    for how, condition in _NAMED.items() if text else ():
        rows = reader.ask(
            f"a run {how}",
            f"SELECT user, project, run FROM owner WHERE {condition} AND run NOT IN ({NO_SINGLE_RUN})"
            " ORDER BY started_unix DESC, id DESC",
            {"text": text},
        )
        if rows:
            return [Owner(*row) for row in rows]
    return []


def read_run(reader: Reader, owner: Owner) -> RunRecord | None:
    """All that there is of a run."""
    rows = reader.ask(
        "the run",
        "SELECT id, started_unix, root_pid, root_ticks, source, name, kind, batch_job, url, group_name FROM owner"
        " WHERE user = :user AND project = :project AND run = :run",
        owner._asdict(),
    )
    if not rows:
        return None
    number, started_unix, pid, ticks, *about = rows[0]
    run = None if started_unix is None else Run(owner, Identity(pid, ticks), started_unix, *about)
    values = {**_EVER, "owner": number}
    cpu = reader.ask(
        "its CPU seconds",
        f"SELECT start, seconds, cpu_seconds FROM (\n  {rows_in(CPU)}) WHERE owner = :owner ORDER BY start",
        values,
    )
    return RunRecord(owner, run, _read_devices(reader, values), tuple((row[0], row[1], row[2]) for row in cpu))


def _read_devices(reader: Reader, values: dict[str, int]) -> tuple[RunOnDevice, ...]:
    bins = reader.ask(
        "its charges",
        "SELECT device, start, seconds, held, busy, joules, sm_active"
        f" FROM (\n  {rows_in(CHARGES)}) WHERE owner = :owner ORDER BY device, start",
        values,
    )
    by_device = {device: [Bin(*row[1:]) for row in rows] for device, rows in groupby(bins, itemgetter(0))}
    devices = reader.ask(
        "its devices",
        f"SELECT device.id, {DEVICE_NAME}, uuid, model, capacity, memory_bytes,"
        f" nullif(run_total.memory_peak, 0), {SM_TOLD}"
        " FROM device LEFT JOIN run_total ON run_total.device = device.id AND run_total.owner = :owner"
        " ORDER BY device.gpu, device.mig, device.id",
        values,
    )
    return tuple(_on_device(reader.node, row[1:], by_device[row[0]]) for row in devices if row[0] in by_device)


def _on_device(node: str, about: Row, bins: list[Bin]) -> RunOnDevice:
    *known, sm_told = about
    return RunOnDevice._make((node, *known, bool(sm_told) or any(one.sm_active for one in bins), tuple(bins)))
