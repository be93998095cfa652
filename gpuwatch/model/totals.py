"""What it added up to: running totals and increments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gpuwatch.model.identity import OnDevice, Owner, Person, Run
from gpuwatch.model.reading import CountKey


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
