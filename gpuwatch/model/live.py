"""GPUs and who holds them at one moment, as terminals show it: of one node, or of a fleet.

All text is other people's, and hostile. Times are seconds of UTC, device time is in seconds of that device. The agent
never imports this.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from gpuwatch.model.identity import Owner

HELD: Final = "held"
FREE: Final = "free"
UNAVAILABLE: Final = "unavailable"
UNKNOWN: Final = "unknown"
STATES: Final = (HELD, FREE, UNAVAILABLE, UNKNOWN)


class Holder(NamedTuple):
    """A run that holds a device."""

    owner: Owner
    name: str = ""
    held_seconds: float | None = None
    busy_seconds: float | None = None
    memory_bytes: float | None = None
    verdict: str = ""
    """Empty where it is not judged: there is no agent, or it is no single run."""
    idle_seconds: float | None = None
    """The idle clock."""
    wasted_seconds: float | None = None
    """For how long what the verdict says has gone on."""
    reason: str = ""
    """Of the verdict, in words."""


class Device(NamedTuple):
    """A GPU, or a MIG instance of one."""

    gpu: str
    """`3`, or `3:1` of a MIG instance."""
    uuid: str
    model: str
    state: str
    """One of STATES. Free is only what is known to be so."""
    note: str = ""
    """In words, what is to be said of it beside its holders."""
    capacity: float | None = None
    utilization_ratio: float | None = None
    memory_used_bytes: float | None = None
    memory_total_bytes: float | None = None
    power_watts: float | None = None
    temperature_celsius: float | None = None
    holders: tuple[Holder, ...] = ()

    @property
    def is_instance(self) -> bool:
        """Whether it is a MIG instance, and no whole GPU."""
        return ":" in self.gpu


class Node(NamedTuple):
    """A node's devices."""

    name: str
    taken_unix: float | None
    """When they were read; None where that is not known."""
    devices: tuple[Device, ...]
    agent: bool = True
    """Somebody watches them all the time: their holders have a history."""
    simulated: bool = False
    problem: str = ""
    """Why nothing is known of its devices."""
    hint: str = ""
    """What is to be said of it beside its devices."""
