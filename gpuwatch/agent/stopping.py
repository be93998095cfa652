"""How a run is stopped: who holds GPUs for it, and by which word to whom it ends. Pure: nothing is done here."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from gpuwatch.agent.explanation import Seen
from gpuwatch.agent.whose import slurm_job
from gpuwatch.attribute.case import Case
from gpuwatch.attribute.command import command_of
from gpuwatch.attribute.expectation import Whose
from gpuwatch.attribute.place import Place, locate
from gpuwatch.attribute.resolver import Verdict
from gpuwatch.attribute.text import checked, clean
from gpuwatch.model import Identity, Process
from gpuwatch.sense.process import TICKS_PER_SECOND

_ENGINES: Final = ("docker", "podman")
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")


class Holder(NamedTuple):
    """A process that is on a GPU for the run."""

    process: Process
    user: str
    command: str
    """The program, and what it was told to run; without arguments."""
    gpus: tuple[str, ...]
    since_seconds: float
    """When it was started, on the boot clock."""


class Signal(NamedTuple):
    """SIGINT, as by Ctrl-C, to a process."""

    process: Process


class Order(NamedTuple):
    """A command that makes its scheduler or container engine stop it."""

    words: tuple[str, ...]
    is_ours: bool = True
    """False where it is only told: whoever may do that is not known here."""


Step = Signal | Order


def runs_of(seen: Seen) -> set[Whose]:
    """The runs that hold GPUs, by person and name."""
    return {(seen.verdicts[pid].run.owner.user, seen.verdicts[pid].run.owner.run) for pid in _on_gpus(seen)}


def holders_of(seen: Seen, whose: Whose) -> dict[int, Holder]:
    """The processes by which a run holds GPUs, by pid."""
    return {pid: _holder(seen, pid) for pid in sorted(_on_gpus(seen)) if _is_of(seen.verdicts[pid], whose)}


def steps_for(seen: Seen, whose: Whose, *, uid: int, asking: Iterable[Identity]) -> list[Step]:
    """What is to be done, each once, by a user of this uid. `asking` are who asks and its ancestors: they are spared.

    Names that stand in an order are numbers, hex digits or checked, as all else of a run is its user's own text.
    """
    mine = holders_of(seen, whose)
    others = {pid: seen.cases[pid] for pid in _on_gpus(seen) if pid not in mine}
    spared = {*asking, *(member.identity for case in others.values() for member in case.lineage.members)}
    steps = (_step(seen, pid, others, uid=uid, spared=spared) for pid in mine)
    return list(dict.fromkeys(steps))


def _on_gpus(seen: Seen) -> set[int]:
    return {pid for pid in seen.verdicts if seen.gpus.get(pid)}


def _is_of(verdict: Verdict, whose: Whose) -> bool:
    return (verdict.run.owner.user, verdict.run.owner.run) == whose


def _holder(seen: Seen, pid: int) -> Holder:
    case = seen.cases[pid]
    process = case.lineage.process
    return Holder(process, case.user, named(process), seen.gpus[pid], process.identity.start_ticks / TICKS_PER_SECOND)


def named(process: Process) -> str:
    """A process as people know it, fit for a terminal and without its arguments."""
    command = command_of(process)
    return clean(f"{command.program} {command.entry}") or "?"


def _step(seen: Seen, pid: int, others: dict[int, Case], *, uid: int, spared: Collection[Identity]) -> Step:
    case, verdict = seen.cases[pid], seen.verdicts[pid]
    place = locate(case.traces.cgroup)
    if place.pod:
        return _pod_order(case, place)
    if job := _job(verdict, [seen.verdicts[other] for other in others]):
        # The number may be its user's own word: for root Slurm makes sure that the job is that user's.
        return Order(("scancel", *([f"--user={case.lineage.process.uid}"] if uid == 0 else []), job))
    # What a user called a container is not to make root stop another of that name.
    if place.container and place.runtime in _ENGINES and not (place.user and uid == 0):
        return Order((place.runtime, "stop", place.container))
    return Signal(_top(case, verdict, spared))


def _pod_order(case: Case, place: Place) -> Order:
    known = case.container
    namespace, name = (checked(text, _NAME) for text in ((known.namespace, known.pod) if known else ("", "")))
    where = ("--namespace", namespace, name) if namespace and name else (f"(the pod of uid {place.pod})",)
    return Order(("kubectl", "delete", "pod", *where), is_ours=False)


def _job(verdict: Verdict, others: Iterable[Verdict]) -> str:
    """The Slurm job that ends with the run; empty where it has none, or other runs or a person are in the job too."""
    job = verdict.run.batch_job
    if verdict.run.owner.run == job:
        return slurm_job(job)
    is_shared = any(other.run.batch_job == job for other in others)
    return "" if is_shared or verdict.run.kind == "interactive" else slurm_job(job)


def _top(case: Case, verdict: Verdict, spared: Collection[Identity]) -> Process:
    """The topmost process of its launch that is nobody else's: at the least the one that is on the GPU."""
    top, *ancestors = case.lineage.members
    ends = (verdict.run.root, case.root.identity)
    for ancestor in ancestors:
        if top.identity in ends or ancestor.uid != top.uid or ancestor.identity in spared:
            break
        top = ancestor
    return top
