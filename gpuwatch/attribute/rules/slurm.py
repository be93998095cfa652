"""Slurm's jobs, by cgroup and by environment. Source of the names: slurm.schedmd.com/sbatch.html, prolog_epilog.html.

The cgroup is Slurm's own word: where the environment speaks of another job, it was brought along from there. Without
such a cgroup (`proctrack/linuxproc`) the environment is all there is, and anybody can set a variable.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from gpuwatch.attribute.case import Case, Claim, Confidence
from gpuwatch.attribute.place import Place, locate, speaks_for_others
from gpuwatch.attribute.text import checked, clean

_NUMBER = re.compile("[0-9]{1,10}")
_INTERACTIVE = "interactive"
"""What Slurm calls the step of `salloc`, and its job where it was given no name."""
_INTERACTIVE_STEP = "4294967290"
"""The same step as a number: SLURM_INTERACTIVE_STEP of slurm.h."""


def slurm_rule(case: Case) -> Claim | None:
    """The job, with the array task that it is: `slurm:4711`, `slurm:4711_3`, or by SLUID where no number is known."""
    place = locate(case.traces.cgroup)
    environment = environment_of_job(case.traces.environment, place)
    said = checked(environment.get("SLURM_JOB_ID", ""), _NUMBER)
    job, array = said or place.job, _array(environment) if said else ("", "")
    if not job:
        return None
    run = job_id("_".join(array) if all(array) else job, case.site.slurm_cluster)
    return Claim(
        rule="slurm",
        evidence=" and ".join(_evidence(place, said)),
        confidence=Confidence.CERTAIN if job == place.job and not all(array) else Confidence.LIKELY,
        run=run,
        name=clean(environment.get("SLURM_JOB_NAME", "")),
        project=clean(environment.get("SLURM_JOB_ACCOUNT", "")),
        user=clean(environment.get("SLURM_JOB_USER", "")) if speaks_for_others(case) else "",
        kind="interactive" if _is_interactive(case, environment, place) else "",
        batch_job=run,
        group=job_id(array[0], case.site.slurm_cluster) if all(array) else "",
    )


def job_id(job: str, cluster: str) -> str:
    """The run of a job or array task (`4711_3`), with the cluster's name where one is configured."""
    return clean(f"slurm:{cluster}/{job}" if cluster else f"slurm:{job}")


def environment_of_job(environment: Mapping[str, str], place: Place) -> Mapping[str, str]:
    """The environment, if it can be of the job whose cgroup the process is in; else nothing."""
    by_number = _NUMBER.fullmatch(place.job)
    return {} if by_number and environment.get("SLURM_JOB_ID") != place.job else environment


def _array(environment: Mapping[str, str]) -> tuple[str, str]:
    job, task = (environment.get(f"SLURM_ARRAY_{part}_ID", "") for part in ("JOB", "TASK"))
    return checked(job, _NUMBER), checked(task, _NUMBER)


def _evidence(place: Place, said: str) -> list[str]:
    return [f"cgroup of job {place.job}"] * bool(place.job) + [f"SLURM_JOB_ID={said}"] * bool(said)


def _is_interactive(case: Case, environment: Mapping[str, str], place: Place) -> bool:
    names = (place.step, environment.get("SLURM_JOB_NAME"))
    step = environment.get("SLURM_STEP_ID") == _INTERACTIVE_STEP
    return case.traces.has_terminal or step or _INTERACTIVE in names
