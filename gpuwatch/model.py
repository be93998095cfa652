"""The words that the stages share: frozen records, no behaviour beyond what a record says of itself.

Times called `*_at`, `since`, `until` or `end` are seconds of CLOCK_BOOTTIME; times called `*_unix` are seconds of UTC.
Ratios run from 0 to 1. `None` is "not supported or not known", never zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple


class Owner(NamedTuple):
    """Who a stretch of device time is charged to."""

    user: str
    project: str
    run: str


OnDevice = tuple[str, Owner]
"""(device uuid, owner)"""
Person = tuple[str, str]
"""(user, project)"""


class Identity(NamedTuple):
    """One process for as long as this boot lasts: a pid alone is used again."""

    pid: int
    start_ticks: int


@dataclass(frozen=True, slots=True)
class Process:
    """What the kernel says of one process at first sight. All text is the user's own, and hostile."""

    identity: Identity
    parent: int
    uid: int
    name: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lineage:
    """A process and its ancestors, nearest first, as far up as could be read."""

    members: tuple[Process, ...]

    @property
    def process(self) -> Process:
        """The process itself."""
        return self.members[0]


@dataclass(frozen=True, slots=True)
class Run:
    """A run as attribution knows it. Unknown parts are empty."""

    owner: Owner
    root: Identity
    started_unix: float
    source: str
    name: str = ""
    kind: str = ""
    batch_job: str = ""
    url: str = ""


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


class Use(NamedTuple):
    """Device time and energy of an owner: seconds held, seconds busy, joules. Running totals or increments."""

    held: float = 0.0
    busy: float = 0.0
    joules: float = 0.0

    def plus(self, more: Use) -> Use:
        """The sum of both."""
        return Use(self.held + more.held, self.busy + more.busy, self.joules + more.joules)


class States(NamedTuple):
    """Seconds of a device by state: they sum to the elapsed time."""

    active: float = 0.0
    idle: float = 0.0
    free: float = 0.0
    unavailable: float = 0.0
    unknown: float = 0.0

    def plus(self, more: States) -> States:
        """The sum of both."""
        return States(
            self.active + more.active,
            self.idle + more.idle,
            self.free + more.free,
            self.unavailable + more.unavailable,
            self.unknown + more.unknown,
        )


class DeviceUse(NamedTuple):
    """What a device did in all: running totals or increments, in seconds and joules."""

    busy: float = 0.0
    joules: float = 0.0
    unattributed_busy: float = 0.0
    unattributed_joules: float = 0.0
    states: States = States()

    def plus(self, more: DeviceUse) -> DeviceUse:
        """The sum of both."""
        return DeviceUse(
            self.busy + more.busy,
            self.joules + more.joules,
            self.unattributed_busy + more.unattributed_busy,
            self.unattributed_joules + more.unattributed_joules,
            self.states.plus(more.states),
        )


class Meters(NamedTuple):
    """Which of its totals a device can measure."""

    energy: bool = False
    busy: bool = False
    activity: bool = False


class Mark(NamedTuple):
    """Up to where a device is accounted, and when it was last looked at."""

    until: float
    """Everything before this is charged."""
    seen_at: float
    """The last look; the utilisation of the moments before it may still be outstanding."""
    energy_joules: float | None
    """The driver's running total then."""
    unseen: float = 0.0
    """Seconds not seen since `energy_joules` was read."""


class RollUp(NamedTuple):
    """The record for people: a user and project's use of this node in all, and when it last grew."""

    use: Use
    used_unix: float
    zero_until_unix: float = 0.0
    """It is new, and shows 0 until then; 0 once it shows its use, whatever the wall clock does after."""


class RunTotal(NamedTuple):
    """A run on one device in all: its use, the most memory it had there in bytes, and when it was last there."""

    use: Use = Use()
    memory_peak_bytes: int = 0
    used_unix: float = 0.0
    sm_active: float = 0.0
    """Seconds of all of the device's streaming multiprocessors."""


class Count(NamedTuple):
    """A count of a device in all, and the driver's own total that it stands for."""

    total: float
    driver_total: float


class Changes(NamedTuple):
    """Running totals that are not saved yet, as they are now."""

    devices: Mapping[str, DeviceUse]
    marks: Mapping[str, Mark]
    """By uuid; a device without one was taken out."""
    counts: Mapping[str, Mapping[CountKey, Count]]
    """By uuid."""
    runs: Mapping[OnDevice, RunTotal]
    people: Mapping[Person, RollUp]
    cpu_seconds: Mapping[Owner, float]
    details: Mapping[Owner, Run]


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
