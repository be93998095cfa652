"""The ledger: running totals of devices, runs and people. Pure; it only ever grows, and knows what has changed.

Totals live as long as they are shown: a run's linger for ten minutes after its end, then they are put away (the state
keeps them) and come back at their old value when the run does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import TypeVar

from gpuwatch.account.counts import advance
from gpuwatch.account.device import Outcome
from gpuwatch.model import (
    Changes,
    Count,
    CountKey,
    DeviceUse,
    Mark,
    OnDevice,
    Owner,
    Person,
    RollUp,
    Run,
    RunTotal,
    Use,
)
from gpuwatch.units import DAY, MINUTE

LINGER_SECONDS = 10 * MINUTE
ROLL_UP_SHOWN_SECONDS = 30 * DAY
ROLL_UP_BIRTH_SECONDS = 60.0
"""A roll-up series shows 0 for this long after its birth, so that every scraper has seen it at 0 before it grows."""

K = TypeVar("K")
V = TypeVar("V")
_NO_TOTAL = RunTotal()
_NO_USE = DeviceUse()


class Ledger:
    """Running totals, by device, by run on a device, by run and by person."""

    def __init__(self) -> None:
        self.devices: dict[str, DeviceUse] = {}
        self.marks: dict[str, Mark] = {}
        self.counts: dict[str, Mapping[CountKey, Count]] = {}
        self.runs: dict[OnDevice, RunTotal] = {}
        self.people: dict[Person, RollUp] = {}
        self.cpu_seconds: dict[Owner, float] = {}
        self.details: dict[Owner, Run] = {}
        self._begun: set[OnDevice] = set()
        self._changed_devices: set[str] = set()
        self._changed_counts: set[str] = set()
        self._changed_runs: dict[OnDevice, RunTotal] = {}
        self._changed_people: set[Person] = set()
        self._changed_owners: set[Owner] = set()

    def enter(self, uuid: str, outcome: Outcome, *, unix: float, capacity: float = 1.0) -> None:
        """Add what one reading of a device brought. `capacity` is its part of a GPU: people's record is of whole ones.

        Joules are joules: they are not weighted.
        """
        self.marks[uuid] = outcome.mark
        self.devices[uuid] = self.devices.get(uuid, _NO_USE).plus(outcome.device)
        self._changed_devices.add(uuid)
        people: dict[Person, Use] = {}
        for owner, use in outcome.charges.items():
            self._charge((uuid, owner), use, unix)
            person = (owner.user, owner.project)
            more = people.get(person)
            people[person] = use if more is None else more.plus(use)
        for person, use in people.items():
            whole = use if capacity == 1 else Use(use.held * capacity, use.busy * capacity, use.joules)
            self._enter_person(person, whole, unix)

    def enter_activity(self, key: OnDevice, sm_active: float) -> None:
        """Add SM-active seconds of a run that was charged before."""
        total = self.runs.get(key)
        if total is not None:
            self._set_run(key, total._replace(sm_active=total.sm_active + sm_active))

    def enter_counts(self, uuid: str, driver_totals: Mapping[CountKey, float]) -> None:
        """Advance a device's counts to what the driver says now."""
        before = self.counts.get(uuid, {})
        after = {key: advance(before.get(key), key, total) for key, total in driver_totals.items()}
        if not after.items() <= before.items():
            self.counts[uuid] = {**before, **after}
            self._changed_counts.add(uuid)

    def enter_memory(self, key: OnDevice, memory_bytes: int) -> None:
        """Note how much device memory a run has now."""
        total = self.runs.get(key)
        if total is not None and memory_bytes > total.memory_peak_bytes:
            self._set_run(key, total._replace(memory_peak_bytes=memory_bytes))

    def enter_cpu(self, owner: Owner, seconds: float) -> None:
        """Add CPU seconds of a run's process tree."""
        self.cpu_seconds[owner] = self.cpu_seconds.get(owner, 0.0) + seconds
        self._changed_owners.add(owner)

    def describe(self, owner: Owner, run: Run) -> None:
        """Keep what is known of a run beside its totals."""
        if self.details.get(owner) != run:
            self.details[owner] = run
            self._changed_owners.add(owner)

    def add_past(self, key: OnDevice, past: RunTotal) -> None:
        """Add what the state has of a run that is new here, once."""
        here = self.runs.get(key, _NO_TOTAL)
        peak = max(past.memory_peak_bytes, here.memory_peak_bytes)
        used_unix = max(past.used_unix, here.used_unix)
        self._set_run(key, RunTotal(past.use.plus(here.use), peak, used_unix, past.sm_active + here.sm_active))

    def forget_device(self, uuid: str) -> None:
        """It was taken out: no time passes for it any more. Its totals stay."""
        del self.marks[uuid]
        self._changed_devices.add(uuid)

    def put_away(self, alive: Set[Owner], unix: float) -> None:
        """Drop the totals of runs that were last charged more than the linger time ago and are saved.

        What is known of a run stays while it is alive.
        """
        for key, total in list(self.runs.items()):
            if unix - total.used_unix > LINGER_SECONDS and key not in self._changed_runs:
                del self.runs[key]
        shown = self.shown()
        for owner in self.cpu_seconds.keys() - shown - self._changed_owners:
            del self.cpu_seconds[owner]
        for owner in self.details.keys() - shown - self._changed_owners - alive:
            del self.details[owner]

    def shown(self) -> set[Owner]:
        """Owners that have a run series now."""
        return {owner for _, owner in self.runs}

    def ripen(self, unix: float) -> None:
        """Let roll-ups show their use from now on whose first minute is over."""
        for person, roll_up in self.people.items():
            if roll_up.zero_until_unix and not unix < roll_up.zero_until_unix <= unix + ROLL_UP_BIRTH_SECONDS:
                self.people[person] = roll_up._replace(zero_until_unix=0.0)
                self._changed_people.add(person)

    def people_shown(self, unix: float) -> dict[Person, Use]:
        """The roll-up as published at `unix`: 0 in its first minute, gone 30 days after its last use."""
        return {
            person: Use() if roll_up.zero_until_unix else roll_up.use
            for person, roll_up in self.people.items()
            if unix - roll_up.used_unix <= ROLL_UP_SHOWN_SECONDS
        }

    def take_begun(self) -> Set[OnDevice]:
        """Runs that were charged on a device since the last call, and had no total of it: the state may have one."""
        begun, self._begun = self._begun, set()
        return begun

    def changes(self) -> Changes:
        """What has to be saved; `settle` when it is."""
        return Changes(
            devices=_pick(self.devices, self._changed_devices),
            marks=_pick(self.marks, self._changed_devices),
            counts=_pick(self.counts, self._changed_counts),
            runs=dict(self._changed_runs),
            people=_pick(self.people, self._changed_people),
            cpu_seconds=_pick(self.cpu_seconds, self._changed_owners),
            details=_pick(self.details, self._changed_owners),
        )

    def settle(self) -> None:
        """All changes so far are saved."""
        self._changed_devices.clear()
        self._changed_counts.clear()
        self._changed_runs.clear()
        self._changed_people.clear()
        self._changed_owners.clear()

    def _charge(self, key: OnDevice, use: Use, unix: float) -> None:
        before = self.runs.get(key)
        if before is None:
            self._begun.add(key)
            before = _NO_TOTAL
        total, peak, _, sm_active = before
        self._set_run(key, RunTotal(total.plus(use), peak, unix, sm_active))

    def _set_run(self, key: OnDevice, total: RunTotal) -> None:
        self.runs[key] = self._changed_runs[key] = total

    def _enter_person(self, person: Person, use: Use, unix: float) -> None:
        total, _, zero_until_unix = self.people.get(person) or RollUp(Use(), unix, unix + ROLL_UP_BIRTH_SECONDS)
        self.people[person] = RollUp(total.plus(use), unix, zero_until_unix)
        self._changed_people.add(person)


def _pick(items: Mapping[K, V], keys: Iterable[K]) -> dict[K, V]:
    return {key: items[key] for key in keys if key in items}
