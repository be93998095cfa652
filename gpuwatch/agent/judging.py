"""Judging what runs do, once a minute: the ledger's totals are cut into minutes, and each run on a device is judged.

A minute is what was charged in it, as in the state's bins: it is cut before the first reading of the next one.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from itertools import chain
from typing import Final, NamedTuple

from gpuwatch.account.ledger import Ledger
from gpuwatch.errors import DiskRefused
from gpuwatch.judge.bins import DeviceMinute, LimitsOf, Minutes
from gpuwatch.judge.clocks import Charge, Stretch
from gpuwatch.judge.limits import UNUSED_BELOW, Limits
from gpuwatch.judge.overrides import Overrides, WeekTime
from gpuwatch.judge.verdict import Circumstances, judge
from gpuwatch.model import DeviceUse, GpuReading, OnDevice, Owner, RunTotal
from gpuwatch.model.judgement import Judged, Judgement, Snoozes
from gpuwatch.state.recent import Recent
from gpuwatch.state.store import Store
from gpuwatch.units import HOUR, MINUTE

log = logging.getLogger(__name__)

CPU_MINUTES: Final = 5
"""The mean of a run's CPU cores is of so many."""
_RECALLED_MINUTES: Final = 2 * HOUR // MINUTE
"""Of what is further back only idleness is recalled: no other verdict needs more."""


class Scene(NamedTuple):
    """Who is on the devices, and what else is known at the moment of judging."""

    holding: Iterable[OnDevice]
    reserved: Mapping[str, Owner]
    """By uuid, who has a device from the scheduler and no process on it."""
    readings: Mapping[str, GpuReading]
    """By uuid. On a device that did not answer nothing has changed, as far as is known."""

    @property
    def power_limits(self) -> dict[str, float]:
        """In watts by uuid, of the devices that tell."""
        limits = {uuid: reading.condition.power_limit_watts for uuid, reading in self.readings.items()}
        return {uuid: watts for uuid, watts in limits.items() if watts is not None}


class _Totals(NamedTuple):
    """The ledger at one moment."""

    runs: dict[OnDevice, RunTotal]
    devices: dict[str, DeviceUse]
    cpu_seconds: dict[Owner, float]


