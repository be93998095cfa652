"""The resolver: asks the rules in order of precedence, most specific first, and remembers the answer.

A rule is a function from a `Case` to a `Run`, or None where it has nothing to say. The rules are pure: whatever they
need to know is read before they are asked and stands in the case.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gpuwatch.attribute import adhoc
from gpuwatch.model import Identity, Lineage, Owner, Process, Run


@dataclass(frozen=True, slots=True)
class Case:
    """All that the rules may know of a process."""

    lineage: Lineage
    root: Process
    root_started_unix: float
    user: str
    node: str


Rule = Callable[[Case], Run | None]


def adhoc_rule(case: Case) -> Run:
    """What somebody launched from a shell. Source: `attribute/adhoc.py`."""
    name = adhoc.run_name(case.root)
    pid = case.root.identity.pid
    run = adhoc.run_id(name, started_unix=case.root_started_unix, pid=pid, node=case.node)
    return Run(
        owner=Owner(case.user, "", run),
        root=case.root.identity,
        started_unix=case.root_started_unix,
        source="adhoc",
        name=name,
    )


RULES: tuple[Rule, ...] = (adhoc_rule,)


class Resolver:
    """Runs by process, each resolved once."""

    def __init__(
        self,
        *,
        node: str,
        boot_unix: float,
        ticks_per_second: int,
        read_user: Callable[[int], str],
        rules: tuple[Rule, ...] = RULES,
    ) -> None:
        self._node = node
        self._boot_unix = boot_unix
        self._tick = 1 / ticks_per_second
        self._read_user = read_user
        self._rules = rules
        self._runs: dict[Identity, Run] = {}

    def resolve(self, lineages: Mapping[int, Lineage]) -> dict[int, Run]:
        """The run of each process, by pid. Forgets the processes that are not asked for any more."""
        runs = {pid: self._known(lineage) for pid, lineage in lineages.items()}
        if len(self._runs) > len(lineages):
            current = {lineage.process.identity for lineage in lineages.values()}
            self._runs = {identity: run for identity, run in self._runs.items() if identity in current}
        return runs

    def _known(self, lineage: Lineage) -> Run:
        identity = lineage.process.identity
        run = self._runs.get(identity)
        if run is None:
            run = self._runs[identity] = self._judge(lineage)
        return run

    def _judge(self, lineage: Lineage) -> Run:
        root = adhoc.launch_root(lineage)
        case = Case(
            lineage=lineage,
            root=root,
            root_started_unix=self._boot_unix + root.identity.start_ticks * self._tick,
            user=self._read_user(lineage.process.uid),
            node=self._node,
        )
        return next(run for rule in self._rules if (run := rule(case)) is not None)
