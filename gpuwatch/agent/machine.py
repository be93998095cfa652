"""The sense boundary: all that a cycle asks of a machine. Behind it is this node, or a simulated one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Set
from typing import NamedTuple, Protocol

from gpuwatch.agent.fleet import Fleet
from gpuwatch.agent.maintenance import Drains, MaintenanceFile
from gpuwatch.agent.processes import LiveProcesses
from gpuwatch.agent.registry import Registry
from gpuwatch.agent.scheduler import Scheduling, find_scheduler
from gpuwatch.agent.settings import Settings
from gpuwatch.agent.snoozes import SnoozeRegistry
from gpuwatch.attribute.case import Registration, Sighting, Site
from gpuwatch.attribute.expectation import Whose
from gpuwatch.model import GpuInfo, GpuReading, HostReading, Identity, Lineage, Owner, TreeReading
from gpuwatch.model.judgement import NO_SNOOZES, Snooze, Snoozes
from gpuwatch.sense.clocks import SYSTEM_CLOCK, Clock
from gpuwatch.sense.host import read_host

PATIENCE_SECONDS = 1.0
"""What a call to the driver may take before its GPU is given up for this cycle."""


class Gpus(Protocol):
    """The GPUs of a node. `agent/fleet.py` says what each part means."""

    @property
    def mismatched(self) -> bool:
        """Only a fresh process can talk to the driver."""
        ...

    @property
    def versions(self) -> tuple[str, str]:
        """Of the driver and of NVML."""
        ...

    @property
    def infos(self) -> Mapping[str, GpuInfo]:
        """The GPUs by uuid."""
        ...

    def problem_of(self, gpu: GpuInfo) -> str:
        """Why it was not read."""
        ...

    def read(self, since: Mapping[str, float], *, now: float) -> dict[str, GpuReading]:
        """The readings of all GPUs that answer."""
        ...

    def glance(self, uuids: Iterable[str]) -> None:
        """Have these GPUs note the use of their processes."""
        ...

    def close(self) -> None:
        """Let go of the driver."""
        ...


class Processes(Protocol):
    """The processes of a node. `agent/processes.py` says what each part means."""

    @property
    def strangers_reason(self) -> str:
        """Why some of them cannot be seen."""
        ...

    def look(self, pids: Iterable[int], now: float) -> Mapping[int, Sighting]:
        """Those of `pids` that have been seen alive, as they are at `now` (boot time)."""
        ...

    def user_of(self, uid: int) -> str:
        """The name of the user of a process that was looked at."""
        ...

    def read_tree(self, roots: Iterable[Identity], others: Set[int]) -> TreeReading | None:
        """CPU and memory of the trees below `roots`."""
        ...

    def close(self) -> None:
        """Let go of the processes."""
        ...


class Registrations(Protocol):
    """What processes said of themselves. `agent/registry.py` says what each part means."""

    @property
    def version(self) -> int:
        """Another one whenever anything has changed."""
        ...

    def of(self, lineage: Lineage) -> Registration | None:
        """What the process, or the nearest of its ancestors that did, said."""
        ...


class _NoRegistrations:
    """Nobody can speak to this machine's agent."""

    version = 0

    def of(self, lineage: Lineage) -> Registration | None:
        """Nothing."""
        return None


NO_REGISTRATIONS: Registrations = _NoRegistrations()


class Scheduler(Protocol):
    """What the node's scheduler says of it. `agent/scheduler.py` says what each part means."""

    def read(self, *, now: float, unix: float, reserving: bool) -> Scheduling:
        """What is known now, at once."""
        ...

    def close(self) -> None:
        """Ask no more."""
        ...


class Machine(NamedTuple):
    """A node's GPUs and processes, how the host is read, and what operators say of it."""

    gpus: Gpus
    processes: Processes
    read_host: Callable[[], HostReading]
    registry: Registry | None = None
    """What processes say of themselves, where they can."""
    simulated: bool = False
    """Nothing of it is real, and nothing that is shown of it may look as if it were."""
    read_maintenance: Callable[[], Drains] = dict
    scheduler: Scheduler | None = None
    snoozes: SnoozeRegistry | None = None
    """What people say of their runs' idleness, where they can."""

    @property
    def registrations(self) -> Registrations:
        """What processes have said of themselves."""
        return NO_REGISTRATIONS if self.registry is None else self.registry

    def read_snoozes(self, owners: Collection[Owner], expected: Mapping[Whose, Snooze]) -> Snoozes:
        """Of these runs, by name; `expected` is what their environments say. The same object until that has changed."""
        return NO_SNOOZES if self.snoozes is None else self.snoozes.of(owners, expected)

    def close(self) -> None:
        """Let go of all of it."""
        self.processes.close()
        self.gpus.close()
        if self.scheduler is not None:
            self.scheduler.close()


def this_machine(clock: Clock = SYSTEM_CLOCK) -> Machine:
    """The node that this process runs on. Nothing is opened yet."""
    return Machine(Fleet(patience=PATIENCE_SECONDS, clock=clock), LiveProcesses(), read_host)


def operated_machine(settings: Settings) -> Machine:
    """The same, with what its operator and its scheduler say."""
    return this_machine()._replace(
        registry=Registry(),
        read_maintenance=MaintenanceFile(settings.state_directory).read,
        scheduler=find_scheduler(settings.slurm_node),
        snoozes=SnoozeRegistry(),
    )


def site_of(settings: Settings) -> Site:
    """What the rules are told of this node."""
    return Site(
        node=settings.node, slurm_cluster=settings.slurm_cluster, kubernetes_cluster=settings.kubernetes_cluster
    )
