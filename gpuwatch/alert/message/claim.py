"""The claim that a run does not use its GPUs, in a sentence, and the figures under it. Pure."""

from __future__ import annotations

from typing import Final

from gpuwatch.alert.message.blocks import WHOM, Line, Link, Strong
from gpuwatch.alert.message.evidence import idle_gpus_of, is_well_seen, mean_use, memory_held, nodes_of, seen_seconds
from gpuwatch.alert.message.terms import Terms
from gpuwatch.alert.message.words import counted, listed, moment, percent, plain, span, web_link
from gpuwatch.alert.subject import Subject
from gpuwatch.model.judgement import RESERVED, STUCK

_MOST_NAMES: Final = 3


def name_of(subject: Subject) -> Line:
    """Its run with its link, or its array or sweep and how many runs of it there are."""
    names = sorted({run.owner.run for run in subject.runs})
    if len(names) > 1:
        return (f"your {len(names)} runs of ", Strong(plain(subject.group)), f" ({names_of(names)})")
    run = max(subject.runs, key=lambda run: (bool(web_link(run.url)), bool(run.name)))
    called, link = plain(run.name or names[0]), web_link(run.url)
    identity = f" ({plain(names[0])})" if run.name else ""
    return ("your run ", Link(called, link) if link else Strong(called), identity)


def names_of(runs: tuple[str, ...] | list[str]) -> str:
    """The first of some runs, and how many there are more."""
    return listed([plain(run) for run in runs], _MOST_NAMES)


def state_of(subject: Subject) -> str:
    """`Idle`, `Stuck`, or that some of its GPUs are the one and some the other."""
    if subject.verdict != STUCK:
        return "Idle"
    return "Stuck" if all(held.judgement.verdict == STUCK for held in subject.wasted) else "Stuck or idle"


def how_many(subject: Subject) -> str:
    """`4 of 8 GPUs`."""
    return f"{subject.idle_gpus} of {counted(subject.all_gpus, 'GPU')}"


def how_long(subject: Subject, now_unix: float) -> str:
    """Since the first of its GPUs is wasted; where little of that was seen, for how long it was seen to be."""
    if is_well_seen(subject, now_unix):
        return span(now_unix - subject.since_unix)
    return span(max(seen_seconds(held, now_unix) for held in subject.wasted))


def title(subject: Subject, now_unix: float) -> str:
    """The claim in short."""
    return f"{state_of(subject)}: {how_many(subject)} for {how_long(subject, now_unix)}"


def claim(subject: Subject, terms: Terms, now_unix: float) -> Line:
    """To the person: which run, where, how many of its GPUs, and since when."""
    where = listed(nodes_of(subject), _MOST_NAMES)
    since = f"since {moment(subject.since_unix, terms.zone)}"
    if not is_well_seen(subject, now_unix):
        since = f"as far as it was seen {since}"
    return (
        WHOM, ", ", *name_of(subject),
        f", on {where}: {how_many(subject)} {'is' if subject.idle_gpus == 1 else 'are'} held {_what(subject)} "
        f"{since}.",
    )  # fmt: skip


def _what(subject: Subject) -> str:
    verdicts = {held.judgement.verdict for held in subject.wasted}
    if STUCK in verdicts:
        rest = "" if verdicts == {STUCK} else ", or not used"
        return f"and stuck (in full use, at the power of an idle GPU){rest},"
    return "without a process" if verdicts == {RESERVED} else "and not used"


def facts(subject: Subject, terms: Terms, now_unix: float) -> list[tuple[str, str]]:
    """What the claim rests on, and what it costs, each with what it is."""
    held = sum(run.held_gpu_seconds for run in subject.runs)
    busy = sum(run.busy_gpu_seconds for run in subject.runs)
    share = f", {percent(busy / held)} of it used" if held else ""
    state = state_of(subject)
    return [
        (f"{state} GPUs", f"{subject.idle_gpus} of {subject.all_gpus}: {idle_gpus_of(subject)}"),
        ("Since", f"{moment(subject.since_unix, terms.zone)}, {span(now_unix - subject.since_unix)}"),
        ("Seen", mean_use(subject)),
        ("Judged", plain(subject.wasted[0].judgement.reason, 300)),
        ("Memory held", memory_held(subject)),
        (f"{state} so far", terms.cost(subject.wasted_gpu_seconds)),
        ("Held in all", f"{terms.cost(held)}{share}"),
    ]
