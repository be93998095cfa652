"""What a claim of idleness rests on: which GPUs, how much they did, what they hold. Pure."""

from __future__ import annotations

from statistics import fmean
from typing import Final

from gpuwatch.alert.message.words import by_number, gibibytes, listed, percent, plain
from gpuwatch.alert.subject import Subject, wasted_by
from gpuwatch.model.judgement import Held

_MOST_NODES: Final = 6
_WELL_SEEN: Final = 0.9


def nodes_of(subject: Subject) -> list[str]:
    """The nodes that its runs are on, as they can be shown."""
    return sorted({plain(run.node) for run in subject.runs})


def idle_by_node(subject: Subject) -> dict[str, list[str]]:
    """The indices of its idle GPUs, by node."""
    found: dict[str, set[str]] = {}
    for run in subject.runs:
        for held in wasted_by(run):
            found.setdefault(run.node, set()).add(held.gpu)
    return {node: by_number(gpus) for node, gpus in sorted(found.items())}


def idle_gpus_of(subject: Subject) -> str:
    """`n7 GPU 0, 1; n8 GPU 3`."""
    nodes = [f"{plain(node)} GPU {', '.join(map(plain, gpus))}" for node, gpus in idle_by_node(subject).items()]
    return listed(nodes, _MOST_NODES)


def seen_seconds(held: Held, now_unix: float) -> float:
    """For how long a device was seen to be wasted, alone or not."""
    judged = held.judgement
    return max(judged.idle_seconds, judged.coverage * (now_unix - judged.since_unix))


def is_well_seen(subject: Subject, now_unix: float) -> bool:
    """Whether next to all of the time since was seen: else nobody knows what was done in the rest."""
    return all(
        seen_seconds(held, now_unix) >= _WELL_SEEN * (now_unix - held.judgement.since_unix) for held in subject.wasted
    )


def mean_use(subject: Subject) -> str:
    """Mean use and power of its idle GPUs in the time that was judged, and how much of that time was seen."""
    judged = [held.judgement for held in subject.wasted]
    uses = [one.mean_use for one in judged if one.mean_use is not None]
    watts = [one.mean_watts for one in judged if one.mean_watts is not None]
    use = f"{percent(fmean(uses))} use" if uses else "use not known"
    power = f"{fmean(watts):,.0f} W a GPU" if watts else "power not known"
    return f"{use} and {power} on average, {percent(min(one.coverage for one in judged))} of that time seen"


def memory_held(subject: Subject) -> str:
    """By the runs, on the idle GPUs."""
    sizes = [held.memory_bytes for held in subject.wasted if held.memory_bytes is not None]
    if not sizes:
        return "not known"
    most = f", at most {gibibytes(max(sizes))} on one" if len(sizes) > 1 else ""
    return f"{gibibytes(sum(sizes))} on the idle GPUs{most}"
