"""When somebody is told: late, and only of what is surely wasted. Pure; verdicts are given, and not judged again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from gpuwatch.alert.subject import Subject, gpu_seconds_of, longest_of, wasted_by
from gpuwatch.model.judgement import STUCK, RunNow
from gpuwatch.model.notice import EARLY, QUIET, SERVICE
from gpuwatch.units import HOUR, MINUTE

_KIND_SERVICE: Final = "service"
_KIND_INTERACTIVE: Final = "interactive"


@dataclass(frozen=True, slots=True)
class Push:
    """How much has to be wasted before its owner is told. Durations in seconds."""

    after: float = 30 * MINUTE
    interactive_after: float = 2 * HOUR
    """Of a notebook or a shell, whose person may be thinking."""
    stuck_after: float = 10 * MINUTE
    gpu_seconds: float = HOUR
    """Of whole GPUs, on all devices together: 8 GPUs are told after 30 min, one after 60."""


class Due(NamedTuple):
    """Whether somebody is to be told, and why or why not."""

    due: bool
    why: str
    """Of what is not due the same as long as the reason is."""
    held: str = ""
    """Why not, as a code of `gpuwatch.model.notice`; empty of what is due."""


def due(subject: Subject, push: Push) -> Due:
    """Whether the owner of a subject is to be told of it now.

    What is stuck is told at any hour: it computes nothing, and only its owner can end it.
    """
    stuck = longest_of(held for held in subject.wasted if held.judgement.verdict == STUCK)
    if stuck >= push.stuck_after:
        return Due(True, f"stuck: {_of(subject)} for {_span(stuck)}")
    asked = [run for run in subject.runs if wasted_by(run) and run.kind != _KIND_SERVICE]
    if not asked:
        return Due(False, "a service waits for questions: it is only in the report", SERVICE)
    asked = [run for run in asked if not run.quiet]
    if not asked:
        return Due(False, "quiet now, by the configuration", QUIET)
    return _idle(subject, asked, push)


def _idle(subject: Subject, asked: Sequence[RunNow], push: Push) -> Due:
    """Of runs that may be told of: only those that have been idle for long enough count."""
    late = [held for run in asked if longest_of(wasted_by(run)) >= _after(run, push) for held in wasted_by(run)]
    if not late:
        return Due(
            False, f"not idle for long enough: told from {_span(min(_after(run, push) for run in asked))} on", EARLY
        )
    wasted = gpu_seconds_of(late)
    if wasted < push.gpu_seconds:
        return Due(False, f"not enough wasted: told from {_hours(push.gpu_seconds)} GPU-hours on", EARLY)
    return Due(True, f"idle: {_of(subject)} for {_span(longest_of(late))}, {_hours(wasted)} GPU-hours")


def _after(run: RunNow, push: Push) -> float:
    usual = push.interactive_after if run.kind == _KIND_INTERACTIVE else push.after
    return usual if run.push_after_seconds is None else run.push_after_seconds


def _of(subject: Subject) -> str:
    return f"{subject.idle_gpus} of {subject.all_gpus} GPU{'s' * (subject.all_gpus != 1)}"


def _span(seconds: float) -> str:
    minutes = int(seconds // MINUTE)
    return f"{minutes} min" if minutes < 120 else f"{seconds / HOUR:.1f} h"


def _hours(seconds: float) -> str:
    return f"{seconds / HOUR:.1f}"
