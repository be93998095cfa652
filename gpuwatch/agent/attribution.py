"""From pids to owners, cycle after cycle: processes are looked at, the resolver judges, the folder bounds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from gpuwatch.account.ledger import Ledger
from gpuwatch.agent.machine import Processes
from gpuwatch.attribute.fold import SHORT, Bounds, Folder
from gpuwatch.attribute.resolver import Resolver, Rule
from gpuwatch.model import Identity, Lineage, Owner, Run
from gpuwatch.sense.process import TICKS_PER_SECOND


class Attributed(NamedTuple):
    """The processes on the GPUs now."""

    owners: Mapping[int, Owner]
    """By pid: who is charged."""
    runs: Mapping[Owner, Run]
    """By the owner that is charged: one of its runs."""
    trees: Mapping[Identity, tuple[Owner, frozenset[Identity]]]
    """By launch root: who is charged for its tree, and the processes of it that are on a GPU."""


class Attribution:
    """Who is on the GPUs. Each process is read and judged once; while nothing changes the last answer stands."""

    def __init__(
        self, processes: Processes, *, rules: tuple[Rule, ...], node: str, boot_unix: float, bounds: Bounds
    ) -> None:
        self._processes = processes
        self._resolver = Resolver(
            node=node,
            boot_unix=boot_unix,
            ticks_per_second=TICKS_PER_SECOND,
            read_user=processes.user_of,
            rules=rules,
        )
        self._folder = Folder(bounds)
        self._lineages: Mapping[int, Lineage] = {}
        self._attributed = Attributed({}, {}, {})
        self._unsettled = False
        """A run is too young yet to be charged under its own name: that will change by itself."""

    def attribute(self, pids: Iterable[int], ledger: Ledger, *, boottime: float, unix: float) -> Attributed:
        """The owners of those of the processes that could be read; the same object while nothing changes."""
        lineages = self._processes.look(pids)
        if lineages == self._lineages and not self._unsettled:
            return self._attributed
        runs_by_pid = self._resolver.resolve(lineages)
        shown, people = ledger.shown(), set(ledger.people_shown(unix))
        owners: dict[int, Owner] = {}
        runs: dict[Owner, Run] = {}
        members: dict[Identity, tuple[Owner, set[Identity]]] = {}
        for pid, run in runs_by_pid.items():
            age = boottime - run.root.start_ticks / TICKS_PER_SECOND
            owner = self._folder.owner(run, age=age, shown=shown, people=people)
            owners[pid] = owner
            runs[owner] = run
            members.setdefault(run.root, (owner, {run.root}))[1].add(lineages[pid].process.identity)
        self._folder.forget({run.owner for run in runs_by_pid.values()})
        trees = {root: (owner, frozenset(of)) for root, (owner, of) in members.items()}
        self._lineages = lineages
        self._unsettled = any(owner.run == SHORT for owner in runs)
        self._attributed = Attributed(owners, runs, trees)
        return self._attributed
