"""What is published: all that was true at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gpuwatch.model.identity import OnDevice, Owner, Person, Run
from gpuwatch.model.reading import CountKey, Drain, GpuInfo, GpuReading, HostReading
from gpuwatch.model.totals import Count, DeviceUse, RunTotal, Use


@dataclass(frozen=True, slots=True)
class SensorState:
    """How a sensor fared when it last ran."""

    up: bool
    duration_seconds: float
    success_unix: float
    problem: str = ""


@dataclass(frozen=True, slots=True)
class DeviceView:
    """A device as published. `reading` is None while it does not answer; `problem` says why."""

    info: GpuInfo
    use: DeviceUse
    reading: GpuReading | None
    strangers: int | None = 0
    """Processes that hold it and of which nothing could be read; None where the driver has no list of processes."""
    problem: str = ""
    energy_known: bool = True
    busy_known: bool = True
    activity_known: bool = False
    counts: Mapping[CountKey, Count] = field(default_factory=dict)
    drain: Drain | None = None
    """An operator took it out of service."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that was true at one moment: what is published, and all that a scrape reads."""

    node: str
    version: str
    driver: str
    nvml: str
    taken_unix: float
    interval: float
    persisted: bool
    devices: tuple[DeviceView, ...]
    totals: Mapping[OnDevice, RunTotal]
    """Runs that have a series now: they hold the device, or did within the last ten minutes."""
    holding: Mapping[OnDevice, int | None]
    """Device memory in bytes of those that hold it; None where the driver won't say."""
    runs: Mapping[Owner, Run]
    """What is known of them; nothing of what is no single run: the `short` and `overflow` of a user."""
    cpu_seconds: Mapping[Owner, float]
    """Of their process trees."""
    memory_bytes: Mapping[Owner, int]
    """Resident memory of the trees that live."""
    people: Mapping[Person, Use]
    """The roll-up."""
    host: HostReading | None
    sensors: Mapping[str, SensorState] = field(default_factory=dict)
    strangers_reason: str = ""
    """Why there are processes of which nothing can be read, and what mends it; empty where that is not known."""
    simulated: bool = False
    """Nothing of it is real: whatever shows it says so."""
    teams: Mapping[str, str] = field(default_factory=dict)
    """By person."""
