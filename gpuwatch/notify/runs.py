"""From the evidence to the runs as alerts see them. Pure: the agents' verdicts are taken, and none is made here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from gpuwatch.alert.subject import WASTING
from gpuwatch.model.identity import Owner
from gpuwatch.model.judgement import (
    IDLE,
    KEPT_WARM,
    OK,
    RESERVED,
    SNOOZED,
    STUCK,
    UNDERUSED,
    Held,
    Judgement,
    RunNow,
)
from gpuwatch.notify.evidence import DEVICE, ON_DEVICE, RUN, Evidence, Growth, Key, key_of
from gpuwatch.report.prometheus.client import Labels
from gpuwatch.units import MINUTE

_FIRST: Final = (SNOOZED, STUCK, RESERVED, IDLE, KEPT_WARM, UNDERUSED, OK)
"""Where a node was scraped twice, and its verdict changed in between: this goes before."""
_WORDS: Final[Mapping[str, str]] = {
    IDLE: "not used for {}",
    RESERVED: "allocated for {} without a process",
    STUCK: "in full use, and at the power of an idle GPU, for {}",
}
_NOTHING: Final = Growth(None, None, None, None, None)


def runs_of(evidence: Evidence, now_unix: float) -> tuple[RunNow, ...]:
    """The runs that hold a device, by node and owner. One that is snoozed on any node is so on all of them."""
    verdicts = _verdicts(evidence.verdicts)
    snoozed = {_whose(key) for key, (_, verdict) in verdicts.items() if verdict == SNOOZED}
    devices: dict[Key, list[Held]] = defaultdict(list)
    for key, (gpu, verdict) in sorted(verdicts.items()):
        said = SNOOZED if verdict in WASTING and _whose(key) in snoozed else verdict
        devices[_run(key)].append(_held(evidence, key, gpu, _judgement(evidence, key, said, now_unix)))
    abouts = {key_of(labels, RUN): labels for labels in evidence.abouts}
    return tuple(_run_now(evidence, key, held, abouts.get(key, {})) for key, held in sorted(devices.items()))


def _verdicts(said: Iterable[Labels]) -> dict[Key, tuple[str, str]]:
    """(gpu, verdict) by ON_DEVICE."""
    known = [labels for labels in said if labels.get("verdict") in _FIRST]
    known.sort(key=lambda labels: -_FIRST.index(labels["verdict"]))
    return {key_of(labels, ON_DEVICE): (labels.get("gpu", ""), labels["verdict"]) for labels in known}


def _whose(key: Key) -> tuple[str, str]:
    _, _, user, _, run = key
    return user, run


def _run(key: Key) -> Key:
    node, _, *owner = key
    return node, *owner


def _held(evidence: Evidence, key: Key, gpu: str, judgement: Judgement) -> Held:
    at, memory = key[: len(DEVICE)], evidence.memory.get(key)
    return Held(
        gpu=gpu,
        uuid=key[1],
        model=evidence.models.get(at, ""),
        capacity=evidence.capacities.get(at, 1.0),
        memory_bytes=None if memory is None else int(memory),
        judgement=judgement,
    )


def _judgement(evidence: Evidence, key: Key, verdict: str, now_unix: float) -> Judgement:
    if verdict not in WASTING:
        return Judgement(verdict, now_unix, 0.0, 0.0, None, None, 1.0, "")
    seconds, grown = evidence.seconds.get(key, 0.0), evidence.growth.get(key, _NOTHING)
    seen, unknown = grown.seen or 0.0, grown.unknown or 0.0
    whole = seconds + unknown
    return Judgement(
        verdict=verdict,
        since_unix=now_unix - whole,
        idle_seconds=0.0 if verdict == STUCK else seconds,
        wasted_seconds=seconds * _share(grown),
        mean_use=min(1.0, grown.busy / grown.held) if grown.busy is not None and grown.held else None,
        mean_watts=grown.joules / (seen + unknown) if grown.joules is not None and seen else None,
        coverage=min(1.0, seen / whole) if whole else 0.0,
        reason=_WORDS[verdict].format(_span(seconds)),
    )


def _share(grown: Growth) -> float:
    """What is shared is wasted in part by each who holds it."""
    return min(1.0, grown.held / grown.seen) if grown.held is not None and grown.seen else 1.0


def _run_now(evidence: Evidence, key: Key, devices: list[Held], about: Labels) -> RunNow:
    node, user, project, run = key
    of_run = [(held, (node, held.uuid, user, project, run)) for held in devices]
    return RunNow(
        node=node,
        owner=Owner(user, project, run),
        kind=about.get("kind", ""),
        name=about.get("name", ""),
        url=about.get("url", ""),
        batch_job=about.get("batch_job", ""),
        group=about.get("group", ""),
        started_unix=evidence.starts.get(key, 0.0),
        held_gpu_seconds=sum(held.capacity * evidence.held.get(at, 0.0) for held, at in of_run),
        busy_gpu_seconds=sum(held.capacity * evidence.busy.get(at, 0.0) for held, at in of_run),
        cpu_cores=evidence.cores.get(key),
        devices=tuple(devices),
    )


def _span(seconds: float) -> str:
    return f"{int(seconds // MINUTE)} min"
