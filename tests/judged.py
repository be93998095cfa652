"""Stories of runs, told in minutes, and what the judgement thinks of them as they go on. The player judges nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, repeat
from typing import Final, NamedTuple

from gpuwatch.account.split import Stretch, split, unknown
from gpuwatch.alert.push import Push, due
from gpuwatch.alert.subject import subjects
from gpuwatch.judge.bins import DeviceMinute, LimitsOf, Minutes
from gpuwatch.judge.clocks import Charge
from gpuwatch.judge.limits import Limits
from gpuwatch.judge.overrides import Overrides, WeekTime
from gpuwatch.judge.verdict import Circumstances, judge
from gpuwatch.model import DeviceUse, OnDevice, Owner, RunTotal
from gpuwatch.model.judgement import Held, Judgement, RunNow, Snooze
from gpuwatch.units import DAY, MINUTE

MONDAY: Final = 1_794_182_400
"""A Monday's midnight, in seconds of UTC; the stories' node is in UTC."""
IDLE_WATTS: Final = 70.0
POWER_LIMIT: Final = 700.0
ME: Final = Owner("ann", "vision", "wandb:abc")
OTHER: Final = Owner("ben", "vision", "wandb:def")


@dataclass(frozen=True, slots=True)
class Doing:
    """What a run does on one device for some minutes."""

    minutes: int
    use: float | None = 0.0
    """Of the device; None where the driver does not tell."""
    sm: float | None = None
    """SM activity; None: what goes with such a use. 0 of a device that does not tell."""
    watts: float | None = None
    """Of the device; None: what goes with such a use. 0 where it does not tell."""
    cores: float = 0.0
    """CPU cores of the run, by its GPUs."""
    seen: float = 1.0
    """Part of each minute in which the agent saw the device."""
    other: float | None = None
    """Use by somebody else who is on the device; None: nobody is."""
    reserved: bool = False
    gone: bool = False
    """The run is not there."""

    @property
    def power(self) -> float:
        """Watts of the device."""
        used = (self.use or 0.0) + (self.other or 0.0)
        return IDLE_WATTS + 500 * used if self.watts is None else self.watts


def work(minutes: int, use: float = 0.95) -> Doing:
    """It computes."""
    return Doing(minutes, use)


def idle(minutes: int) -> Doing:
    """It holds the device and does nothing."""
    return Doing(minutes)


def unseen(minutes: int) -> Doing:
    """The agent sees nothing: it is down, or the driver hangs."""
    return Doing(minutes, seen=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A run from its start on, what is thought of it on its first GPU, when its owner is told, and why so."""

    title: str
    doing: tuple[Doing, ...]
    others: tuple[tuple[Doing, ...], ...] = ()
    """What it does on further GPUs."""
    gpus: int = 1
    """On so many it does the same."""
    kind: str = "batch"
    begins: float = 10.0
    """Hours after Monday's midnight."""
    capacity: float = 1.0
    shows_idle_power: bool = True
    """The device was seen unused before."""
    overrides: tuple[Mapping[str, object], ...] = ()
    snooze: tuple[int, int] | None = None
    """From which minute until which."""
    restarts: tuple[int, ...] = ()
    """After which minutes the agent starts anew."""
    clock_steps: Mapping[int, float] = field(default_factory=dict)
    """By how many seconds the clock is set, after which minute."""
    verdicts: Mapping[int, str]
    """From which minute on."""
    told: int | None
    """In which minute its owner is told; None for never."""
    why: str

    @property
    def devices(self) -> list[list[Doing]]:
        """What the run does on each device, minute by minute."""
        rows = [*repeat(self.doing, self.gpus), *self.others]
        return [list(chain.from_iterable(repeat(replace(one, minutes=1), one.minutes) for one in row)) for row in rows]


class Entry(NamedTuple):
    """A minute as it is charged."""

    minute: int
    charges: dict[OnDevice, Charge]
    devices: dict[str, DeviceMinute]


