"""What is to be told now: each minute, from all runs and the record of what was told before. Pure.

It decides by the record alone, so that a restart changes nothing; and by runs in a fixed order, so that it does not
matter how they come in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from hashlib import blake2s
from types import MappingProxyType
from typing import Final, NamedTuple

from gpuwatch.alert.policy import AGENT, AlertPolicy
from gpuwatch.alert.push import Due, due
from gpuwatch.alert.subject import Subject, key_of, subjects
from gpuwatch.model.judgement import SNOOZED, STUCK, RunNow
from gpuwatch.model.notice import BUSY, CAP, ELSEWHERE, ENDED, HELD_BACK, SENT, SHADOW, SNOOZE, Notice, Told
from gpuwatch.units import HOUR, MINUTE

REMIND_AFTER: Final = (4 * HOUR, 24 * HOUR)
"""After the first message. Two reminders never follow each other sooner than the first followed it."""
REFRESH_SECONDS: Final = 30 * MINUTE
DIGEST_FROM: Final = 3
"""So many messages to a person at once are one."""
GONE_SECONDS: Final = 5 * MINUTE
"""Runs that have not been seen for so long have ended: a reading that fails is no end."""


class Minute(NamedTuple):
    """What there is to tell of at one moment."""

    now_unix: float
    runs: tuple[RunNow, ...]
    """Of all nodes that one who tells is responsible for."""
    unseen: frozenset[str] = frozenset()
    """Nodes of which nothing is known now: what was wasted on them is neither closed nor told."""
    elsewhere: Mapping[str, str] = MappingProxyType({})
    """By key, subjects that are not to be told of here, and why in words."""


class Record(NamedTuple):
    """What was told before."""

    open: Sequence[Notice] = ()
    """All notices that are not closed, at most one for a key."""
    told: Sequence[Told] = ()
    """All messages of at least the last day."""


class Open(NamedTuple):
    """Tell of it for the first time. Like in all steps, the notice is as it is afterwards."""

    notice: Notice
    subject: Subject


class Remind(NamedTuple):
    """Tell of it again."""

    notice: Notice
    subject: Subject

    @property
    def number(self) -> int:
        """Of the reminders of this notice, from 1."""
        return self.notice.told - 1


class Refresh(NamedTuple):
    """Edit the message: the figures have grown."""

    notice: Notice
    subject: Subject


class Close(NamedTuple):
    """It is over. Nobody may have been told of it."""

    notice: Notice


class HoldBack(NamedTuple):
    """Note that it is not told, and why not."""

    notice: Notice
    subject: Subject


class Digest(NamedTuple):
    """Tell of several in one message: of some for the first time, of others again."""

    notices: tuple[Notice, ...]
    subjects: tuple[Subject, ...]
    """Those of the notices, in the same order."""


Step = Open | Remind | Refresh | Close | HoldBack | Digest
Local = Callable[[float], datetime]
"""From seconds of UTC to the clocks of the people."""


def plan(minute: Minute, record: Record, policy: AlertPolicy, *, local: Local, place: str) -> list[Step]:
    """What is to be done now. `place` is whoever tells, by a name that is unique in the fleet."""
    known = {notice.key: notice for notice in record.open}
    found = subjects(minute.runs)
    steps: list[Step] = list(_closings(minute, known, {subject.key for subject in found}))
    told: dict[str, list[Open | Remind]] = {}
    for subject in found:
        notice = known.get(subject.key) or _first_seen(subject, minute.now_unix, place)
        step = _Decision(minute, policy, local(minute.now_unix)).on(notice, subject, is_new=subject.key not in known)
        if isinstance(step, Open | Remind):
            told.setdefault(subject.user, []).append(step)
        elif step is not None:
            steps.append(step)
    for user, messages in sorted(told.items()):
        left = policy.per_day - _told_today(record.told, user, policy, local, minute.now_unix)
        steps += _within_cap(messages, left, policy, known)
    return steps


class _Decision(NamedTuple):
    """What is to be done about one subject, as if it were the only one."""

    minute: Minute
    policy: AlertPolicy
    local: datetime

    def on(self, notice: Notice, subject: Subject, *, is_new: bool) -> Step | None:
        verdict = self._due(subject)
        if notice.told and not (notice.outcome == SHADOW and self.policy.mode == AGENT):
            return self._again(notice, subject, verdict)
        waits = notice.held == CAP and verdict.due and subject.verdict != STUCK and not self._at_work
        if verdict.due and not waits:
            return Open(self._opened(notice, subject, verdict), subject)
        if is_new or (notice.held != verdict.held and not waits):
            return HoldBack(_held(notice, subject, verdict, self.minute.now_unix), subject)
        return None

    @property
    def _at_work(self) -> bool:
        return self.policy.hours.covers(self.local)

    def _due(self, subject: Subject) -> Due:
        verdict = due(subject, self.policy.push)
        if verdict.due and subject.key in self.minute.elsewhere:
            return Due(False, self.minute.elsewhere[subject.key], ELSEWHERE)
        return verdict

    def _opened(self, notice: Notice, subject: Subject, verdict: Due) -> Notice:
        now = self.minute.now_unix
        return _seen(notice, subject, now)._replace(
            opened_unix=now,
            outcome=outcome_of(self.policy),
            why=verdict.why,
            held="",
            told=1,
            told_unix=now,
            refreshed_unix=now,
        )

    def _again(self, notice: Notice, subject: Subject, verdict: Due) -> Remind | Refresh | None:
        now = self.minute.now_unix
        if verdict.due and not notice.wrong and self._at_work and _is_reminder_due(notice, now):
            told = notice.told + 1
            return Remind(_seen(notice, subject, now)._replace(told=told, told_unix=now, refreshed_unix=now), subject)
        if not notice.digest and not 0 <= now - notice.refreshed_unix < REFRESH_SECONDS:
            return Refresh(_seen(notice, subject, now)._replace(refreshed_unix=now), subject)
        return None


def outcome_of(policy: AlertPolicy) -> str:
    """What becomes of messages."""
    return SENT if policy.mode == AGENT else SHADOW


def _first_seen(subject: Subject, now_unix: float, place: str) -> Notice:
    identity = blake2s(f"{place}\n{subject.key}\n{now_unix!r}".encode("utf-8", "replace"), digest_size=6).hexdigest()
    notice = Notice(identity, subject.key, subject.user, "", (), (), now_unix, HELD_BACK, "")
    return _seen(notice, subject, now_unix)


def _seen(notice: Notice, subject: Subject, now_unix: float) -> Notice:
    return notice._replace(
        verdict=subject.verdict,
        runs=tuple(dict.fromkeys(run.owner.run for run in subject.runs)),
        nodes=tuple(dict.fromkeys(run.node for run in subject.runs)),
        seen_unix=now_unix,
        wasted_gpu_seconds=subject.wasted_gpu_seconds,
    )


def _held(notice: Notice, subject: Subject, verdict: Due, now_unix: float) -> Notice:
    return _seen(notice, subject, now_unix)._replace(why=verdict.why, held=verdict.held)


def _is_reminder_due(notice: Notice, now_unix: float) -> bool:
    if notice.told > len(REMIND_AFTER):
        return False
    due_unix = notice.opened_unix + REMIND_AFTER[notice.told - 1]
    return now_unix >= max(due_unix, notice.told_unix + REMIND_AFTER[0])


def _closings(minute: Minute, known: Mapping[str, Notice], found: set[str]) -> Iterator[Close]:
    present: dict[str, list[RunNow]] = {}
    for run in minute.runs:
        present.setdefault(key_of(run), []).append(run)
    for key, notice in sorted(known.items()):
        runs = present.get(key, ())
        away = set(notice.nodes) - {run.node for run in runs}
        if key in found or minute.unseen & away:
            continue
        if runs or not 0 <= minute.now_unix - notice.seen_unix < GONE_SECONDS:
            reason = _reason(runs, minute.now_unix - notice.opened_unix)
            if reason:
                yield Close(notice._replace(closed_unix=minute.now_unix, close_reason=reason))


def _reason(runs: Sequence[RunNow], open_seconds: float) -> str:
    """Why it is over; empty where it is not: only the limits have changed, as they do with the hour."""
    if not runs:
        return ENDED
    judgements = [held.judgement for run in runs for held in run.devices]
    if any(one.verdict == SNOOZED for one in judgements):
        return SNOOZE
    return "" if any(one.idle_seconds >= open_seconds > 0 for one in judgements) else BUSY


def _told_today(told: Sequence[Told], user: str, policy: AlertPolicy, local: Local, now_unix: float) -> int:
    """How many messages the person has had on this day of the calendar, which may have 23 or 25 hours."""
    today = local(now_unix).date()
    outcome = outcome_of(policy)
    return sum(one.user == user and one.outcome == outcome and local(one.unix).date() == today for one in told)


def _within_cap(
    messages: Sequence[Open | Remind], left: int, policy: AlertPolicy, known: Mapping[str, Notice]
) -> Iterator[Step]:
    """The messages to one person, of which only so many are left today: what is more than that becomes one."""
    if left <= 0:
        yield from (_capped(one, policy, known.get(one.notice.key)) for one in messages if _may_be_capped(one, known))
    elif len(messages) >= DIGEST_FROM or len(messages) > left:
        yield from _together(messages, left)
    else:
        yield from messages


def _together(messages: Sequence[Open | Remind], left: int) -> Iterator[Step]:
    """One message of many. What has a message of its own is only named in it: it is edited and closed in its own."""
    own = [one for one in messages if isinstance(one, Remind) and not one.notice.digest]
    moved = [one for one in messages if one not in own]
    if not moved:
        yield from own[:left]
        return
    first = moved[0].notice.id
    notices = (*(one.notice._replace(digest=first) for one in moved), *(one.notice for one in own))
    yield Digest(notices, tuple(one.subject for one in (*moved, *own)))


def _may_be_capped(step: Open | Remind, known: Mapping[str, Notice]) -> bool:
    """A reminder waits without a word, and so does what is held back for this already."""
    before = known.get(step.notice.key)
    return isinstance(step, Open) and (before is None or before.held != CAP)


def _capped(step: Open | Remind, policy: AlertPolicy, before: Notice | None) -> HoldBack:
    now = step.notice.opened_unix
    notice = step.notice._replace(
        opened_unix=now if before is None else before.opened_unix,
        outcome=HELD_BACK,
        why=f"{step.notice.why}; {policy.per_day} messages today already",
        held=CAP,
        told=0,
        told_unix=0.0,
        refreshed_unix=0.0,
    )
    return HoldBack(notice, step.subject)
