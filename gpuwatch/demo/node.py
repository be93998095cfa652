"""The simulated node at the moment that was last read: which processes are there, and what the host does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from functools import lru_cache

from gpuwatch.attribute.case import Sighting, Traces, TrackedRun
from gpuwatch.demo.cast import CPU_CORES, GPUS, HOST_MEMORY_BYTES, MARK, PEOPLE
from gpuwatch.demo.events import serviced
from gpuwatch.demo.job import Job
from gpuwatch.demo.shape import Wave
from gpuwatch.model import Drain, HostReading, Identity, Lineage, Process, TreeReading
from gpuwatch.sense.process import TICKS_PER_SECOND
from gpuwatch.units import DAY, HOUR

_SHELL_AGE_SECONDS = 40 * 60.0
_FORK_SECONDS = 2.0
"""From the launch of a run to its workers."""
_UPTIME_SECONDS = 100 * DAY
_CPU_LOAD = Wave(mean=0.42, swing=0.13, period_seconds=DAY, highest_at=14 * HOUR)
"""Of all cores together."""
_CPU_MODES = {"user": 0.9, "system": 0.1}
_WAITED_SHARE = 0.002
"""Of the cores' time that is spent waiting for disks."""
_SYSTEM_BYTES = 24 << 30
_TREE_BYTES_PER_CORE = 3 << 30
"""Resident memory of a run, by the cores that it keeps busy: loaders and environments."""
_NAMES = {person.uid: person.name for person in PEOPLE}


class Node:
    """The processes of the script, by the boot clock of the machine that shows them."""

    strangers_reason = ""  # all of them can be seen

    def __init__(self, boot_unix: float) -> None:
        self.boot_unix = boot_unix
        self.unix = boot_unix
        """The moment that was last read."""
        self.on_gpus: Mapping[int, tuple[Job, int]] = {}
        """By pid: the run that a process on a GPU belongs to, and that GPU's index."""

    def look(self, pids: Iterable[int], now: float) -> Mapping[int, Sighting]:
        """Those of `pids` that are on a GPU, or were since the reading before. Nothing of them ever changes."""
        return {pid: _sighting(*self.on_gpus[pid], self.boot_unix) for pid in pids if pid in self.on_gpus}

    def user_of(self, uid: int) -> str:
        """The name of one of the people."""
        return _NAMES[uid]

    def read_tree(self, roots: Iterable[Identity], others: Set[int]) -> TreeReading | None:
        """CPU and memory of the run whose processes these are; None where it has ended."""
        pids = {identity.pid for identity in roots}
        for pid in pids & self.on_gpus.keys():
            job, _ = self.on_gpus[pid]
            seconds = max(0.0, min(self.unix, job.end) - job.launched)
            return TreeReading(job.cpu_cores * seconds, _resident_bytes(job))
        return None

    def read_host(self) -> HostReading:
        """The host; it is booted anew every hundred days."""
        up = self.unix % _UPTIME_SECONDS
        busy = CPU_CORES * _CPU_LOAD.busy(self.unix - up, self.unix)
        modes = {mode: busy * share for mode, share in _CPU_MODES.items()}
        waited = CPU_CORES * up * _WAITED_SHARE
        jobs = {job.pid: job for job, _ in self.on_gpus.values()}.values()
        return HostReading(
            cpu_seconds={**modes, "idle": CPU_CORES * up - busy - waited, "iowait": waited},
            memory_used_bytes=_SYSTEM_BYTES + sum(map(_resident_bytes, jobs)),
            memory_total_bytes=HOST_MEMORY_BYTES,
            load1=CPU_CORES * _CPU_LOAD.busy(self.unix - 60, self.unix) / 60,
        )

    def read_maintenance(self) -> Mapping[str, Drain]:
        """What is out of service, by uuid."""
        found = serviced(self.unix)
        return {} if found is None else {GPUS[found[0]].uuid: Drain(found[1], "a new fan (simulated)", MARK)}

    def close(self) -> None:
        """Nothing is held."""


def _resident_bytes(job: Job) -> int:
    return int(job.cpu_cores * _TREE_BYTES_PER_CORE)


@lru_cache(maxsize=64)
def _sighting(job: Job, gpu: int, boot_unix: float) -> Sighting:
    """The process of a run on one GPU, with the file that Weights & Biases would have it keep open."""
    lineage, tracked = _lineage(job, gpu, boot_unix), job.tracked
    if tracked is None:
        return Sighting(lineage)
    file = f"wandb/run-{tracked.id}/logs/debug.log"
    run = TrackedRun("wandb", tracked.id, file, entity="lab", project=tracked.project, name=tracked.name)
    # An address that nobody can have (RFC 2606).
    return Sighting(lineage, Traces({"WANDB_BASE_URL": "https://wandb.example"}, tracked=(run,)))


def _lineage(job: Job, gpu: int, boot_unix: float) -> Lineage:
    """The process of a run on one GPU, and its ancestors up to the shell."""

    def process(pid: int, parent: int, started: float, arguments: tuple[str, ...]) -> Process:
        ticks = round((started - boot_unix) * TICKS_PER_SECOND)
        return Process(Identity(pid, ticks), parent, job.person.uid, arguments[0], arguments)

    shell = process(job.pid, 1, job.launched - _SHELL_AGE_SECONDS, ("bash",))
    root = process(job.root_pid, job.pid, job.launched, job.command)
    if not job.worker:
        return Lineage((root, shell))
    worker = process(job.pid_on(gpu), job.root_pid, job.launched + _FORK_SECONDS, job.worker)
    return Lineage((worker, root, shell))
