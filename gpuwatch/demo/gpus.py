"""The simulated GPUs of the node, all of them read at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gpuwatch.demo.card import SimulatedCard
from gpuwatch.demo.cast import GPUS, VERSIONS
from gpuwatch.demo.events import is_lost
from gpuwatch.demo.job import Job
from gpuwatch.demo.node import Node
from gpuwatch.demo.script import jobs_on
from gpuwatch.model import GpuInfo, GpuReading


class SimulatedGpus:
    """The GPUs. `sample_seconds` is how often they sample; None is from one reading to the next."""

    mismatched = False
    versions = VERSIONS

    def __init__(self, node: Node, *, sample_seconds: float | None) -> None:
        self._node = node
        self._cards = [SimulatedCard(info, boot_unix=node.boot_unix, sample_seconds=sample_seconds) for info in GPUS]
        self.infos: Mapping[str, GpuInfo] = {info.uuid: info for info in GPUS}

    def problem_of(self, gpu: GpuInfo) -> str:
        """Why it was not read."""
        return f"GPU {gpu.index} has fallen off the bus (simulated)"

    def read(self, since: Mapping[str, float], *, now: float) -> dict[str, GpuReading]:
        """The readings at `now` of all GPUs that answer, with their utilisation from `since` by uuid (boot time)."""
        node = self._node
        node.unix = now + node.boot_unix
        on_gpus: dict[int, tuple[Job, int]] = {}
        readings = {}
        for card in self._cards:
            uuid, gpu = card.info.uuid, card.info.index
            start = since.get(uuid, now)
            jobs = jobs_on(gpu, start + node.boot_unix, node.unix)
            on_gpus |= {job.pid_on(gpu): (job, gpu) for job in jobs}
            if not is_lost(gpu, node.unix):
                readings[uuid] = card.read(jobs, start, now)
        node.on_gpus = on_gpus
        return readings

    def glance(self, uuids: Iterable[str]) -> None:
        """Nothing is rounded here, so there is nothing to note in between."""

    def close(self) -> None:
        """Nothing is open."""
