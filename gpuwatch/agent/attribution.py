"""From pids to owners, cycle after cycle: the census reads, the resolver judges, the folder bounds."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import NamedTuple

from gpuwatch.account.ledger import Ledger
from gpuwatch.attribute.fold import SHORT, Bounds, Folder
from gpuwatch.attribute.person import read_user_name
from gpuwatch.attribute.resolver import Resolver
from gpuwatch.model import Identity, Lineage, Owner, Run
from gpuwatch.sense.census import Census
from gpuwatch.sense.lane import Lane
from gpuwatch.sense.process import TICKS_PER_SECOND, read_lineage

log = logging.getLogger(__name__)

_PATIENCE = 1.0
"""Seconds that reading one process may take: /proc/PID/cmdline waits for a process that is stuck in the kernel."""


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

    def __init__(self, *, node: str, boot_unix: float, bounds: Bounds) -> None:
        self._users: dict[int, str] = {}
        self._resolver = Resolver(
            node=node, boot_unix=boot_unix, ticks_per_second=TICKS_PER_SECOND, read_user=self._users.__getitem__
        )
        self._folder = Folder(bounds)
        self._lane: Lane[int, Lineage | None] = Lane("gpuwatch-process")
        self._census = Census(self._read_lineages)
        self._lineages: Mapping[int, Lineage] = {}
        self._attributed = Attributed({}, {}, {})
        self._unsettled = False
        """A run is too young yet to be charged under its own name: that will change by itself."""

    def attribute(self, pids: Iterable[int], ledger: Ledger, *, boottime: float, unix: float) -> Attributed:
        """The owners of those of the processes that could be read; the same object while nothing changes."""
        lineages = self._census.look(pids)
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

    def close(self) -> None:
        """Let go of the processes."""
        self._census.close()
        self._lane.close()

    def _read_lineages(self, pids: Iterable[int]) -> Mapping[int, Lineage | None]:
        calls: dict[int, Callable[[], Lineage | None]] = {pid: partial(self._meet, pid) for pid in pids}
        results = self._lane.run(calls, patience=_PATIENCE)
        for pid, result in results.items():
            if isinstance(result, Exception):
                log.debug("process %d cannot be read now: %s", pid, result)
        return {pid: result for pid, result in results.items() if not isinstance(result, Exception)}

    def _meet(self, pid: int) -> Lineage | None:
        """Read a process and learn its user's name: the name service can hang as well as the kernel."""
        lineage = read_lineage(pid)
        if lineage is not None:
            self._users[lineage.process.uid] = read_user_name(lineage.process.uid)
        return lineage
