"""Who is told of a week's runs, and when: by gpuwatch's judgement and push, and by a plain rule on the same minutes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from random import Random
from typing import Final, NamedTuple

from benchmarks.week.acts import ACTS, Sample
from benchmarks.week.lives import WEEK_MINUTES, Life
from gpuwatch.alert.push import Push, due
from gpuwatch.alert.subject import subjects
from gpuwatch.judge.bins import DeviceMinute, Minutes
from gpuwatch.judge.clocks import Charge
from gpuwatch.judge.limits import Limits
from gpuwatch.judge.verdict import Circumstances, judge
from gpuwatch.model import Owner
from gpuwatch.model.judgement import Held, RunNow, Snooze
from gpuwatch.units import MINUTE

START_UNIX: Final = 1_794_182_400
"""A Monday's midnight."""
POWER_LIMIT: Final = 700.0
UNUSED_WATTS: Final = 70.0
PLAIN_MINUTES: Final = 15
PLAIN_BELOW: Final = 0.05


class Told(NamedTuple):
    """Somebody is told of some runs, and it stays true for a while. In minutes of the week."""

    start: int
    end: int


Shown = Mapping[str, Sequence[Sample] | None]
"""What the GPUs of some runs showed in a minute, by run; None where nothing was seen."""


def together(lives: Sequence[Life]) -> list[list[Life]]:
    """The runs that one message is about: of one sweep, or a single one."""
    by_key = sorted(lives, key=lambda life: life.group or life.run)
    return [list(members) for _, members in groupby(by_key, key=lambda life: life.group or life.run)]


def shown(lives: Sequence[Life], seed: int) -> Iterator[Shown]:
    """What the GPUs of some runs show, for every minute of the week in which any is there."""
    rows = {life.run: _samples(life, Random(f"{seed} {life.run}")) for life in lives}
    starts = {life.run: life.start for life in lives}
    for minute in range(WEEK_MINUTES):
        now = {run: next(rows[run], ()) for run, start in starts.items() if start <= minute}
        yield {run: samples for run, samples in now.items() if samples != ()}


def _samples(life: Life, dice: Random) -> Iterator[Sequence[Sample] | None]:
    minute = life.start
    for phase in life.phases:
        wasted, rest = ACTS[phase.act], ACTS[phase.rest or phase.act]
        for _ in range(phase.minutes):
            samples = [wasted(dice) if gpu < phase.wasted else rest(dice) for gpu in range(life.gpus)]
            yield None if any(start <= minute < end for start, end in life.unseen) else samples
            minute += 1


def by_gpuwatch(lives: Sequence[Life], seed: int) -> list[Told]:
    """When the owner of runs that belong together is told by judgement and push, at their defaults."""
    minutes = Minutes()
    for life in lives:
        for gpu in range(life.gpus):
            minutes.recall_idle_watts(_uuid(life, gpu), UNUSED_WATTS)
    return _spans(_is_due(lives, minutes, minute, now) for minute, now in enumerate(shown(lives, seed)))


def by_plain_rule(lives: Sequence[Life], seed: int) -> list[Told]:
    """When any of their GPUs was under 5 % in the mean of the last 15 min."""
    windows: dict[tuple[str, int], deque[float]] = {}

    def is_low(run: str, gpu: int, sample: Sample) -> bool:
        window = windows.setdefault((run, gpu), deque(maxlen=PLAIN_MINUTES))
        window.append(sample.use)
        return len(window) == PLAIN_MINUTES and sum(window) / PLAIN_MINUTES < PLAIN_BELOW

    return _spans(
        any([is_low(run, gpu, sample) for run, gpus in now.items() for gpu, sample in enumerate(gpus or ())])
        for now in shown(lives, seed)
    )


def _is_due(lives: Sequence[Life], minutes: Minutes, minute: int, now: Shown) -> bool:
    if not now:
        return False
    start = START_UNIX // MINUTE
    here = [life for life in lives if now.get(life.run)]
    charges, devices = {}, {}
    for life in here:
        for gpu, sample in enumerate(now[life.run] or ()):
            uuid = _uuid(life, gpu)
            charge = Charge(60.0, 60 * sample.use, 60 * sample.watts, 60 * sample.sm)
            charges[uuid, _owner(life)] = charge
            devices[uuid] = DeviceMinute(60.0, 60.0, charge.busy, charge.joules)
    limits = dict.fromkeys(devices, POWER_LIMIT)
    minutes.enter(start + minute, charges, devices, limits_of=lambda _: Limits(), power_limits=limits)
    found = subjects(_run_now(life, minutes, minute, now[life.run] or ()) for life in here)
    return any(due(subject, Push()).due for subject in found)


def _run_now(life: Life, minutes: Minutes, minute: int, samples: Sequence[Sample]) -> RunNow:
    now_unix, started_unix = START_UNIX + (minute + 1.0) * MINUTE, START_UNIX + life.start * MINUTE
    snooze = None
    if life.meant and life.meant[0] <= minute:
        snooze = Snooze(life.run, START_UNIX + life.meant[1] * MINUTE, "waiting for labels", "ann")
    held = []
    for gpu, sample in enumerate(samples):
        uuid = _uuid(life, gpu)
        about = Circumstances(now_unix, started_unix, sample.cores, not sample.process, snooze)
        judgement = judge(minutes.of((uuid, _owner(life))), Limits(), about)
        held.append(Held(str(gpu), uuid, "H100", 1.0, None, judgement))
    return RunNow(
        node="n7", owner=_owner(life), kind=life.kind, name="", url="", batch_job="", group=life.group,
        started_unix=started_unix, held_gpu_seconds=0.0, busy_gpu_seconds=0.0, cpu_cores=None, devices=tuple(held),
    )  # fmt: skip


def _spans(states: Iterator[bool]) -> list[Told]:
    """The stretches in which it is true."""
    spans, minute = [], 0
    for state, same in groupby(states):
        length = len(list(same))
        if state:
            spans.append(Told(minute, minute + length))
        minute += length
    return spans


def _owner(life: Life) -> Owner:
    return Owner("ann", "vision", life.run)


def _uuid(life: Life, gpu: int) -> str:
    return f"{life.run}/{gpu}"
