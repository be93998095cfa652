"""Schedulers other than Slurm, by the environment of their jobs. One table: a new one is a row."""

from __future__ import annotations

import re
from typing import NamedTuple

from gpuwatch.attribute.case import Case, Claim, Confidence
from gpuwatch.attribute.text import clean


class Scheduler(NamedTuple):
    """How a scheduler names its job."""

    source: str
    variable: str
    form: re.Pattern[str]
    """Of the variable's value: its first group is the job, and anything else makes none."""
    name: str = ""
    """The variable with the job's name."""
    is_local: bool = False
    """The job is named as this node knows it."""


_PBS_JOB = re.compile(r"([0-9]{1,12}(?:\[[0-9]{0,10}\])?(?:\.[A-Za-z0-9.-]{1,64})?)")
_CONDOR_FILE = re.compile(r"(?:/[^/]{1,255}){0,32}/(dir_[0-9]{1,10})/\.job\.ad")
"""The folder that it is in is the job's own on this node."""
_FLUX_JOB = re.compile("\u0192?([1-9A-HJ-NP-Za-km-z]{1,16})")
"""With or without a hooked f in front (Flux RFC 19)."""
SCHEDULERS = (
    Scheduler("lsf", "LSB_JOBID", re.compile("([0-9]{1,12})"), "LSB_JOBNAME"),
    Scheduler("pbs", "PBS_JOBID", _PBS_JOB, "PBS_JOBNAME"),
    Scheduler("htcondor", "_CONDOR_JOB_AD", _CONDOR_FILE, is_local=True),
    Scheduler("flux", "FLUX_JOB_ID", _FLUX_JOB),
)


def scheduler_rule(case: Case) -> Claim | None:
    """The job of the first scheduler in the table that the environment at the process's exec names."""
    for scheduler in SCHEDULERS:
        told = scheduler.form.fullmatch(case.traces.environment.get(scheduler.variable, ""))
        if told is not None:
            return _claim(case, scheduler, told[1])
    return None


def _claim(case: Case, scheduler: Scheduler, job: str) -> Claim:
    run = clean(f"{scheduler.source}:{job}@{case.site.node}" if scheduler.is_local else f"{scheduler.source}:{job}")
    return Claim(
        rule="scheduler",
        evidence=f"{scheduler.variable} of job {job}",
        confidence=Confidence.LIKELY,
        run=run,
        name=clean(case.traces.environment.get(scheduler.name, "")),
        batch_job=run,
    )
