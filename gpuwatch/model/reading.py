"""What a machine says of itself: devices, their readings, and who may have them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class GpuInfo:
    """What does not change about a device while the driver is loaded: a GPU, or a MIG instance of one.

    `uuid` is identity. `index` is the GPU's, and `mig` the instance's number on it; `pci` is the GPU's place.
    """

    uuid: str
    index: int
    model: str
    pci: str
    mig: int | None = None
    capacity: float = 1.0
    """Its part of a whole GPU, by compute slices: a second of it is worth this many GPU-seconds."""
    minor: int | None = None
    """Its number in /dev/nvidiaN; None where the driver does not say."""
    memory_bytes: int | None = None
    """Its memory in all."""

    @property
    def name(self) -> str:
        """What people type: `3`, or `3:1` for a MIG instance."""
        return str(self.index) if self.mig is None else f"{self.index}:{self.mig}"

    @property
    def place(self) -> tuple[int, int]:
        """What devices are sorted by."""
        return self.index, -1 if self.mig is None else self.mig


class Drain(NamedTuple):
    """An operator took a device, or the node, out of service."""

    since_unix: float
    reason: str
    by: str


class Allocation(NamedTuple):
    """A scheduler's job that holds GPUs of this node. Account and name are its user's own text, and hostile."""

    job: str
    """The scheduler's number: `4711`, or `4711_3` for a task of an array."""
    array: str
    """Of the array that it is a task of; empty where it is of none."""
    uid: int
    user: str
    """The unix name, or `uid:N`."""
    account: str
    name: str
    started_unix: float


class CountKey(NamedTuple):
    """Which of a device's counts: `throttle` (seconds, by reason) or `ecc` (errors, by kind)."""

    what: str
    which: str


class Piece(NamedTuple):
    """Utilisation over a piece of time that ends at `end` and begins where the piece before it ended."""

    end: float
    ratio: float


class Activity(NamedTuple):
    """What the GPU's own counters (GPM) say of the time from `began` to `ended`, as ratios."""

    began: float
    ended: float
    graphics: float | None
    """Any kernel ran: what the driver calls utilisation, of a MIG instance too."""
    sm: float | None
    """Mean over all streaming multiprocessors of the time in which they had work."""
    tensor: float | None
    dram: float | None


class GpuCondition(NamedTuple):
    """What is only shown, and read every few seconds."""

    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    power_limit_watts: float | None = None
    temperature_celsius: float | None = None
    sm_clock_hertz: float | None = None
    activity: Activity | None = None
    """The newest; None where the GPU has no such counters."""
    counts: Mapping[CountKey, float] = MappingProxyType({})
    """The driver's own running totals, of which some start at 0 with the driver."""


@dataclass(frozen=True, slots=True)
class GpuReading:
    """One GPU at one moment, and its utilisation since the moment the reader asked from."""

    info: GpuInfo
    read_at: float
    pieces: tuple[Piece, ...]
    """Contiguous, ascending; empty where the driver has nothing newer yet."""
    sm_use: Mapping[int, float]
    """SM use by pid since the last reading, in any unit: only the shares count."""
    processes: Mapping[int, int | None] | None
    """Device memory in bytes by pid of every process that holds a context; None where the driver has no such list."""
    energy_joules: float | None
    """The driver's own running total."""
    power_watts: float | None
    condition: GpuCondition

    @property
    def utilization_ratio(self) -> float | None:
        """The newest piece's utilisation."""
        return self.pieces[-1].ratio if self.pieces else None


@dataclass(frozen=True, slots=True)
class HostReading:
    """CPU seconds by mode since boot, memory and load of this machine."""

    cpu_seconds: Mapping[str, float]
    memory_used_bytes: int
    memory_total_bytes: int
    load1: float


class TreeReading(NamedTuple):
    """A process tree: CPU seconds of all that live or were waited for, and resident memory in bytes."""

    cpu_seconds: float
    memory_bytes: int
