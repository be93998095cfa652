"""The simulated machine: another thing behind the sense boundary, in front of which all is the real agent."""

from __future__ import annotations

from gpuwatch.agent.machine import Machine
from gpuwatch.demo.card import SAMPLE_SECONDS
from gpuwatch.demo.gpus import SimulatedGpus
from gpuwatch.demo.node import Node


def simulated_machine(boot_unix: float, *, sample_seconds: float | None = SAMPLE_SECONDS) -> Machine:
    """The machine, on a boot clock that began at `boot_unix` (UTC).

    `sample_seconds` is how often its GPUs sample; None is from one reading to the next.
    """
    node = Node(boot_unix)
    return Machine(
        gpus=SimulatedGpus(node, sample_seconds=sample_seconds),
        processes=node,
        read_host=node.read_host,
        simulated=True,
        read_maintenance=node.read_maintenance,
    )
