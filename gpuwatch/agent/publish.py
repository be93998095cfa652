"""Putting together what is published: the ledger's totals and the readings of now, as one immutable snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gpuwatch import __version__
from gpuwatch.account.ledger import Ledger
from gpuwatch.model import (
    DeviceView,
    Drain,
    GpuInfo,
    GpuReading,
    HostReading,
    Meters,
    OnDevice,
    Owner,
    SensorState,
    Snapshot,
)
from gpuwatch.model.judgement import Judged


@dataclass(frozen=True, slots=True)
class Now:
    """What one cycle saw."""

    readings: Mapping[str, GpuReading]
    infos: Mapping[str, GpuInfo]
    problems: Mapping[str, str]
    meters: Mapping[str, Meters]
    drains: Mapping[str, Drain]
    """By uuid, of the devices that an operator took out of service."""
    memory: Mapping[OnDevice, int | None]
    """Device memory in bytes of every owner on every device that it is on; None where the driver won't say."""
    strangers: Mapping[str, int | None]
    """By uuid, the processes of which nothing could be read; None where the driver lists no processes."""
    tree_memory: Mapping[Owner, int]
    host: HostReading | None
    sensors: Mapping[str, SensorState]
    versions: tuple[str, str]
    persisted: bool
    simulated: bool
    strangers_reason: str
    teams: Mapping[str, str]
    """By person."""
    judged: Judged


def snapshot_of(node: str, interval: float, ledger: Ledger, now: Now, *, unix: float) -> Snapshot:
    """The snapshot at `unix`. Most are never rendered, so it copies references and computes nothing."""
    driver, nvml = now.versions
    return Snapshot(
        node=node,
        simulated=now.simulated,
        version=__version__,
        driver=driver,
        nvml=nvml,
        taken_unix=unix,
        interval=interval,
        persisted=now.persisted,
        devices=tuple(_devices(ledger, now)),
        totals=dict(ledger.runs),
        holding=now.memory,
        runs=dict(ledger.details),
        cpu_seconds=dict(ledger.cpu_seconds),
        memory_bytes=now.tree_memory,
        people=ledger.people_shown(unix),
        host=now.host,
        sensors=now.sensors,
        strangers_reason=now.strangers_reason,
        teams=now.teams,
        judged=now.judged,
    )


def _devices(ledger: Ledger, now: Now) -> Iterable[DeviceView]:
    for uuid in sorted(ledger.marks, key=lambda uuid: now.infos[uuid].place):
        use, meters = ledger.devices[uuid], now.meters.get(uuid, Meters())
        yield DeviceView(
            info=now.infos[uuid],
            use=use,
            reading=now.readings.get(uuid),
            strangers=now.strangers.get(uuid, 0),
            problem=now.problems.get(uuid, ""),
            energy_known=meters.energy or use.joules > 0,
            busy_known=meters.busy or use.busy > 0,
            activity_known=meters.activity,
            counts=ledger.counts.get(uuid, {}),
            drain=now.drains.get(uuid),
        )
