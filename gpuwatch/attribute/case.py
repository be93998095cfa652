"""The words of attribution: what is known of a process, and what a rule claims of the run that it belongs to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType
from typing import NamedTuple

from gpuwatch.model import Lineage, Process


class TrackedRun(NamedTuple):
    """A tracker's run whose file a process has open. All text is the user's own, and hostile."""

    tracker: str
    id: str
    evidence: str
    """The open file, for people."""
    entity: str = ""
    project: str = ""
    name: str = ""
    group: str = ""
    sweep: str = ""
    offline: bool = False
    """It has no page, as long as nobody uploads it."""


@dataclass(frozen=True, slots=True)
class Traces:
    """What a process shows of its run beside its lineage. All text is the user's own, and hostile."""

    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """At its exec; only of the names in `ALLOWED` of attribute/traces.py, and cut."""
    cgroup: str = ""
    """Its paths, one a line, as in /proc/PID/cgroup but without numbers and controllers."""
    tracked: tuple[TrackedRun, ...] = ()
    """In the order in which they were opened."""
    has_terminal: bool = False
    unread: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """What could not be read, and for want of what."""


class Registration(NamedTuple):
    """What a process said of itself to the agent. `run` is whole: `named:…` or `mlflow:…`."""

    run: str
    name: str = ""
    project: str = ""
    url: str = ""
    started_unix: float = 0.0


@dataclass(frozen=True, slots=True)
class Site:
    """What is the same for all processes of a node."""

    node: str
    slurm_cluster: str = ""
    kubernetes_cluster: str = ""
    wandb_url: str = "https://wandb.ai"


class Container(NamedTuple):
    """What the node's files say of a container or pod. Unknown parts are empty."""

    id: str
    name: str = ""
    namespace: str = ""
    pod: str = ""
    labels: Mapping[str, str] = MappingProxyType({})


class Sighting(NamedTuple):
    """A process as it was read."""

    lineage: Lineage
    traces: Traces = Traces()
    container: Container | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """All that the rules may know of a process."""

    lineage: Lineage
    root: Process
    """Its launch root."""
    root_started_unix: float
    user: str
    """The name of its uid."""
    site: Site
    traces: Traces = field(default_factory=Traces)
    registration: Registration | None = None
    container: Container | None = None


class Confidence(IntEnum):
    """How sure a rule is."""

    WEAK = 1
    """A habit of names, or of who launched it."""
    LIKELY = 2
    """Inherited or spread: it holds unless somebody did something odd."""
    CERTAIN = 3
    """The kernel or the launcher itself says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What one rule says of a process. Empty parts are not known to it."""

    rule: str
    evidence: str
    confidence: Confidence
    run: str = ""
    """`source:id`; empty where the rule knows no run, but something about it."""
    name: str = ""
    project: str = ""
    user: str = ""
    """A person, where this rule knows one better than the uid."""
    kind: str = ""
    """`batch`, `interactive` or `service`."""
    batch_job: str = ""
    """The scheduler's job, pod or container."""
    url: str = ""
    group: str = ""
    """Runs with the same one are one matter to their owner: an array, a sweep."""


Rule = Callable[[Case], Claim | None]
