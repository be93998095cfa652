"""What is usually behind GPUs that are held and not used, by what is known of the run. Pure; the likeliest first."""

from __future__ import annotations

from typing import Final

from gpuwatch.alert.message.words import counted
from gpuwatch.alert.subject import Subject, wasted_by
from gpuwatch.model.judgement import RESERVED, STUCK, RunNow

_BUSY_CORES: Final = 0.5
"""From so many for each held GPU on, its CPUs are at work."""
_AT_ONCE_SECONDS: Final = 120
"""Who is idle from so soon after its start on has never used its GPUs."""


def likely_causes(subject: Subject) -> list[str]:
    """Each a sentence that says what to look at."""
    verdicts = {held.judgement.verdict for held in subject.wasted}
    if verdicts == {RESERVED}:
        return ["It has the GPUs from the scheduler, and no process on them: an allocation that was left open."]
    wasting = [run for run in subject.runs if wasted_by(run)]
    causes = list(_STUCK) if STUCK in verdicts else [_by_kind(wasting)]
    if 0 < subject.idle_gpus < subject.all_gpus and STUCK not in verdicts:
        used = counted(subject.all_gpus - subject.idle_gpus, "GPU")
        causes.append(
            f"It works on {used} and holds {subject.all_gpus}: ask for fewer, or look at its device settings."
        )
    elif STUCK not in verdicts and all(_never_used(run) for run in wasting):
        causes.append("It has not used them since it started: does the program see a GPU at all?")
    return causes


_STUCK: Final = (
    "A collective (NCCL) waits for a rank that died or never came: GPUs then show full use and compute nothing.",
    "A kernel spins for something that does not come: `py-spy dump --pid` shows where the program is.",
)


def _by_kind(runs: list[RunNow]) -> str:
    if any(run.kind == "interactive" for run in runs):
        return "A notebook's kernel or a shell outlives its last command: closing its page does not end it."
    cores = [run.cpu_cores for run in runs if run.cpu_cores is not None]
    if not cores:
        return "It hangs, waits for data or another process, or has finished and did not exit."
    gpus = sum(len(run.devices) for run in runs)
    if sum(cores) >= _BUSY_CORES * gpus:
        return f"Its CPUs are busy ({sum(cores):.1f} cores): it loads or prepares data, evaluates, or compiles."
    return (
        f"Its CPUs are quiet too ({sum(cores):.1f} cores): it hangs, waits for a file, the network or another rank, "
        "or has finished and did not exit."
    )


def _never_used(run: RunNow) -> bool:
    return all(held.judgement.since_unix - run.started_unix <= _AT_ONCE_SECONDS for held in run.devices)
