"""The letters that a step of the plan takes: what is posted, edited, and put into the thread. Pure.

A letter's id is that of its notice and what it says: a step that is planned twice makes the same letters.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from gpuwatch.alert.message import Message, Terms, closed, closing, digest, opening, reminder
from gpuwatch.alert.plan import Close, Digest, Open, Refresh, Remind, Step
from gpuwatch.model.notice import SENT, Notice
from gpuwatch.model.outbox import POST, THREAD, UPDATE, Letter


def letters_of(step: Step, earlier: Sequence[Notice], *, terms: Terms, now_unix: float) -> list[Letter]:
    """The letters, in the order in which they are to be sent; none of what is held back, or was never told.

    `earlier` are the notices that the person was told of, among which those of the step may be.
    """
    match step:
        case Open(notice, subject):
            message = opening(subject, terms=terms, earlier=_others(earlier, [notice]), now_unix=now_unix)
            return [_letter(notice, POST, f"first-{notice.told_unix:.0f}", message, now_unix)]
        case Refresh(notice, subject):
            message = opening(subject, terms=terms, earlier=_others(earlier, [notice]), now_unix=now_unix)
            return [_letter(notice, UPDATE, f"refresh-{now_unix:.0f}", message, now_unix)]
        case Remind(notice, subject):
            message = reminder(subject, terms=terms, now_unix=now_unix)
            return [_letter(notice, THREAD, f"reminder-{step.number}", message, now_unix)]
        case Digest(notices, subjects):
            others = _others(earlier, notices)
            message = digest(subjects, terms=terms, earlier=others, now_unix=now_unix)
            return [_letter(notices[0], POST, f"digest-{notices[0].told_unix:.0f}", message, now_unix)]
        case Close(notice) if notice.told and notice.outcome == SENT:
            return _closing(notice, terms, now_unix)
    return []


def _closing(notice: Notice, terms: Terms, now_unix: float) -> list[Letter]:
    """What stands in a digest is closed by a line under it: the others in it may go on."""
    letters = [_letter(notice, THREAD, f"closing-{notice.id}", closing(notice, terms=terms), now_unix)]
    if not notice.digest:
        letters.insert(0, _letter(notice, UPDATE, "closed", closed(notice, terms=terms), now_unix))
    return letters


def _letter(notice: Notice, action: str, what: str, message: Message, now_unix: float) -> Letter:
    return Letter(
        id=f"{notice.conversation}-{what}",
        notice=notice.conversation,
        action=action,
        user=notice.user,
        text=message.text,
        blocks=json.dumps(message.blocks),
        queued_unix=now_unix,
    )


def _others(earlier: Sequence[Notice], own: Sequence[Notice]) -> list[Notice]:
    ids = {notice.id for notice in own}
    return [notice for notice in earlier if notice.id not in ids]
