"""Which run somebody means, and whether they may speak for it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from gpuwatch.attribute.expectation import Whose
from gpuwatch.attribute.text import checked

_PID: Final = re.compile(r"[1-9][0-9]{0,6}", re.ASCII)
_JOB: Final = re.compile(r"[0-9]{1,10}(?:_[0-9]{1,10})?|s[0-9A-Z]{13}")
"""A Slurm job, a task of an array, or a SLUID: nothing that could be an option."""


def slurm_job(run: str) -> str:
    """What Slurm's commands call the job that a run is, without the cluster; empty for any other run."""
    source, _, job = run.partition(":")
    return checked(job.rpartition("/")[2], _JOB) if source == "slurm" else ""


def pid_of(text: str) -> int | None:
    """The number of a process; None for any other text."""
    return int(text) if _PID.fullmatch(text) else None


def choose(text: str, known: Iterable[Whose], *, person: str | None, of_process: Whose | None = None) -> Whose | None:
    """The known run that `text` means, by its name or what stands behind the source in that; None where none is meant.

    Where `text` is the number of a process too, its run `of_process` may be meant as well. `person` may speak for their
    own runs, None for all. Raises ValueError where it is another's, or may be several.
    """
    # What is charged to no run of its own has no colon in its name.
    runs = {whose for whose in known if ":" in whose[1]}
    meant = {whose for whose in runs if whose == of_process or text in (whose[1], whose[1].partition(":")[2])}
    own = sorted(whose for whose in meant if person in (None, whose[0]))
    if len(own) > 1:
        raise ValueError(f"{text} may be {' or '.join(f'{run} of {user}' for user, run in own)}")
    if meant and not own:
        raise ValueError(f"{text} is no run of {person}: people speak for their own runs, and root for all")
    return own[0] if own else None
