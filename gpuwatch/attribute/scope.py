"""The launch scope: over which processes a run spreads that one of them began. Pure.

Under data parallelism one rank begins the tracker's run, and the others are its siblings. Who only shares a shell with
them is a stranger.
"""

from __future__ import annotations

from collections.abc import Hashable

from gpuwatch.attribute.case import Case
from gpuwatch.attribute.command import command_of
from gpuwatch.attribute.place import Place, locate
from gpuwatch.attribute.rules.adhoc import is_launch_pad
from gpuwatch.attribute.rules.slurm import environment_of_job
from gpuwatch.model import Process

_RANKS = ("LOCAL_RANK", "RANK")
"""Variables that whoever starts a rank gives it."""
_SPAWNED = "--multiprocessing-fork"
"""An argument of what Python's `multiprocessing` spawns."""


def launch_scope(case: Case) -> Hashable:
    """What identifies the launch: processes are of one where it is equal.

    The identity of the nearest `torchrun` or its like; else the container; else the Slurm job and step; else whatever
    program started this process as a rank; else the process itself, which shares its scope with ranks that it starts.
    """
    launcher = _launcher(case)
    if launcher is not None:
        return launcher.identity
    place = locate(case.traces.cgroup)
    container = place.container or (case.container.id if case.container is not None else "")
    if container:
        return "container", container
    return _slurm_step(case, place) or _starter(case).identity


def _launcher(case: Case) -> Process | None:
    own = case.lineage.process.uid
    return next((one for one in case.lineage.members if one.uid == own and command_of(one).is_launcher), None)


def _slurm_step(case: Case, place: Place) -> Hashable | None:
    environment = environment_of_job(case.traces.environment, place)
    job = place.job or environment.get("SLURM_JOB_ID", "")
    step = place.step or environment.get("SLURM_STEP_ID", "")
    return ("slurm", job, step) if job and step else None


def _starter(case: Case) -> Process:
    """The parent that started the process as a rank, else itself. A shell or another user's program starts no ranks."""
    process, *ancestors = case.lineage.members
    is_rank = _SPAWNED in process.arguments or any(case.traces.environment.get(name) for name in _RANKS)
    for parent in ancestors[:1]:
        if is_rank and parent.uid == process.uid and not is_launch_pad(parent.name):
            return parent
    return process
