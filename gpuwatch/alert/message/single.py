"""The messages of one notice: the first, which is edited as it goes on, reminders, and the words at its end. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gpuwatch.alert.message.blocks import WHOM, Content, Message, Strong, rendered
from gpuwatch.alert.message.causes import likely_causes
from gpuwatch.alert.message.claim import claim, facts, how_long, how_many, name_of, names_of, state_of, title
from gpuwatch.alert.message.commands import answers, commands
from gpuwatch.alert.message.terms import Terms
from gpuwatch.alert.message.words import clock, counted, listed, moment, plain
from gpuwatch.alert.subject import Subject
from gpuwatch.model.notice import BUSY, ENDED, SNOOZE, Notice

NOTHING_IS_STOPPED: Final = "Nothing is stopped automatically. It shows in Monday's report."
_ENDS: Final = {BUSY: "busy again since", SNOOZE: "said to be meant at"}
_MOST_NODES: Final = 3


def opening(subject: Subject, *, terms: Terms, earlier: Sequence[Notice], now_unix: float) -> Message:
    """The first message, and what stands in its place as it goes on. `earlier` are the person's notices before it."""
    notes = (NOTHING_IS_STOPPED, history(earlier, terms, key=subject.key), as_of(now_unix, terms))
    return rendered(
        Content(
            title=title(subject, now_unix),
            opening=claim(subject, terms, now_unix),
            facts=tuple(facts(subject, terms, now_unix)),
            causes=tuple(likely_causes(subject)),
            commands=tuple(commands(subject)),
            notes=notes,
        )
    )


def reminder(subject: Subject, *, terms: Terms, now_unix: float) -> Message:
    """In the thread of the first message: it goes on."""
    state, wasted = state_of(subject).lower(), terms.cost(subject.wasted_gpu_seconds)
    verb = "is" if len({run.owner.run for run in subject.runs}) == 1 else "are"
    goes_on = f" {verb} still {state}: {how_many(subject)}, for {how_long(subject, now_unix)}. So far {wasted}."
    return rendered(
        Content(
            title="",
            opening=(WHOM, ", ", *name_of(subject), goes_on),
            commands=tuple(answers([subject])),
            notes=(NOTHING_IS_STOPPED,),
        )
    )


def closing(notice: Notice, *, terms: Terms) -> Message:
    """In the thread: it is over, and what it cost."""
    cost = terms.cost(notice.wasted_gpu_seconds)
    return rendered(Content("", (f"closed: {names_of(notice.runs)}, {_end(notice, terms)}; it cost {cost}",)))


def closed(notice: Notice, *, terms: Terms) -> Message:
    """What stands in the place of the first message when it is over."""
    where = listed([plain(node) for node in notice.nodes], _MOST_NODES)
    cost = terms.cost(notice.wasted_gpu_seconds)
    told = f"First told {moment(notice.opened_unix, terms.zone)}, {counted(notice.told, 'time')} in all."
    return rendered(
        Content(
            title=f"Closed: {_end(notice, terms)}",
            opening=(
                WHOM, ": ", Strong(names_of(notice.runs)), f" on {where} was {plain(notice.verdict)}. It cost {cost}.",
            ),
            notes=(*_called_wrong(notice), told, NOTHING_IS_STOPPED),
        )
    )  # fmt: skip


def history(earlier: Sequence[Notice], terms: Terms, *, key: str = "") -> str:
    """The notices that the person had before, and how many of them were of the subject of this `key`."""
    if not earlier:
        return "Earlier notices to you: none."
    by_time = sorted(earlier, key=lambda notice: (notice.opened_unix, notice.id))
    first, last = by_time[0], by_time[-1]
    about = f"{names_of(last.runs)}, {terms.cost(last.wasted_gpu_seconds)}"
    parts = [
        f"Earlier notices to you: {len(earlier)} since {moment(first.opened_unix, terms.zone)}",
        f"the last {moment(last.opened_unix, terms.zone)}, of {about}",
    ]
    same, wrong = sum(notice.key == key for notice in earlier), sum(bool(notice.wrong) for notice in earlier)
    parts += [f"{same} of this run"] if same else []
    parts += [f"{wrong} called wrong"] if wrong else []
    return "; ".join(parts) + "."


def as_of(now_unix: float, terms: Terms) -> str:
    """Of which moment the figures are."""
    return f"As of {moment(now_unix, terms.zone)}."


def _called_wrong(notice: Notice) -> list[str]:
    return [f"Called a false alarm: {plain(notice.wrong, 200)}."] if notice.wrong else []


def _end(notice: Notice, terms: Terms) -> str:
    if notice.close_reason == ENDED:  # it is noticed later, after a standstill of who tells much later
        return f"ended after {moment(notice.seen_unix, terms.zone)}"
    at = notice.opened_unix if notice.closed_unix is None else notice.closed_unix
    return f"{_ENDS.get(notice.close_reason, 'over since')} {clock(at, terms.zone)}"
