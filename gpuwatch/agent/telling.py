"""Telling people, minute by minute: what is planned is noted, and with it the letters that it takes. Sends nothing.

The agent does so for its node, and the fleet's receiver for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gpuwatch.alert.plan import Close, Digest, Local, Minute, Open, Record, Remind, Step, outcome_of, plan
from gpuwatch.alert.policy import AlertPolicy
from gpuwatch.alert.subject import Subject, subjects
from gpuwatch.model.notice import DIGEST, FIRST, HELD_BACK, REMINDER, Notice, Told
from gpuwatch.model.outbox import POST, Letter
from gpuwatch.state.notices import Notices
from gpuwatch.state.outbox import Outbox
from gpuwatch.units import HOUR

DAY_AND_MORE: Final = 26 * HOUR
"""The longest day of a calendar, and an hour."""
MOST_EARLIER: Final = 100
"""Of a person's notices before, so many are told of at most."""

Compose = Callable[[Step, Sequence[Notice], float], Sequence[Letter]]
"""The letters of a step, by what the person was told before, at a time."""
Elsewhere = Callable[[Sequence[Subject], float], Mapping[str, str]]
"""By key, those of some subjects that are not to be told of here, and why in words."""


@dataclass(frozen=True, slots=True)
class Way:
    """How people are told, where they are."""

    compose: Compose
    ask_elsewhere: Elsewhere | None = None
    """Asked before somebody is told of something for the first time; it may take its time."""


class Telling:
    """Who tells, for as long as it runs. All it knows is on the disk. Without a `way` it is only noted."""

    def __init__(
        self, notices: Notices, outbox: Outbox, policy: AlertPolicy, *, local: Local, place: str, way: Way | None = None
    ) -> None:
        self._notices = notices
        self._outbox = outbox
        self._policy = policy
        self._local = local
        self._place = place
        self._way = way

    def tell(self, minute: Minute) -> list[Step]:
        """Plan a minute, and note it. Raises DiskRefused, and then nothing of it is told."""
        record = Record(self._notices.open(), self._notices.told_since(minute.now_unix - DAY_AND_MORE))
        steps = self._without_unsent(self._planned(minute, record), record.open)
        now = minute.now_unix
        noted = {subject.key: subject.wasted_gpu_seconds for subject in subjects(minute.runs)}
        self._notices.record(
            [notice for step in steps for notice in _notices(step)],
            [told for step in steps for told in _told(step, outcome_of(self._policy), now)],
            [letter for step in steps for letter in self._letters(step, now)],
        )
        self._notices.note_seen(
            {notice.id: noted[notice.key] for notice in record.open if notice.key in noted}, unix=now
        )
        return steps

    def _planned(self, minute: Minute, record: Record) -> list[Step]:
        steps = self._plan(minute, record)
        if self._way is None or self._way.ask_elsewhere is None:
            return steps
        new = [subject for step in steps for subject in _first_told(step)]
        elsewhere = self._way.ask_elsewhere(new, minute.now_unix) if new else {}
        return self._plan(minute._replace(elsewhere=elsewhere), record) if elsewhere else steps

    def _plan(self, minute: Minute, record: Record) -> list[Step]:
        return plan(minute, record, self._policy, local=self._local, place=self._place)

    def _letters(self, step: Step, now_unix: float) -> Sequence[Letter]:
        if self._way is None:
            return ()
        users = {notice.user for notice in _notices(step)}
        earlier = [notice for user in users for notice in self._notices.earlier(user, most=MOST_EARLIER)]
        letters = self._way.compose(step, earlier, now_unix)
        return [fit for letter in letters if (fit := self._fitting(letter, step)) is not None]

    def _fitting(self, letter: Letter, step: Step) -> Letter | None:
        """Where the message was given up, a reminder takes its place, and there is nothing to edit or to add to."""
        if letter.action == POST or self._outbox.has_message(letter.notice):
            return letter
        return letter._replace(action=POST) if isinstance(step, Remind) else None

    def _without_unsent(self, steps: Sequence[Step], known: Sequence[Notice]) -> list[Step]:
        """What is all over before Slack has taken a word of it is not told any more."""
        over = {step.notice.id: step.notice.conversation for step in steps if isinstance(step, Close)}
        goes_on = {notice.conversation for notice in known if notice.id not in over}
        unsent = {one for one in sorted({*over.values()} - goes_on) if self._outbox.withdraw(one)}
        return [
            _never_told(step) if isinstance(step, Close) and step.notice.conversation in unsent else step
            for step in steps
        ]


def _never_told(step: Close) -> Close:
    return Close(step.notice._replace(outcome=HELD_BACK, told=0, why="it was over before Slack was reached"))


def _notices(step: Step) -> Sequence[Notice]:
    return step.notices if isinstance(step, Digest) else (step.notice,)


def _told(step: Step, outcome: str, now_unix: float) -> Iterator[Told]:
    if isinstance(step, Open | Remind | Digest):
        what = DIGEST if isinstance(step, Digest) else FIRST if isinstance(step, Open) else REMINDER
        first = _notices(step)[0]
        yield Told(now_unix, first.user, first.id, what, outcome)


def _first_told(step: Step) -> Iterator[Subject]:
    if isinstance(step, Open):
        yield step.subject
    elif isinstance(step, Digest):
        yield from (subject for notice, subject in zip(step.notices, step.subjects, strict=True) if notice.told == 1)
