"""What is thought of a run's use of a GPU, and what is told of it. Judged in the agent, and nowhere again.

Times are seconds of UTC, device time is in seconds of that device.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from types import MappingProxyType
from typing import Final, NamedTuple

from gpuwatch.model.identity import OnDevice, Owner

OK: Final = "ok"
IDLE: Final = "idle"
UNDERUSED: Final = "underused"
STUCK: Final = "stuck"
KEPT_WARM: Final = "kept_warm"
RESERVED: Final = "reserved"
SNOOZED: Final = "snoozed"
VERDICTS: Final = (OK, IDLE, UNDERUSED, STUCK, KEPT_WARM, RESERVED, SNOOZED)


class Judgement(NamedTuple):
    """Of one run on one device, at one moment."""

    verdict: str
    since_unix: float
    """Since when it is so: for idle, the end of the last minute in which it was active."""
    idle_seconds: float
    """The idle clock: seen time since the last minute at or over the limit. Time not seen is no proof of idleness."""
    wasted_seconds: float
    """For how long what the verdict says has gone on, as far as it was seen; 0 of what is ok."""
    mean_use: float | None
    """Busy over held of the time that is judged; None where nothing was seen of it."""
    mean_watts: float | None
    """Of the device in that time; None where it does not tell."""
    coverage: float
    """The part of that time that was seen."""
    reason: str
    """In words, with the figures it rests on."""


class Judged(NamedTuple):
    """What judging the runs of a node came to, and what it went by that others ask for too."""

    judgements: Mapping[OnDevice, Judgement] = MappingProxyType({})
    """Of all that hold a device, but of what is no single run."""
    cpu_cores: Mapping[Owner, float] = MappingProxyType({})
    """Mean of their process trees over the last minutes, of those that tell."""
    quiet: Set[Owner] = frozenset()
    """Those of whose idleness the operator wants nobody told now."""
    push_after: Mapping[Owner, float] = MappingProxyType({})
    """For how long they may be idle before anybody is told, in seconds; of those that the operator has a word on."""


class Held(NamedTuple):
    """A device that a run holds now."""

    gpu: str
    """`3`, or `3:1` of a MIG instance."""
    uuid: str
    model: str
    capacity: float
    memory_bytes: int | None
    """Held by the run."""
    judgement: Judgement


class RunNow(NamedTuple):
    """A run on one node at one moment, as alerts see it. All text is its user's own, and hostile."""

    node: str
    owner: Owner
    kind: str
    """`service`, `interactive`, `batch`, or empty."""
    name: str
    url: str
    batch_job: str
    group: str
    """Of the array or sweep that it is one of; empty where it is of none."""
    started_unix: float
    held_gpu_seconds: float
    """In all on this node so far, of whole GPUs."""
    busy_gpu_seconds: float
    cpu_cores: float | None
    """Mean of its process trees over the last minutes."""
    devices: tuple[Held, ...]
    quiet: bool = False
    """The operator wants nobody told of its idleness now."""
    push_after_seconds: float | None = None
    """The operator's word on how long it may be idle before its owner is told; None for the usual time."""


class Snooze(NamedTuple):
    """Somebody says that a run's idleness is meant."""

    run: str
    until_unix: float
    reason: str
    by: str
    """The person."""


Snoozes = Mapping[tuple[str, str], Snooze]
"""By person and run: two may call theirs the same, and neither speaks for the other."""
NO_SNOOZES: Final[Snoozes] = MappingProxyType({})
