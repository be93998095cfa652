"""Idleness that is meant: whoever starts a run may say so, by GPUWATCH_EXPECT_IDLE in its environment. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from gpuwatch.attribute.case import Case
from gpuwatch.attribute.text import clean
from gpuwatch.model import Run
from gpuwatch.model.judgement import Snooze
from gpuwatch.units import DAY, parse_duration

VARIABLE = "GPUWATCH_EXPECT_IDLE"
LONGEST_SECONDS = 14 * DAY
"""Whoever means it for longer says so again."""

Whose = tuple[str, str]
"""(person, run): the name alone may be that of another's run, who can call theirs as they like."""


class Expectation(NamedTuple):
    """What a variable says."""

    seconds: int
    """From the start of the run."""
    reason: str


def parse_expectation(text: str) -> Expectation:
    """`4h: waiting for labels`: a length of time, a colon and the reason. Raises ValueError that says what is wrong."""
    length, _, rest = text.partition(":")
    reason = clean(rest)
    if not reason:
        raise ValueError("it needs a length of time and a reason, like 4h: waiting for labels")
    seconds = parse_duration(length)
    if seconds > LONGEST_SECONDS:
        raise ValueError(f"it may be for {LONGEST_SECONDS // DAY} days at most")
    return Expectation(seconds, reason)


def expected_idleness(runs: Iterable[tuple[Case, Run]]) -> dict[Whose, Snooze]:
    """What the processes of runs say, of several of one run the longest. What has the wrong form says nothing."""
    found: dict[Whose, Snooze] = {}
    for case, run in runs:
        said = case.traces.environment.get(VARIABLE)
        if said is None:
            continue
        try:
            seconds, reason = parse_expectation(said)
        except ValueError:
            continue  # `gpuwatch explain` tells it
        user, _, name = run.owner
        snooze = Snooze(name, run.started_unix + seconds, reason, by=user)
        known = found.get((user, name))
        if known is None or known.until_unix < snooze.until_unix:
            found[user, name] = snooze
    return found
