"""One run of the script. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from gpuwatch.demo.cast import Person
from gpuwatch.demo.shape import Shape

_IMPORT_SECONDS = 12.5
"""From the launch of a process to its first use of a GPU. The half second keeps a run's name, which has the second of
the launch in it, the same under each boot clock."""


@dataclass(frozen=True, slots=True)
class Tracked:
    """What Weights & Biases knows of a run."""

    id: str
    name: str
    project: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """One run: it holds its GPUs after `start` and up to `end` (seconds of UTC)."""

    person: Person
    command: tuple[str, ...]
    gpus: tuple[int, ...]
    shapes: tuple[Shape, ...]
    """By GPU, in the order of `gpus`."""
    start: float
    end: float
    pid: int
    """Of its shell; those of its processes follow."""
    memory_bytes: int
    """On each of its GPUs."""
    cpu_cores: float
    sm_activity: float
    """SM activity while busy, as a ratio."""
    worker: tuple[str, ...] = ()
    """The command of the processes that use the GPUs; where it is empty, the run is one process."""
    tracked: Tracked | None = None
    launched: float = 0.0
    """When its first process started; by default a moment before it holds its GPUs."""

    def __post_init__(self) -> None:
        if not self.launched:
            object.__setattr__(self, "launched", self.start - _IMPORT_SECONDS)

    @property
    def root_pid(self) -> int:
        """Of the process that was launched from the shell."""
        return self.pid + 1

    def pid_on(self, gpu: int) -> int:
        """Of the process that uses the GPU."""
        return self.pid + 2 + self.gpus.index(gpu) if self.worker else self.root_pid

    def holds(self, at: float) -> bool:
        """Whether it is there at a moment."""
        return self.start < at <= self.end

    def held(self, start: float, end: float) -> float:
        """Seconds for which it was there between `start` and `end`."""
        return max(0.0, min(end, self.end) - max(start, self.start))

    def busy(self, gpu: int, start: float, end: float) -> float:
        """Seconds for which it kept the GPU busy between `start` and `end`."""
        start, end = max(start, self.start), min(end, self.end)
        return self.shapes[self.gpus.index(gpu)].busy(start, end) if start < end else 0.0
