"""Keeping the ledger on disk: its past is brought back from the state, its changes are saved each cycle."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import NamedTuple

from gpuwatch.account.ledger import Ledger
from gpuwatch.errors import DiskRefused
from gpuwatch.model import GpuInfo, Mark, OnDevice, Owner, RunTotal
from gpuwatch.state.saved import MISSED_SECONDS, Saved
from gpuwatch.state.store import Store

log = logging.getLogger(__name__)


class _Past(NamedTuple):
    """Of which devices a run's totals are still only in the state, and whether its CPU seconds are."""

    uuids: set[str]
    cpu: bool


class Record:
    """The ledger's way to and from the state, if there is one."""

    def __init__(self, ledger: Ledger, store: Store | None) -> None:
        self._ledger = ledger
        self._store = store
        self._refused = store is None
        self._past_of: dict[Owner, _Past] = {}
        """Runs, and the devices, whose past is to be looked up before anything of them is saved."""
        self._recalled: dict[OnDevice, RunTotal] = {}

    def restore(self, saved: Saved, *, boottime: float, unix: float) -> dict[str, GpuInfo]:
        """Fill the ledger with what was saved; the devices that time passes for, by uuid."""
        ledger, infos = self._ledger, {}
        for uuid, device in saved.devices.items():
            missing = unix - device.used_unix
            ledger.devices[uuid] = device.use
            if missing <= MISSED_SECONDS and not device.taken_out:
                # A mark of another boot has no time on this boot's clock but the one that the wall clock gives it.
                at = boottime - max(0.0, missing)
                ledger.marks[uuid] = device.mark or Mark(at, at, None)
                infos[uuid] = device.info
        ledger.counts.update(saved.counts)
        ledger.runs.update(saved.runs)
        ledger.people.update(saved.people)
        ledger.cpu_seconds.update(saved.cpu_seconds)
        ledger.details.update(saved.details)
        return infos

    def save(self, infos: Mapping[str, GpuInfo], *, unix: float) -> bool:
        """Save what has changed; whether it is on disk."""
        self._expect_past()
        if self._store is None:
            self._recall_past(unix)
            self._ledger.settle()
            return False
        try:
            self._recall_past(unix)
            self._store.commit(self._ledger.changes(), infos, unix=unix)
            self._store.tidy(unix=unix)
        except DiskRefused as error:
            if not self._refused:
                log.error("%s; going on without it, what is shown now may be lost with this process", error)
            self._refused = True
            return False
        if self._refused:
            log.info("the state is saved again")
        self._refused = False
        self._ledger.settle()
        return True

    def take_recalled(self) -> Mapping[OnDevice, RunTotal]:
        """The past that was added to the ledger since the last call."""
        recalled, self._recalled = self._recalled, {}
        return recalled

    def _expect_past(self) -> None:
        """Runs that are charged on a device for the first time may have a past there."""
        begun = self._ledger.take_begun()
        if begun:
            before = {owner for _, owner in self._ledger.runs.keys() - begun}
            for uuid, owner in begun:
                self._past_of.setdefault(owner, _Past(set(), owner not in before)).uuids.add(uuid)

    def _recall_past(self, unix: float) -> None:
        """Add what the state has of runs that are charged here for the first time. Raises DiskRefused."""
        while self._past_of:
            owner, missing = next(iter(self._past_of.items()))
            totals, cpu_seconds = self._store.recall(owner, unix=unix) if self._store else ({}, 0.0)
            for uuid in missing.uuids & totals.keys():
                self._ledger.add_past((uuid, owner), totals[uuid])
                self._recalled[uuid, owner] = totals[uuid]
            if missing.cpu:
                self._ledger.enter_cpu(owner, cpu_seconds)
            del self._past_of[owner]
