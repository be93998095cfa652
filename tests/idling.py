"""Runs that idle, for tests of telling: what one is now, and small worlds in which some come and go."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from gpuwatch.alert.plan import Digest, Local, Minute, Open, Record, Remind, Step, outcome_of, plan
from gpuwatch.alert.policy import AlertPolicy
from gpuwatch.model import Owner
from gpuwatch.model.judgement import IDLE, OK, SNOOZED, STUCK, Held, Judgement, RunNow
from gpuwatch.model.notice import DIGEST, FIRST, REMINDER, Notice, Told
from gpuwatch.units import MINUTE

BERLIN: Final = ZoneInfo("Europe/Berlin")
TUESDAY: Final = datetime(2026, 11, 17, 10, tzinfo=UTC).timestamp()
"""11 o'clock in Berlin."""


def local(unix: float) -> datetime:
    """On the clocks of Berlin."""
    return datetime.fromtimestamp(unix, BERLIN)


def at(*when: int, fold: int = 0) -> float:
    """A moment on the clocks of Berlin."""
    year, month, day, hour, minute = (*when, 0, 0)[:5]
    return datetime(year, month, day, hour, minute, tzinfo=BERLIN, fold=fold).timestamp()


def run_now(
    run: str = "wandb:a",
    *,
    user: str = "ann",
    node: str = "n1",
    kind: str = "batch",
    group: str = "",
    verdict: str = IDLE,
    minutes: float = 45,
    gpus: int = 8,
    now: float = TUESDAY,
    quiet: bool = False,
    push_after: float | None = None,
) -> RunNow:
    """A run that has had this verdict on all of its GPUs for some minutes."""
    wasted = 0.0 if verdict in (OK, SNOOZED) else minutes * MINUTE
    judgement = Judgement(verdict, now - wasted, wasted, wasted, 0.01, 70.0, 1.0, "no activity")
    devices = [Held(str(gpu), f"{node}-{run}-{gpu}", "H100", 1.0, 1 << 30, judgement) for gpu in range(gpus)]
    return RunNow(
        node, Owner(user, "", run), kind, "", "", "", group, now - wasted - 3600, 9000.0, 100.0, None, tuple(devices),
        quiet, push_after,
    )  # fmt: skip


class Spell(NamedTuple):
    """A run of a small world: from when until when it wastes its GPUs, in minutes, and what it does then."""

    run: str
    user: str
    node: str
    group: str
    kind: str
    verdict: str
    start: int
    end: int
    then: str
    """A verdict, or nothing where it ends."""
    gpus: int
    quiet: bool


def runs_at(spells: Iterable[Spell], start_unix: float, minute: int) -> tuple[RunNow, ...]:
    """The runs of a world as they are some minutes after its start. One is seen from its judgement on."""
    found = []
    for spell in spells:
        after = 10 if spell.verdict == STUCK else 15
        if spell.start + after <= minute < spell.end:
            verdict = spell.verdict
        elif minute >= spell.end and not spell.then:
            continue
        else:
            verdict = spell.then if minute >= spell.end else OK
        found.append(
            run_now(
                spell.run,
                user=spell.user,
                node=spell.node,
                kind=spell.kind,
                group=spell.group,
                verdict=verdict,
                minutes=minute - spell.start,
                gpus=spell.gpus,
                now=start_unix + minute * MINUTE,
                quiet=spell.quiet,
            )
        )
    return tuple(found)


class Memory:
    """A record in memory, as the durable one is to be."""

    def __init__(self) -> None:
        self.notices: dict[str, Notice] = {}
        self.told: list[Told] = []

    @property
    def record(self) -> Record:
        """What plans are made by."""
        return Record([notice for notice in self.notices.values() if notice.closed_unix is None], list(self.told))

    def take(self, steps: Sequence[Step], minute: Minute, policy: AlertPolicy) -> None:
        """Do as was planned."""
        for step in steps:
            notices = step.notices if isinstance(step, Digest) else (step.notice,)
            self.notices |= {notice.id: notice for notice in notices}
            if isinstance(step, Open | Remind | Digest):
                what = DIGEST if isinstance(step, Digest) else FIRST if isinstance(step, Open) else REMINDER
                first = notices[0]
                self.told.append(Told(minute.now_unix, first.user, first.id, what, outcome_of(policy)))
        self.see(minute)

    def see(self, minute: Minute) -> None:
        """Note what was seen wasted, as it is noted each minute."""
        from gpuwatch.alert.subject import subjects  # noqa: PLC0415

        found = {subject.key: subject for subject in subjects(minute.runs)}
        for notice in self.record.open:
            if notice.key in found:
                wasted = found[notice.key].wasted_gpu_seconds
                self.notices[notice.id] = notice._replace(seen_unix=minute.now_unix, wasted_gpu_seconds=wasted)


def play(
    spells: Sequence[Spell], policy: AlertPolicy, *, start_unix: float, minutes: Iterable[int], clocks: Local = local
) -> tuple[list[tuple[float, Step]], Memory]:
    """All steps of a world with their times, and the record at its end."""
    memory, steps = Memory(), []
    for number in minutes:
        minute = Minute(start_unix + number * MINUTE, runs_at(spells, start_unix, number))
        planned = plan(minute, memory.record, policy, local=clocks, place="n1")
        memory.take(planned, minute, policy)
        steps += [(minute.now_unix, step) for step in planned]
    return steps, memory
