"""What the node's scheduler is asked, cycle after cycle: is it drained, and which jobs hold which of its GPUs?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from gpuwatch.model import Allocation, Drain, GpuInfo
from gpuwatch.sense.allocation import SlurmAllocations, find_allocations
from gpuwatch.sense.slurm import SlurmNode, find_slurm


class Scheduling(NamedTuple):
    """What is known now."""

    drain: Drain | None = None
    allocations: Mapping[int, Allocation] = {}
    """By the scheduler's own index of the GPU."""


class Slurm:
    """Slurm, on the node that it calls `node`. Times `now` are seconds of CLOCK_BOOTTIME."""

    def __init__(self, node: SlurmNode, allocations: SlurmAllocations) -> None:
        self._node = node
        self._allocations = allocations

    @property
    def is_asking(self) -> bool:
        """Whether a question is under way."""
        return self._node.is_asking or self._allocations.is_asking

    def read(self, *, now: float, unix: float, reserving: bool) -> Scheduling:
        """What is known now, at once; `reserving` is whether anybody is charged by it.

        Raises SlurmUnavailable where it does not answer.
        """
        drain = self._node.read(now=now, unix=unix)
        return Scheduling(
            drain, self._allocations.read(self._node.gpus_in_use, now=now, unix=unix, reserving=reserving)
        )

    def close(self) -> None:
        """Ask no more."""
        self._node.close()
        self._allocations.close()


def find_scheduler(slurm_node: str) -> Slurm | None:
    """This machine's Slurm; None where its commands are not on PATH."""
    node, allocations = find_slurm(slurm_node), find_allocations(slurm_node)
    return None if node is None or allocations is None else Slurm(node, allocations)


def by_uuid(allocations: Mapping[int, Allocation], infos: Iterable[GpuInfo]) -> dict[str, Allocation]:
    """Allocations by device: Slurm counts GPUs in the order of /dev/nvidiaN. Of MIG instances nothing is known.

    Nothing is known either where a number is missing: with a GPU that has gone all that follow would be another job's.
    """
    if not allocations:
        return {}
    infos = list(infos)
    order = sorted(infos, key=_number)
    if any(info.mig is not None for info in infos) or [_number(info) for info in order] != list(range(len(order))):
        return {}
    return {order[gpu].uuid: allocation for gpu, allocation in allocations.items() if gpu < len(order)}


def _number(info: GpuInfo) -> int:
    return info.index if info.minor is None else info.minor
