"""Putting together what is published: the ledger's totals and the readings of now, as one immutable snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass

from gpuwatch import __version__
from gpuwatch.account.ledger import Ledger
from gpuwatch.agent.attribution import Attributed
from gpuwatch.model import (
    DeviceView,
    GpuInfo,
    GpuReading,
    HostReading,
    OnDevice,
    Owner,
    RunOnGpu,
    RunView,
    SensorState,
    Snapshot,
)


@dataclass(frozen=True, slots=True)
class Now:
    """What one cycle saw."""

    readings: Mapping[str, GpuReading]
    infos: Mapping[str, GpuInfo]
    problems: Mapping[str, str]
    meters_energy: Set[str]
    attributed: Attributed
    memory: Mapping[OnDevice, int | None]
    """Device memory in bytes of every owner on every device that it is on; None where the driver won't say."""
    tree_memory: Mapping[Owner, int]
    host: HostReading | None
    sensors: Mapping[str, SensorState]
    versions: tuple[str, str]
    persisted: bool


def snapshot_of(node: str, interval: float, ledger: Ledger, now: Now, *, unix: float) -> Snapshot:
    """The snapshot at `unix`."""
    driver, nvml = now.versions
    on_gpu = _on_gpu(ledger, now)
    return Snapshot(
        node=node,
        version=__version__,
        driver=driver,
        nvml=nvml,
        taken_unix=unix,
        interval=interval,
        persisted=now.persisted,
        devices=tuple(_devices(ledger, now)),
        on_gpu=on_gpu,
        runs=_runs(ledger, now, {owner for _, owner in on_gpu}),
        people=ledger.people_shown(unix),
        host=now.host,
        sensors=now.sensors,
    )


def _devices(ledger: Ledger, now: Now) -> Iterable[DeviceView]:
    for uuid in sorted(ledger.marks, key=lambda uuid: now.infos[uuid].index):
        yield DeviceView(
            info=now.infos[uuid],
            use=ledger.devices[uuid],
            reading=now.readings.get(uuid),
            problem=now.problems.get(uuid, ""),
            energy_known=uuid in now.meters_energy or ledger.devices[uuid].joules > 0,
        )


def _on_gpu(ledger: Ledger, now: Now) -> dict[OnDevice, RunOnGpu]:
    return {
        key: RunOnGpu(total.use, key in now.memory, now.memory.get(key), total.memory_peak_bytes)
        for key, total in ledger.runs.items()
    }


def _runs(ledger: Ledger, now: Now, shown: Set[Owner]) -> dict[Owner, RunView]:
    alive = now.attributed.runs
    return {
        owner: RunView(
            run=ledger.details.get(owner),
            alive=owner in alive,
            cpu_seconds=ledger.cpu_seconds.get(owner, 0.0),
            memory_bytes=now.tree_memory.get(owner) if owner in alive else None,
        )
        for owner in shown
    }
