"""Notices to the owners of idle runs: are they sent, and do they arrive?"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from gpuwatch.alert.policy import AGENT, FLEET, OFF
from gpuwatch.check.finding import Finding, ok, warn
from gpuwatch.errors import NothingRecorded, StateError
from gpuwatch.model.outbox import Undelivered
from gpuwatch.state.noticed import open_noticed
from gpuwatch.units import DAY

_LOST: Final = "that their owners are told of GPUs that they do not use"
_RECENT_SECONDS: Final = 7 * DAY
_SILENT: Final = {
    OFF: "alert.mode is off: nobody is told of anything",
    FLEET: "alert.mode is fleet: `gpuwatch notify` tells people, and no agent does",
}
_SHADOW: Final = "alert.mode is shadow: nothing is sent; `gpuwatch alerts` shows what would have been"


class NoticesFacts(NamedTuple):
    """What was found."""

    mode: str
    undelivered: Undelivered = Undelivered(0, 0, "")
    problem: str = ""
    """Why it cannot be seen what was sent."""


def read_notices(directory: Path, mode: str, unix: float) -> NoticesFacts:
    """Of an agent that sends: what waits in its state directory, and what was given up in the last week."""
    if mode != AGENT:
        return NoticesFacts(mode)
    try:
        with open_noticed(directory) as noticed:
            return NoticesFacts(mode, noticed.undelivered(since_unix=unix - _RECENT_SECONDS))
    except NothingRecorded:
        return NoticesFacts(mode)
    except StateError as error:
        return NoticesFacts(mode, problem=str(error))


def judge_notices(facts: NoticesFacts) -> list[Finding]:
    """Whether somebody is told, and whether it arrives."""
    if facts.mode != AGENT:
        return [ok("notices", _SILENT.get(facts.mode, _SHADOW))]
    if facts.problem:
        return [warn("notices", facts.problem, lost="whether notices arrive is not known", mend="sudo gpuwatch check")]
    waiting, failed, why = facts.undelivered
    if waiting:
        found = f"{waiting} of the messages to people {'waits' if waiting == 1 else 'wait'} for Slack: {why}"
        return [warn("notices", found, lost=_LOST, mend="gpuwatch check --send-test USER")]
    if failed:
        found = f"{failed} of the messages to people in 7 days did not arrive: {why}"
        return [warn("notices", found, lost=_LOST, mend="gpuwatch check --send-test USER")]
    return [ok("notices", "alert.mode is agent: all messages to people have arrived")]