class Node:
    """The machine of a story: it keeps running totals and a record, as the agent does."""

    def __init__(self, story: Story) -> None:
        self._overrides = Overrides(story.overrides)
        self._kind = story.kind
        self._minutes = Minutes()
        self._runs: dict[OnDevice, RunTotal] = {}
        self._devices: dict[str, DeviceUse] = {}
        self._record: list[Entry] = []

    def limits_of(self, owner: Owner, unix: float) -> Limits:
        """The limits at a moment."""
        day, second = divmod(int(unix), DAY)
        return self._overrides.limits_for(owner, self._kind, WeekTime((day + 3) % 7, second // 60))

    def live(self, minute: int, doings: Sequence[Doing]) -> None:
        """A minute of all devices passes."""
        before = dict(self._runs), dict(self._devices)
        for number, doing in enumerate(doings):
            self._charge(str(number), doing)
        self._record.append(_grown(minute, before, (self._runs, self._devices)))
        limits_of, power_limits = self._known(minute, doings)
        self._minutes.close(minute, self._runs, self._devices, limits_of=limits_of, power_limits=power_limits)

    def restart(self, doings: Sequence[Doing]) -> None:
        """The agent starts anew, and knows what is on record."""
        self._minutes = Minutes()
        for minute, charges, devices in self._record:
            limits_of, power_limits = self._known(minute, doings)
            self._minutes.enter(minute, charges, devices, limits_of=limits_of, power_limits=power_limits)
        self._minutes.begin(self._runs, self._devices)

    def judged(self, number: int, owner: Owner, about: Circumstances) -> Judgement:
        """The verdict on a run on a device now."""
        return judge(self._minutes.of((str(number), owner)), self.limits_of(owner, about.now_unix), about)

    def _known(self, minute: int, doings: Sequence[Doing]) -> tuple[LimitsOf, dict[str, float]]:
        tell = {str(number): POWER_LIMIT for number, doing in enumerate(doings) if doing.watts != 0}
        return partial(self.limits_of, unix=minute * MINUTE), tell

    def _charge(self, uuid: str, doing: Doing) -> None:
        owners = [] if doing.gone else [ME] if doing.other is None else [ME, OTHER]
        shares = {ME: doing.use or 0.0, OTHER: doing.other or 0.0}
        seconds = 0.0 if doing.use is None else MINUTE * doing.seen
        stretch = Stretch(seconds, seconds * sum(shares.values()), seconds * doing.power)
        seen, unseen_part = split(stretch, owners, shares), unknown(Stretch(MINUTE - seconds, 0.0, 0.0))
        self._devices[uuid] = self._devices.get(uuid, DeviceUse()).plus(seen.device).plus(unseen_part.device)
        sm = 0.6 * (doing.use or 0.0) if doing.sm is None else doing.sm
        for owner, use in seen.charges.items():
            total = self._runs.get((uuid, owner), RunTotal())
            sm_active = total.sm_active + (sm * seconds if owner == ME else 0.0)
            self._runs[uuid, owner] = RunTotal(total.use.plus(use), sm_active=sm_active)


def _grown(
    minute: int,
    before: tuple[Mapping[OnDevice, RunTotal], Mapping[str, DeviceUse]],
    after: tuple[Mapping[OnDevice, RunTotal], Mapping[str, DeviceUse]],
) -> Entry:
    """What the record has of a minute."""
    charges = {}
    for key, total in after[0].items():
        was = before[0].get(key, RunTotal())
        held, busy, joules = (now - then for now, then in zip(total.use, was.use, strict=True))
        if held:
            charges[key] = Charge(held, busy, joules, total.sm_active - was.sm_active)
    devices = {}
    for uuid, use in after[1].items():
        first = before[1].get(uuid, DeviceUse())
        now, then = use.states, first.states
        held = now.active - then.active + now.idle - then.idle
        nobodys = now.free - then.free + now.unavailable - then.unavailable
        devices[uuid] = DeviceMinute(held + nobodys, held, use.busy - first.busy, use.joules - first.joules)
    return Entry(minute, charges, devices)


class Moment(NamedTuple):
    """What is thought after a minute of a story, by device, and what is said of telling somebody."""

    minute: int
    judgements: list[Judgement]
    due: bool
    why: str


def play(story: Story) -> Iterator[Moment]:
    """The story, minute by minute."""
    node, devices = Node(story), story.devices
    start = MONDAY + story.begins * 3600
    if story.shows_idle_power:
        node.live(int(start // MINUTE) - 1, [Doing(1, gone=True)] * len(devices))
    shift = 0.0
    for number, doings in enumerate(zip(*devices, strict=True), start=1):
        node.live(int((start + shift) // MINUTE) + number - 1, doings)
        shift += story.clock_steps.get(number, 0.0)
        if number in story.restarts:
            node.restart(doings)
        now = start + shift + number * MINUTE + 0.3
        judgements = [
            node.judged(place, ME, _about(story, start, now, doing))
            for place, doing in enumerate(doings)
            if not doing.gone
        ]
        found = subjects([_run_now(story, node.limits_of(ME, now), start, judgements)])
        told = due(found[0], Push()) if found else None
        yield Moment(number, judgements, told is not None and told.due, told.why if told else "nothing is wasted")


def _about(story: Story, start: float, now: float, doing: Doing) -> Circumstances:
    snooze = None
    if story.snooze and now >= start + story.snooze[0] * MINUTE:
        snooze = Snooze(ME.run, start + story.snooze[1] * MINUTE, "waiting for labels", "ann")
    return Circumstances(now, start, doing.cores, doing.reserved, snooze)


def _run_now(story: Story, limits: Limits, start: float, judgements: Sequence[Judgement]) -> RunNow:
    held = (
        Held(str(place), str(place), "H100", story.capacity, 1 << 30, judgement)
        for place, judgement in enumerate(judgements)
    )
    return RunNow(
        node="n7", owner=ME, kind=story.kind, name="", url="", batch_job="", group="", started_unix=start,
        held_gpu_seconds=0.0, busy_gpu_seconds=0.0, cpu_cores=None, devices=tuple(held),
        quiet=limits.quiet, push_after_seconds=limits.push_after,
    )  # fmt: skip


class Course(NamedTuple):
    """What a story came to."""

    verdicts: dict[int, str]
    """On its first GPU: from which minute on."""
    told: int | None
    reasons: dict[int, str]
    """Of the verdicts."""


def course(story: Story) -> Course:
    """The verdicts on the first GPU, as they change, and when somebody is told first."""
    verdicts: dict[int, str] = {}
    reasons: dict[int, str] = {}
    told = None
    for moment in play(story):
        if told is None and moment.due:
            told = moment.minute
        if moment.judgements:
            verdict = moment.judgements[0].verdict
            if not verdicts or verdicts[max(verdicts)] != verdict:
                verdicts[moment.minute], reasons[moment.minute] = verdict, moment.judgements[0].reason
    return Course(verdicts, told, reasons)
