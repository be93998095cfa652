"""Trackers and platforms that tell a process its run by a variable. One table: a new one is a row."""

from __future__ import annotations

import re
from typing import NamedTuple

from gpuwatch.attribute.case import Case, Claim, Confidence
from gpuwatch.attribute.text import checked, clean
from gpuwatch.units import base36

_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


class Tracker(NamedTuple):
    """How a tracker names its run."""

    source: str
    variable: str
    form: re.Pattern[str]
    """Of the variable's value: anything else makes no id."""
    name: str = ""
    """The variable with the run's name."""
    group: str = ""
    """The variable with the number of the experiment that the run is one of."""
    is_local: bool = False
    """Its ids begin anew with each start of its daemon: the node and that start are told with it."""


TRACKERS = (
    Tracker("clearml", "CLEARML_TASK_ID", re.compile("[0-9a-f]{32}")),
    Tracker("determined", "DET_TRIAL_ID", re.compile("[0-9]{1,12}"), group="DET_EXPERIMENT_ID"),
    Tracker("determined", "DET_TASK_ID", re.compile(rf"{_UUID}|[0-9]{{1,12}}\.{_UUID}")),
    Tracker("ray", "RAY_JOB_ID", re.compile("[0-9a-f]{8}"), is_local=True),
    Tracker("sagemaker", "TRAINING_JOB_NAME", re.compile("[A-Za-z0-9][A-Za-z0-9-]{0,62}")),
    Tracker("dstack", "DSTACK_RUN_ID", re.compile(_UUID), name="DSTACK_RUN_NAME"),
    Tracker("dstack", "DSTACK_RUN_NAME", re.compile("[a-z][a-z0-9-]{0,62}"), name="DSTACK_RUN_NAME"),
)
"""The most specific of each first. Source of the names: each one's documentation of environment variables."""
_NUMBER = re.compile("[0-9]{1,12}")


def tracker_rule(case: Case) -> Claim | None:
    """The run of the first tracker in the table that the environment at the process's exec names."""
    return next((claim for tracker in TRACKERS if (claim := _claim(case, tracker)) is not None), None)


def _claim(case: Case, tracker: Tracker) -> Claim | None:
    environment = case.traces.environment
    told = checked(environment.get(tracker.variable, ""), tracker.form)
    if not told:
        return None
    group = checked(environment.get(tracker.group, ""), _NUMBER)
    started = base36(max(0, int(case.root_started_unix)))
    run = f"{told}-{started}@{case.site.node}" if tracker.is_local else told
    return Claim(
        rule="tracker",
        evidence=f"{tracker.variable}={told}",
        confidence=Confidence.LIKELY,
        run=clean(f"{tracker.source}:{run}"),
        name=clean(environment.get(tracker.name, "")),
        group=f"{tracker.source}:experiment-{group}" if group else "",
    )
