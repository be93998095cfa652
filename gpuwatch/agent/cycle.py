"""One cycle: sense, attribute, account, save, publish. Runs on one thread; time comes in as an argument."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import NamedTuple

from gpuwatch.account.cpu import CpuMeter, never_falling
from gpuwatch.account.device import Holders, Outcome, baseline, miss, observe, owners_of
from gpuwatch.account.ledger import Ledger
from gpuwatch.agent.attribution import Attributed, Attribution
from gpuwatch.agent.fleet import Fleet
from gpuwatch.agent.publish import Now, snapshot_of
from gpuwatch.agent.sensors import Sensors
from gpuwatch.agent.settings import Settings
from gpuwatch.errors import DiskRefused
from gpuwatch.model import DeviceUse, GpuInfo, GpuReading, HostReading, Mark, OnDevice, Owner, Snapshot
from gpuwatch.sense.clocks import SYSTEM_CLOCK, Clock
from gpuwatch.sense.host import read_host
from gpuwatch.sense.process import read_tree
from gpuwatch.state.store import Saved, Store
from gpuwatch.units import DAY

log = logging.getLogger(__name__)

HOST_SECONDS = 5.0
TREE_SECONDS = 30.0
"""How often the machine, and the process trees of runs, are read: they cost more and change less."""
PATIENCE_SECONDS = 1.0
"""What a call to the driver may take before its GPU is given up for this cycle."""
GLANCE_SECONDS = 1.0
"""How often the use of processes on shared GPUs is read: the driver rounds it to a percent of the time in between."""
_MISSED_SECONDS = 7 * DAY
"""For how long a GPU that was here and is not any more counts as unknown rather than as taken out."""


class Moment(NamedTuple):
    """Now, on both clocks."""

    boottime: float
    unix: float


class _Past(NamedTuple):
    """Of which devices a run's totals are still only in the state, and whether its CPU seconds are."""

    uuids: set[str]
    cpu: bool