class Judging:
    """The minutes of all runs, and the last judgement on each."""

    def __init__(self, ledger: Ledger, overrides: Overrides, store: Store | None) -> None:
        self._ledger = ledger
        self._overrides = overrides
        self._store = store
        self._minutes = Minutes()
        self._minute: int | None = None
        """The open one (unix time by 60); None before the first reading."""
        self._base = _Totals({}, {}, {})
        """As it began."""
        self._limits_of: LimitsOf = self._limits_at(0)
        """The limits in it."""
        self._cut: _Totals | None = None
        """As it ended, where that has not been judged yet."""
        self._cpu_seconds: deque[Mapping[Owner, float]] = deque(maxlen=CPU_MINUTES)
        """Of the newest minutes."""
        self._snoozes: Snoozes = {}
        self._judged = Judged()

    def cut(self, unix: float) -> None:
        """To be called before each reading: where it is the first of its minute, note how the last one ended."""
        if unix // MINUTE != self._minute:
            ledger = self._ledger
            self._cut = _Totals(dict(ledger.runs), dict(ledger.devices), dict(ledger.cpu_seconds))

    def add_past(self, past: Mapping[OnDevice, RunTotal]) -> None:
        """Some totals have grown by what the state has of runs that came back: that is not of this minute."""
        self._base.runs.update(past)

    def judge(self, scene: Scene, snoozes: Snoozes, *, unix: float) -> Judged:
        """The judgement on all runs: made anew at the first reading of a minute, and when snoozes have changed."""
        if self._cut is None and snoozes == self._snoozes:
            return self._judged
        if self._cut is not None:
            self._go_on(self._cut, scene.power_limits, int(unix // MINUTE))
            self._cut = None
        self._snoozes = snoozes
        self._judged = self._judge(scene, unix)
        return self._judged

    def _go_on(self, cut: _Totals, power_limits: Mapping[str, float], minute: int) -> None:
        """Close the open minute, and begin another one."""
        if self._minute is None:
            self._base, self._minute = cut, minute
            self._restore(power_limits)
            self._limits_of = self._limits_at(self._minute)
        if self._minute != minute:
            self._cpu_seconds.append(_growth(self._base.cpu_seconds, cut.cpu_seconds))
            self._minutes.begin(self._base.runs, self._base.devices)
            self._minutes.close(
                self._minute,
                cut.runs,
                cut.devices,
                limits_of=self._limits_of,
                power_limits=power_limits,
            )
            self._base, self._minute, self._limits_of = cut, minute, self._limits_at(minute)

    def _restore(self, power_limits: Mapping[str, float]) -> None:
        """Go on as if there had been no restart, by what the record has."""
        if self._store is None:
            return
        try:
            with self._store.recent() as recent:
                for uuid, watts in recent.idle_watts(used_below=UNUSED_BELOW).items():
                    self._minutes.recall_idle_watts(uuid, watts)
                if recent.on_device:
                    self._recall(recent, power_limits)
        except DiskRefused as error:
            log.error("%s; nothing is idle before it is seen to be so again", error)

    def _recall(self, recent: Recent, power_limits: Mapping[str, float]) -> None:
        """Enter the minutes of the runs that were on a device when the record ended, and go on in the open one."""
        first = recent.minute - _RECALLED_MINUTES
        limits_of = self._limits_at(first)
        for key, idle in recent.idle_before(first, lambda owner: limits_of(owner).idle_below).items():
            self._minutes.recall(key, first - 1, Stretch(*idle))
        for minute, then in recent.minutes(first):
            self._minutes.enter(
                minute,
                {key: Charge(*total.use, total.sm_active) for key, total in then.runs.items()},
                {uuid: _minute_of(use) for uuid, use in then.devices.items()},
                limits_of=self._limits_at(minute),
                power_limits=power_limits,
            )
            self._cpu_seconds.append(then.cpu_seconds)
        opened = recent.opened()
        self._base = _Totals(dict(opened.runs), dict(opened.devices), dict(opened.cpu_seconds))
        self._minute = recent.minute

    def _judge(self, scene: Scene, unix: float) -> Judged:
        keys = self._judged_in(scene)
        gpus = Counter(owner for _, owner in keys)
        limits = {owner: self._limits_of(owner) for owner in gpus}
        cores = {owner: mean for owner in gpus if (mean := self._cores(owner)) is not None}
        judgements: dict[OnDevice, Judgement] = {}
        for key in keys:
            uuid, owner = key
            about = Circumstances(
                now_unix=unix,
                started_unix=self._ledger.details[owner].started_unix,
                cores_per_gpu=cores[owner] / gpus[owner] if owner in cores else None,
                reserved=scene.reserved.get(uuid) == owner,
                snooze=self._snoozes.get((owner.user, owner.run)),
            )
            judgements[key] = judge(self._minutes.of(key), limits[owner], about)
        quiet = frozenset(owner for owner, its in limits.items() if its.quiet)
        push_after = {owner: its.push_after for owner, its in limits.items() if its.push_after is not None}
        return Judged(judgements, cores, quiet, push_after)

    def _judged_in(self, scene: Scene) -> list[OnDevice]:
        """Who holds a device, or did when it was last read; but what is no single run."""
        unread = self._ledger.marks.keys() - scene.readings.keys()
        before = (key for key in self._judged.judgements if key[0] in unread)
        return [key for key in dict.fromkeys(chain(scene.holding, before)) if key[1] in self._ledger.details]

    def _limits_at(self, minute: int) -> LimitsOf:
        """The limits of each run in a minute of unix time, as they are when they are first asked for."""
        clock = datetime.fromtimestamp(minute * MINUTE, UTC).astimezone()
        local = WeekTime(clock.weekday(), clock.hour * 60 + clock.minute)

        @cache
        def limits_of(owner: Owner) -> Limits:
            run = self._ledger.details.get(owner)
            return self._overrides.limits_for(owner, run.kind if run else "", local)

        return limits_of

    def _cores(self, owner: Owner) -> float | None:
        """The mean over the newest minutes; None where nothing is known of them."""
        known = [seconds for minute in self._cpu_seconds if (seconds := minute.get(owner)) is not None]
        return sum(known) / (len(known) * MINUTE) if known else None


def _growth(before: Mapping[Owner, float], now: Mapping[Owner, float]) -> dict[Owner, float]:
    """What has grown; nothing of what was not there before."""
    return {owner: seconds - before[owner] for owner, seconds in now.items() if owner in before}


def _minute_of(use: DeviceUse) -> DeviceMinute:
    active, idle, free, unavailable, _ = use.states
    return DeviceMinute(active + idle + free + unavailable, active + idle, use.busy, use.joules)
