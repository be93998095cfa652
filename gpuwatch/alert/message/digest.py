"""One message of many subjects: what the owner of several idle runs reads in place of a message for each. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gpuwatch.alert.message.blocks import WHOM, Content, Line, Message, rendered
from gpuwatch.alert.message.claim import how_many, name_of, state_of
from gpuwatch.alert.message.commands import answers, checks
from gpuwatch.alert.message.evidence import idle_gpus_of, mean_use, memory_held
from gpuwatch.alert.message.single import NOTHING_IS_STOPPED, as_of, history
from gpuwatch.alert.message.terms import Terms
from gpuwatch.alert.message.words import counted, moment
from gpuwatch.alert.subject import Subject, wasted_by
from gpuwatch.model.notice import Notice

_MOST: Final = 10


def digest(subjects: Sequence[Subject], *, terms: Terms, earlier: Sequence[Notice], now_unix: float) -> Message:
    """All subjects of one person, the dearest first. `earlier` are the person's notices before them."""
    dearest = sorted(subjects, key=lambda subject: (-subject.wasted_gpu_seconds, subject.key))
    idle = counted(len({held.uuid for subject in subjects for held in subject.wasted}), "GPU")
    wasted = terms.cost(sum(subject.wasted_gpu_seconds for subject in subjects))
    runs = counted(len({run.owner.run for subject in subjects for run in subject.runs if wasted_by(run)}), "run")
    return rendered(
        Content(
            title=f"Held and not used: {idle} of {runs}",
            opening=(WHOM, f", you hold {idle} that {runs} of yours do not use. So far {wasted}."),
            items=tuple(_item(subject, terms) for subject in dearest[:_MOST]),
            commands=(("Check them", "\n".join(checks(dearest))), *answers(dearest)),
            notes=(*_left_out(dearest), NOTHING_IS_STOPPED, history(earlier, terms), as_of(now_unix, terms)),
        )
    )


def _left_out(subjects: Sequence[Subject]) -> list[str]:
    more = len(subjects) - _MOST
    return [f"{more} more wasted less, and are left out here."] if more > 0 else []


def _item(subject: Subject, terms: Terms) -> Line:
    facts = (
        f"{how_many(subject)} {state_of(subject).lower()} since {moment(subject.since_unix, terms.zone)}",
        idle_gpus_of(subject),
        mean_use(subject),
        memory_held(subject),
        terms.cost(subject.wasted_gpu_seconds),
    )
    return (*name_of(subject), f": {'; '.join(facts)}")
