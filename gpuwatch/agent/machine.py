"""The sense boundary: all that a cycle asks of a machine. Behind it is this node, or a simulated one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from typing import NamedTuple, Protocol

from gpuwatch.agent.fleet import Fleet
from gpuwatch.agent.maintenance import Drains, MaintenanceFile
from gpuwatch.agent.processes import LiveProcesses
from gpuwatch.agent.settings import Settings
from gpuwatch.attribute.resolver import RULES, Rule
from gpuwatch.model import Drain, GpuInfo, GpuReading, HostReading, Identity, Lineage, TreeReading
from gpuwatch.sense.clocks import SYSTEM_CLOCK, Clock
from gpuwatch.sense.host import read_host
from gpuwatch.sense.slurm import find_slurm

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

    def look(self, pids: Iterable[int]) -> Mapping[int, Lineage]:
        """Lineages of those of `pids` that have been seen alive."""
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


class Scheduler(Protocol):
    """What the node's scheduler says of it. `sense/slurm.py` says what each part means."""

    def read(self, *, now: float, unix: float) -> Drain | None:
        """Whether an operator took the node out of service there."""
        ...

    def close(self) -> None:
        """Ask no more."""
        ...


class Machine(NamedTuple):
    """A node's GPUs and processes, how the host is read, and what operators say of it."""

    gpus: Gpus
    processes: Processes
    read_host: Callable[[], HostReading]
    rules: tuple[Rule, ...] = RULES
    """By which its processes are judged, the most specific first."""
    simulated: bool = False
    """Nothing of it is real, and nothing that is shown of it may look as if it were."""
    read_maintenance: Callable[[], Drains] = dict
    scheduler: Scheduler | None = None

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
        read_maintenance=MaintenanceFile(settings.state_directory).read, scheduler=find_slurm(settings.slurm_node)
    )
