"""One cycle: sense, attribute, account, save, publish. Runs on one thread; time comes in as an argument."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Set
from typing import NamedTuple

from gpuwatch.account.activity import ActivityMeter
from gpuwatch.account.cpu import CpuMeter, never_falling
from gpuwatch.account.device import LONGEST_GAP, Holders, Outcome, baseline, miss, observe
from gpuwatch.account.ledger import Ledger
from gpuwatch.agent.attribution import Attributed, Attribution
from gpuwatch.agent.judging import Judging, Scene
from gpuwatch.agent.machine import Machine, site_of
from gpuwatch.agent.maintenance import drained
from gpuwatch.agent.occupancy import Occupancies, Occupancy
from gpuwatch.agent.publish import Now, snapshot_of
from gpuwatch.agent.record import Record
from gpuwatch.agent.scheduler import Scheduling, by_uuid
from gpuwatch.agent.sensors import Sensors
from gpuwatch.agent.settings import Settings
from gpuwatch.agent.teams import read_teams
from gpuwatch.attribute.resolver import Resolver
from gpuwatch.judge.overrides import Overrides
from gpuwatch.model import (
    Allocation,
    CountKey,
    DeviceUse,
    Drain,
    GpuReading,
    HostReading,
    Meters,
    OnDevice,
    Owner,
    Snapshot,
)
from gpuwatch.model.judgement import Judged
from gpuwatch.state.saved import MISSED_SECONDS, Saved
from gpuwatch.state.store import Store

log = logging.getLogger(__name__)

HOST_SECONDS = 5.0
TREE_SECONDS = 30.0
"""How often the machine, and the process trees of runs, are read: they cost more and change less."""
GLANCE_SECONDS = 1.0
"""How often the use of processes on shared GPUs is read: the driver rounds it to a percent of the time in between."""


class Moment(NamedTuple):
    """Now, on both clocks."""

    boottime: float
    unix: float


class Cycle:
    """The stages, and what they keep between two cycles."""

    def __init__(self, settings: Settings, machine: Machine, store: Store | None, saved: Saved, now: Moment) -> None:
        self._settings = settings
        self._machine = machine
        self._attribution = Attribution(
            machine.processes,
            machine.registrations,
            Resolver(alias=settings.people.alias),
            site=site_of(settings),
            boot_unix=saved.boot_unix,
            bounds=settings.bounds,
        )
        self._teams = read_teams(settings.people)
        self._sensors = Sensors()
        self._cpu = CpuMeter()
        self._activity = ActivityMeter()
        self._allocations: Mapping[str, Allocation] = {}
        self._drains: Mapping[str, Drain] = {}
        self._drained_at: Mapping[str, float] = {}
        """By uuid, since when on the boot clock: settled at first sight, as the other clock can be set."""
        self._counts: dict[str, Mapping[CountKey, float]] = {}
        self._attributed = Attributed({}, {}, {})
        self._meters: dict[str, Meters] = {}
        self._occupancies = Occupancies()
        self._occupied: dict[str, Occupancy] = {}
        """By uuid, of the GPUs that were read in the last cycle."""
        self._pids: dict[str, set[int]] = {}
        self._host: HostReading | None = None
        self._memory: Mapping[OnDevice, int | None] = {}
        self._peaked: Mapping[OnDevice, int | None] = {}
        """What the peaks are up to date with."""
        self._tree_memory: Mapping[Owner, int] = {}
        self._host_due = self._trees_due = 0.0
        self.ledger = Ledger()
        self._record = Record(self.ledger, store)
        self._infos = self._record.restore(saved, boottime=now.boottime, unix=now.unix)
        self._judging = Judging(self.ledger, Overrides(settings.overrides), store)

    @property
    def needs_fresh_process(self) -> bool:
        """The mapped NVML library cannot match the driver any more."""
        return self._machine.gpus.mismatched

    def run(self, now: Moment) -> Snapshot:
        """One cycle. What the snapshot shows is on disk before it is returned, unless it says otherwise."""
        self._judging.cut(now.unix)
        readings = self._read(now)
        snoozes = self._machine.read_snoozes(self._attributed.runs.keys(), self._attributed.expected)
        reserved = {uuid: one.reserved for uuid, one in self._occupied.items() if one.reserved is not None}
        judged = self._judging.judge(Scene(self._memory, reserved, readings), snoozes, unix=now.unix)
        persisted = self._save(now)
        self._judging.add_past(self._record.take_recalled())
        seen = self._see(readings, judged, persisted)
        return snapshot_of(self._settings.node, self._settings.interval, self.ledger, seen, unix=now.unix)

    def record(self, now: Moment) -> None:
        """One cycle of a past that nobody looks at any more: it is saved, and neither judged nor published."""
        self._read(now)
        self._save(now)

    def glance(self) -> None:
        """Between two cycles: note the use of the processes on GPUs that several owners share."""
        self._machine.gpus.glance(uuid for uuid, one in self._occupied.items() if len(one.holders.listed) > 1)

    def close(self) -> None:
        """Let go of the machine."""
        self._machine.close()

    def _read(self, now: Moment) -> Mapping[str, GpuReading]:
        """Sense, attribute and account."""
        readings = self._sense(now)
        if now.boottime >= self._host_due:
            self._host_due = now.boottime + HOST_SECONDS
            self._host = never_falling(self._host, self._sensors.run("host", self._machine.read_host, unix=now.unix))
        if now.boottime >= self._trees_due:
            self._trees_due = now.boottime + TREE_SECONDS
            self._sensors.run("runs", self._sense_trees, unix=now.unix)
        self._memory = {key: size for one in self._occupied.values() for key, size in one.memory.items()}
        if self._memory != self._peaked:
            for key, size in self._memory.items():
                self.ledger.enter_memory(key, size or 0)
            # A run has a total, and so a peak, only from its first charge on.
            self._peaked = self._memory if self._memory.keys() <= self.ledger.runs.keys() else {}
        return readings

    def _save(self, now: Moment) -> bool:
        """Put the ledger in order, and on disk; whether that worked."""
        self.ledger.ripen(now.unix)
        self.ledger.put_away(self._attributed.runs.keys(), now.unix)
        return self._record.save(self._infos, unix=now.unix)

    def _see(self, readings: Mapping[str, GpuReading], judged: Judged, persisted: bool) -> Now:
        return Now(
            readings=readings,
            infos=self._infos,
            problems={
                uuid: self._machine.gpus.problem_of(self._infos[uuid])
                for uuid in self.ledger.marks.keys() - readings.keys()
            },
            meters=self._meters,
            drains=self._drains,
            memory=self._memory,
            strangers={uuid: occupancy.strangers for uuid, occupancy in self._occupied.items()},
            tree_memory=self._tree_memory,
            host=self._host,
            sensors=dict(self._sensors.states),
            versions=self._machine.gpus.versions,
            persisted=persisted,
            simulated=self._machine.simulated,
            strangers_reason=self._machine.processes.strangers_reason,
            teams=self._teams,
            judged=judged,
        )

    def _sense(self, now: Moment) -> Mapping[str, GpuReading]:
        marks = self.ledger.marks
        since = {uuid: mark.until for uuid, mark in marks.items()}
        readings = (
            self._sensors.run("gpu", lambda: self._machine.gpus.read(since, now=now.boottime), unix=now.unix) or {}
        )
        self._infos.update(self._machine.gpus.infos)
        scheduling = self._read_scheduling(now)
        self._allocations = by_uuid(scheduling.allocations, self._machine.gpus.infos.values())
        self._drains = self._read_drains(scheduling)
        self._drained_at = {
            uuid: self._drained_at.get(uuid, now.boottime - max(0.0, now.unix - drain.since_unix))
            for uuid, drain in self._drains.items()
        }
        before = self._attributed
        self._attributed = self._attribute(readings, now)
        known = before.owners
        if self._attributed is not before:
            known = {**before.owners, **self._attributed.owners}
            for owner, run in self._attributed.runs.items():
                if owner == run.owner:
                    self.ledger.describe(owner, run)
        self._occupied = {
            uuid: self._occupancies.of(reading, known, self._attributed) for uuid, reading in readings.items()
        }
        for uuid, reading in readings.items():
            self._enter(uuid, reading, self._occupied[uuid].holders, now)
        if missed := marks.keys() - readings.keys():
            self._miss(missed, now)
        return readings

    def _miss(self, uuids: Set[str], now: Moment) -> None:
        """Account for devices that were not read, and let go of those that are not there any more."""
        current = self._machine.gpus.infos
        places = {info.pci for info in current.values()}
        for uuid in uuids:
            info, drained_at = self._infos[uuid], self._drained_at.get(uuid, math.inf)
            replaced = uuid not in current and info.pci in places
            if not replaced:
                outcome = miss(self.ledger.marks[uuid], now.boottime, drained_at=drained_at)
                self.ledger.enter(uuid, outcome, unix=now.unix)
            self._activity.forget(uuid, now.boottime)
            if replaced or (self.ledger.marks[uuid].unseen > MISSED_SECONDS and drained_at == math.inf):
                why = "another device is in its place" if replaced else "it has not been seen for a week"
                log.warning("GPU %s (%s) is taken out: %s", info.name, uuid, why)
                self.ledger.forget_device(uuid)

    def _read_scheduling(self, now: Moment) -> Scheduling:
        scheduler = self._machine.scheduler
        if scheduler is None:
            return Scheduling()
        reserving = any(occupancy.reserved for occupancy in self._occupied.values())
        known = self._sensors.run(
            "slurm", lambda: scheduler.read(now=now.boottime, unix=now.unix, reserving=reserving), unix=now.unix
        )
        return known or Scheduling()

    def _read_drains(self, scheduling: Scheduling) -> dict[str, Drain]:
        """The devices that are out of service, by uuid."""
        said = self._machine.read_maintenance()
        if not said and scheduling.drain is None:
            return {}
        found = {uuid: drained(uuid, said, scheduling.drain) for uuid in self._infos}
        return {uuid: drain for uuid, drain in found.items() if drain is not None}

    def _attribute(self, readings: Mapping[str, GpuReading], now: Moment) -> Attributed:
        # A busy pid that is in no process list yet is a process too: lists and samples disagree for a moment.
        for uuid, reading in readings.items():
            self._pids[uuid] = {*(reading.processes or ()), *reading.sm_use}
        # The processes of a GPU that was not read now are kept in mind: they are who they were when it is back.
        pids = set().union(*(self._pids.get(uuid, ()) for uuid in self.ledger.marks.keys() | readings.keys()))
        attributed = self._sensors.run(
            "processes",
            lambda: self._attribution.attribute(
                pids, self.ledger, allocations=self._allocations, boottime=now.boottime, unix=now.unix
            ),
            unix=now.unix,
        )
        return attributed or Attributed({}, {}, {})

    def _enter(self, uuid: str, reading: GpuReading, holders: Holders, now: Moment) -> None:
        mark = self.ledger.marks.get(uuid)
        if mark is None:
            outcome = Outcome(baseline(reading), DeviceUse(), {})
        else:
            outcome = observe(mark, reading, holders, drained_at=self._drained_at.get(uuid, math.inf))
        self.ledger.enter(uuid, outcome, unix=now.unix, capacity=reading.info.capacity)
        condition, known = reading.condition, self._meters.get(uuid, Meters())
        self._meters[uuid] = Meters(
            known.energy or reading.energy_joules is not None or reading.power_watts is not None,
            known.busy or bool(reading.pieces),
            known.activity or condition.activity is not None,
        )
        if condition.counts is not self._counts.get(uuid):
            self._counts[uuid] = condition.counts
            self.ledger.enter_counts(uuid, condition.counts)
        if mark is not None and reading.read_at - mark.seen_at > LONGEST_GAP:
            self._activity.forget(uuid, reading.read_at)
        if condition.activity is None:
            self._activity.forget(uuid)
        else:
            self._activity.add(uuid, outcome)
            for owner, sm_active in self._activity.charge(uuid, condition.activity).items():
                self.ledger.enter_activity((uuid, owner), sm_active)

    def _sense_trees(self) -> None:
        trees = self._attributed.trees
        roots = {root.pid for root in trees}
        readings = {
            root: reading
            for root, (_, of) in trees.items()
            if (reading := self._machine.processes.read_tree(of, roots - {root.pid})) is not None
        }
        steps = self._cpu.advance(readings, {root: of for root, (_, of) in trees.items()})
        shown = self.ledger.shown()  # of a run that was not charged yet, the past is not here yet either
        for root in readings:
            if trees[root][0] in shown:
                self.ledger.enter_cpu(trees[root][0], steps.get(root, 0.0))
        memory: dict[Owner, int] = {}
        for root, reading in readings.items():
            owner = trees[root][0]
            memory[owner] = memory.get(owner, 0) + reading.memory_bytes
        self._tree_memory = memory
