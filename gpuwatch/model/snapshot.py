"""What is published: all that was true at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gpuwatch.model.course import Course
from gpuwatch.model.identity import OnDevice, Owner, Person, Run
from gpuwatch.model.judgement import OK, Judged, Judgement
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
    judged: Judged = field(default_factory=Judged)
    """As of the last full minute: some of these runs may have ended since."""
    due: Mapping[Owner, str] = field(default_factory=dict)
    """Runs whose owner is to be told now, with the verdict that it is for."""
    notices: Mapping[str, int] | None = None
    """How many by outcome; None where nobody is ever told."""
    notices_problem: str = ""
    """Why nobody can be told now; empty where all is well."""
    course: Course = field(default_factory=Course)
    """The last hour and week, up to the last full minute."""

    @property
    def judgements(self) -> Mapping[OnDevice, Judgement]:
        """What is thought of each run on the devices that it holds, or held when they were last read.

        One that was just seen is ok.
        """
        unread = {device.info.uuid for device in self.devices if device.reading is None}
        new = Judgement(OK, self.taken_unix, 0.0, 0.0, None, None, 0.0, "not seen for a minute yet")
        return {
            **{key: new for key in self.holding if key[1] in self.runs},
            **{
                key: judgement
                for key, judgement in self.judged.judgements.items()
                if key in self.holding or key[0] in unread
            },
        }
