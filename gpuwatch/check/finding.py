"""A finding: what was looked at, how it is, what is lost by that, and what mends it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple, get_args

from gpuwatch.attribute.text import printable

Check = Literal[
    "configuration",
    "user",
    "binding",
    "driver",
    "gpus",
    "pid-namespace",
    "other-processes",
    "other-environments",
    "descriptors",
    "listen",
    "agent",
    "web",
    "state",
    "clock",
    "sources",
    "prometheus",
    "slack",
    "notices",
]
"""Public: the names are in docs/check.schema.json."""
CHECKS: tuple[Check, ...] = get_args(Check)
Status = Literal["ok", "warn", "fail"]
_LONGEST = 600
_CONFIGURATION = ("configuration", "web")


class Finding(NamedTuple):
    """One line of `gpuwatch check`. Made by `ok`, `warn` and `fail`, which take all text for hostile."""

    check: Check
    status: Status
    found: str
    lost: str = ""
    mend: str = ""


def ok(check: Check, found: str, *, mend: str = "") -> Finding:
    """It works. `mend` is then a command for who wants more."""
    return _finding(check, "ok", found, "", mend)


def warn(check: Check, found: str, *, lost: str, mend: str) -> Finding:
    """The agent runs, and something is lost."""
    return _finding(check, "warn", found, lost, mend)


def fail(check: Check, found: str, *, lost: str, mend: str) -> Finding:
    """The agent does not run so, or what it says would be wrong."""
    return _finding(check, "fail", found, lost, mend)


def exit_status(findings: Iterable[Finding]) -> int:
    """0 where nothing fails, 2 where the configuration does, 1 where anything else does."""
    failed = {finding.check for finding in findings if finding.status == "fail"}
    if failed.intersection(_CONFIGURATION):
        return 2
    return 1 if failed else 0


def _finding(check: Check, status: Status, *texts: str) -> Finding:
    found, lost, mend = (printable(text, _LONGEST) for text in texts)
    return Finding(check, status, found, lost, mend)
