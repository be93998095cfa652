"""From pids to owners, cycle after cycle: processes are looked at, the resolver judges, the folder bounds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from gpuwatch.account.ledger import Ledger
from gpuwatch.agent.machine import Processes, Registrations
from gpuwatch.attribute.case import Case, Sighting, Site
from gpuwatch.attribute.contexts import owns_nothing
from gpuwatch.attribute.expectation import Whose, expected_idleness
from gpuwatch.attribute.fold import SHORT, Bounds, Folder
from gpuwatch.attribute.resolver import Resolver, Verdict
from gpuwatch.attribute.rules.adhoc import launch_root
from gpuwatch.model import Allocation, Identity, Owner, Run
from gpuwatch.model.judgement import Snooze
from gpuwatch.sense.process import TICKS_PER_SECOND

PROJECT_SECONDS = 20.0
"""W&B writes a run's project 15 s after the run has begun: until then it is charged like one that is too short."""


class Attributed(NamedTuple):
    """The processes on the GPUs now."""

    owners: Mapping[int, Owner]
    """By pid: who is charged."""
    runs: Mapping[Owner, Run]
    """By the owner that is charged: its run, as of the process that began first."""
    trees: Mapping[Identity, tuple[Owner, frozenset[Identity]]]
    """By the top of a process tree: who is charged for it, and the processes of it that are on a GPU."""
    ignored: frozenset[int] = frozenset()
    """Processes that hold a context for the machine and for no one."""
    reserved: Mapping[str, Owner] = MappingProxyType({})
    """By uuid of a GPU: who has it from the scheduler, if nothing runs on it."""
    expected: Mapping[Whose, Snooze] = MappingProxyType({})
    """By person and run: the idleness that those who started it said is meant."""


class Cases:
    """What the rules are asked about: sightings, with what is known of their surroundings."""

    def __init__(self, processes: Processes, registrations: Registrations, *, site: Site, boot_unix: float) -> None:
        self._processes = processes
        self._registrations = registrations
        self._site = site
        self._boot_unix = boot_unix

    def of(self, sightings: Mapping[int, Sighting]) -> dict[int, Case]:
        """The case of each process that can own something, by pid."""
        return {pid: self._of(seen) for pid, seen in sightings.items() if not owns_nothing(seen.lineage.process)}

    def _of(self, seen: Sighting) -> Case:
        root = launch_root(seen.lineage)
        return Case(
            lineage=seen.lineage,
            root=root,
            root_started_unix=self._boot_unix + root.identity.start_ticks / TICKS_PER_SECOND,
            user=self._processes.user_of(seen.lineage.process.uid),
            site=self._site,
            traces=seen.traces,
            registration=self._registrations.of(seen.lineage),
            container=seen.container,
        )


class Attribution:
    """Who is on the GPUs. While nothing about the processes changes the last answer stands."""

    def __init__(
        self,
        processes: Processes,
        registrations: Registrations,
        resolver: Resolver,
        *,
        site: Site,
        boot_unix: float,
        bounds: Bounds,
    ) -> None:
        self._processes = processes
        self._registrations = registrations
        self._resolver = resolver
        self._cases = Cases(processes, registrations, site=site, boot_unix=boot_unix)
        self._folder = Folder(bounds)
        self._site = site
        self._known: tuple[object, ...] = ()
        """What the last verdicts were made of."""
        self._members: Mapping[int, Identity] = {}
        """The processes that can own something, by pid."""
        self._verdicts: Mapping[int, Verdict] = {}
        self._reservations: Mapping[str, Run] = {}
        self._expected: Mapping[Whose, Snooze] = {}
        self._ignored: frozenset[int] = frozenset()
        self._first_seen: dict[str, float] = {}
        self._attributed = Attributed({}, {}, {})
        self._unsettled = False
        """A run is not yet charged under its own name: that will change by itself."""

    def attribute(
        self,
        pids: Iterable[int],
        ledger: Ledger,
        *,
        allocations: Mapping[str, Allocation],
        boottime: float,
        unix: float,
    ) -> Attributed:
        """The owners of those of the processes that could be read; the same object while nothing changes."""
        sightings = self._processes.look(pids, boottime)
        known = (sightings, self._registrations.version, allocations)
        if known != self._known:
            self._judge(sightings, allocations, boottime)
            self._known = known
        elif not self._unsettled:
            return self._attributed
        self._attributed = self._charge(ledger, boottime=boottime, unix=unix)
        self._unsettled = any(owner.run == SHORT for owner in self._attributed.runs)
        return self._attributed

    def _judge(self, sightings: Mapping[int, Sighting], allocations: Mapping[str, Allocation], boottime: float) -> None:
        """Which run each process is of, and each GPU that is reserved."""
        cases = self._cases.of(sightings)
        self._members = {pid: case.lineage.process.identity for pid, case in cases.items()}
        self._ignored = frozenset(sightings.keys() - cases.keys())
        self._verdicts = self._resolver.resolve(cases)
        self._expected = expected_idleness((case, self._verdicts[pid].run) for pid, case in cases.items())
        self._reservations = {uuid: self._resolver.reserve(one, self._site) for uuid, one in allocations.items()}
        runs = {verdict.run.owner.run for verdict in self._verdicts.values()}
        self._first_seen = {run: self._first_seen.get(run, boottime) for run in runs}

    def _charge(self, ledger: Ledger, *, boottime: float, unix: float) -> Attributed:
        """Who is charged for them now."""
        shown, people = ledger.shown(), set(ledger.people_shown(unix))

        def fold(run: Run, *, waits: bool = False) -> Owner:
            age = boottime - run.root.start_ticks / TICKS_PER_SECOND
            return self._folder.owner(run, age=age, shown=shown, people=people, waits=waits)

        owners: dict[int, Owner] = {}
        runs: dict[Owner, Run] = {}
        for pid, verdict in self._verdicts.items():
            owner = owners[pid] = fold(verdict.run, waits=self._waits(verdict, boottime))
            runs[owner] = min(runs.get(owner, verdict.run), verdict.run, key=_beginning)
        reserved = {uuid: fold(run) for uuid, run in self._reservations.items()}
        for uuid, run in self._reservations.items():
            runs.setdefault(reserved[uuid], run)
        judged = (*(verdict.run for verdict in self._verdicts.values()), *self._reservations.values())
        self._folder.forget({run.owner for run in judged})
        return Attributed(owners, runs, self._trees(owners), self._ignored, reserved, self._expected)

    def _waits(self, verdict: Verdict, boottime: float) -> bool:
        """Whether W&B is still to tell the run's project. The job's would stand in for it, and then be another one."""
        run = verdict.run.owner.run
        owning = next(claim for claim in verdict.claims if claim.run == run)
        return owning.rule == "wandb" and not owning.project and boottime - self._first_seen[run] < PROJECT_SECONDS

    def _trees(self, owners: Mapping[int, Owner]) -> dict[Identity, tuple[Owner, frozenset[Identity]]]:
        """The trees below the tops of runs; where several owners have one top, each of its processes is its own."""
        tops: dict[Identity, dict[Owner, set[Identity]]] = {}
        for pid, (run, _) in self._verdicts.items():
            tops.setdefault(run.root, {}).setdefault(owners[pid], set()).add(self._members[pid])
        trees = {}
        for top, found in tops.items():
            for owner, processes in found.items():
                whole = {top: processes | {top}} if len(found) == 1 else {one: {one} for one in processes}
                trees.update({root: (owner, frozenset(of)) for root, of in whole.items()})
        return trees


def _beginning(run: Run) -> float:
    return run.started_unix
