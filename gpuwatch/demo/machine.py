"""The simulated machine: another thing behind the sense boundary, in front of which all is the real agent."""

from __future__ import annotations

from gpuwatch.agent.machine import Machine
from gpuwatch.attribute.resolver import RULES, Case, Rule
from gpuwatch.demo.card import SAMPLE_SECONDS
from gpuwatch.demo.gpus import SimulatedGpus
from gpuwatch.demo.node import Node
from gpuwatch.model import Owner, Run


def simulated_machine(boot_unix: float, *, sample_seconds: float | None = SAMPLE_SECONDS) -> Machine:
    """The machine, on a boot clock that began at `boot_unix` (UTC).

    `sample_seconds` is how often its GPUs sample; None is from one reading to the next.
    """
    node = Node(boot_unix)
    return Machine(
        gpus=SimulatedGpus(node, sample_seconds=sample_seconds),
        processes=node,
        read_host=node.read_host,
        rules=(_scripted_rule(node), *RULES),
        simulated=True,
        read_maintenance=node.read_maintenance,
    )


def _scripted_rule(node: Node) -> Rule:
    """Knows the runs that the script has under Weights & Biases, and nothing of any other."""

    def rule(case: Case) -> Run | None:
        found = node.on_gpus.get(case.lineage.process.identity.pid)
        if found is None or (tracked := found[0].tracked) is None:
            return None
        return Run(
            owner=Owner(case.user, tracked.project, f"wandb:{tracked.id}"),
            root=case.root.identity,
            started_unix=case.root_started_unix,
            source="wandb",
            name=tracked.name,
            kind="batch",
            url=tracked.url,
        )

    return rule