class Cycle:
    """The stages, and what they keep between two cycles."""

    def __init__(
        self, settings: Settings, store: Store | None, saved: Saved, now: Moment, *, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._settings = settings
        self._store = store
        self._fleet = Fleet(patience=PATIENCE_SECONDS, clock=clock)
        self._attribution = Attribution(node=settings.node, boot_unix=saved.boot_unix, bounds=settings.bounds)
        self._sensors = Sensors()
        self._cpu = CpuMeter()
        self._attributed = Attributed({}, {}, {})
        self._infos: dict[str, GpuInfo] = {}
        self._meters_energy: set[str] = set()
        self._shared: set[str] = set()
        self._pids: dict[str, set[int]] = {}
        self._past_of: dict[Owner, _Past] = {}
        """Runs, and the devices, whose past is to be looked up before anything of them is saved."""
        self._host: HostReading | None = None
        self._memory: Mapping[OnDevice, int | None] = {}
        self._tree_memory: Mapping[Owner, int] = {}
        self._host_due = self._trees_due = 0.0
        self._refused = store is None
        self.ledger = Ledger()
        self._restore(saved, now)

    @property
    def needs_fresh_process(self) -> bool:
        """The mapped NVML library cannot match the driver any more."""
        return self._fleet.mismatched

    def run(self, now: Moment) -> Snapshot:
        """One cycle. What the snapshot shows is on disk before it is returned, unless it says otherwise."""
        readings = self._sense(now)
        if now.boottime >= self._host_due:
            self._host_due = now.boottime + HOST_SECONDS
            self._host = never_falling(self._host, self._sensors.run("host", read_host, unix=now.unix))
        if now.boottime >= self._trees_due:
            self._trees_due = now.boottime + TREE_SECONDS
            self._sensors.run("runs", self._sense_trees, unix=now.unix)
        memory = memory_by_owner(readings, self._attributed.owners)
        if memory != self._memory:
            for key, size in memory.items():
                self.ledger.enter_memory(key, size or 0)
            # A run has a total, and so a peak, only from its first charge on.
            self._memory = memory if memory.keys() <= self.ledger.runs.keys() else {}
        self.ledger.ripen(now.unix)
        self.ledger.put_away(self._attributed.runs.keys(), now.unix)
        persisted = self._save(now)
        seen = Now(
            readings=readings,
            infos=self._infos,
            problems={
                uuid: self._fleet.problem_of(self._infos[uuid]) for uuid in self.ledger.marks.keys() - readings.keys()
            },
            meters_energy=self._meters_energy,
            memory=memory,
            strangers={uuid: self._strangers_in(reading) for uuid, reading in readings.items()},
            tree_memory=self._tree_memory,
            host=self._host,
            sensors=dict(self._sensors.states),
            versions=self._fleet.versions,
            persisted=persisted,
        )
        return snapshot_of(self._settings.node, self._settings.interval, self.ledger, seen, unix=now.unix)

    def glance(self) -> None:
        """Between two cycles: note the use of the processes on GPUs that several owners share."""
        self._fleet.glance(self._shared)

    def close(self) -> None:
        """Let go of the driver and of the processes."""
        self._attribution.close()
        self._fleet.close()

    def _restore(self, saved: Saved, now: Moment) -> None:
        ledger = self.ledger
        for uuid, device in saved.devices.items():
            missing = now.unix - device.used_unix
            ledger.devices[uuid] = device.use
            if missing <= _MISSED_SECONDS:
                # A mark of another boot has no time on this boot's clock but the one that the wall clock gives it.
                at = now.boottime - max(0.0, missing)
                ledger.marks[uuid] = device.mark or Mark(at, at, None)
                self._infos[uuid] = device.info
        ledger.runs.update(saved.runs)
        ledger.people.update(saved.people)
        ledger.cpu_seconds.update(saved.cpu_seconds)
        ledger.details.update(saved.details)

    def _sense(self, now: Moment) -> Mapping[str, GpuReading]:
        marks = self.ledger.marks
        since = {uuid: mark.until for uuid, mark in marks.items()}
        readings = self._sensors.run("gpu", lambda: self._fleet.read(since, now=now.boottime), unix=now.unix) or {}
        self._infos.update(self._fleet.infos)
        before = self._attributed
        self._attributed = self._attribute(readings, now)
        known = before.owners
        if self._attributed is not before:
            known = {**before.owners, **self._attributed.owners}
            for owner, run in self._attributed.runs.items():
                if owner == run.owner:
                    self.ledger.describe(owner, run)
        self._shared.clear()
        for uuid, reading in readings.items():
            holders = owners_of(reading.processes, known)
            if len(holders.listed) > 1:
                self._shared.add(uuid)
            self._enter(uuid, reading, holders, now)
        for uuid in marks.keys() - readings.keys():
            self.ledger.enter(uuid, miss(marks[uuid], now.boottime), unix=now.unix)
            if marks[uuid].unseen > _MISSED_SECONDS:
                log.warning("GPU %d (%s) has not been seen for a week: taken out", self._infos[uuid].index, uuid)
                self.ledger.forget_device(uuid)
        return readings

    def _attribute(self, readings: Mapping[str, GpuReading], now: Moment) -> Attributed:
        # A busy pid that is in no process list yet is a process too: lists and samples disagree for a moment.
        for uuid, reading in readings.items():
            self._pids[uuid] = {*(reading.processes or ()), *reading.sm_use}
        # The processes of a GPU that was not read now are kept in mind: they are who they were when it is back.
        pids = {pid for uuid in self.ledger.marks.keys() | readings.keys() for pid in self._pids.get(uuid, ())}
        attributed = self._sensors.run(
            "processes",
            lambda: self._attribution.attribute(pids, self.ledger, boottime=now.boottime, unix=now.unix),
            unix=now.unix,
        )
        return attributed or Attributed({}, {}, {})

    def _strangers_in(self, reading: GpuReading) -> int | None:
        if reading.processes is None:
            return None
        return len(reading.processes.keys() - self._attributed.owners.keys())

    def _enter(self, uuid: str, reading: GpuReading, holders: Holders, now: Moment) -> None:
        mark = self.ledger.marks.get(uuid)
        first = Outcome(baseline(reading), DeviceUse(), {})
        outcome = observe(mark, reading, holders) if mark else first
        for owner in outcome.charges:
            if (uuid, owner) not in self.ledger.runs:
                self._past_of.setdefault(owner, _Past(set(), owner not in self.ledger.shown())).uuids.add(uuid)
        self.ledger.enter(uuid, outcome, unix=now.unix)
        if reading.energy_joules is not None or reading.power_watts is not None:
            self._meters_energy.add(uuid)

    def _recall_past(self, now: Moment) -> None:
        """Add what the state has of runs that are charged here for the first time. Raises DiskRefused."""
        while self._past_of:
            owner, missing = next(iter(self._past_of.items()))
            totals, cpu_seconds = self._store.recall(owner, unix=now.unix) if self._store else ({}, 0.0)
            for uuid in missing.uuids & totals.keys():
                self.ledger.add_past((uuid, owner), totals[uuid])
            if missing.cpu:
                self.ledger.enter_cpu(owner, cpu_seconds)
            del self._past_of[owner]

    def _sense_trees(self) -> None:
        trees = self._attributed.trees
        roots = {root.pid for root in trees}
        readings = {
            root: reading
            for root, (_, of) in trees.items()
            if (reading := read_tree(of, others=roots - {root.pid})) is not None
        }
        steps = self._cpu.advance(readings)
        shown = self.ledger.shown()  # of a run that was not charged yet, the past is not here yet either
        for root in readings:
            if trees[root][0] in shown:
                self.ledger.enter_cpu(trees[root][0], steps.get(root, 0.0))
        memory: dict[Owner, int] = {}
        for root, reading in readings.items():
            owner = trees[root][0]
            memory[owner] = memory.get(owner, 0) + reading.memory_bytes
        self._tree_memory = memory

    def _save(self, now: Moment) -> bool:
        if self._store is None:
            self._recall_past(now)
            self.ledger.settle()
            return False
        try:
            self._recall_past(now)
            self._store.commit(self.ledger.changes(), self._infos, unix=now.unix)
            self._store.tidy(unix=now.unix)
        except DiskRefused as error:
            if not self._refused:
                log.error("%s; going on without it, what is shown now may be lost with this process", error)
            self._refused = True
            return False
        if self._refused:
            log.info("the state is saved again")
        self._refused = False
        self.ledger.settle()
        return True


def memory_by_owner(readings: Mapping[str, GpuReading], owners: Mapping[int, Owner]) -> dict[OnDevice, int | None]:
    """Device memory in bytes of every owner on every device that it is on; None where the driver won't say."""
    sizes: dict[OnDevice, list[int | None]] = {}
    for uuid, reading in readings.items():
        for pid, size in (reading.processes or {}).items():
            if pid in owners:
                sizes.setdefault((uuid, owners[pid]), []).append(size)
    return {key: None if set(parts) == {None} else sum(filter(None, parts)) for key, parts in sizes.items()}
