"""The web configuration: can it be used as it is, and what will guard the listener?"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from gpuwatch.check.finding import Finding, fail, ok
from gpuwatch.errors import UsageError


class WebFacts(NamedTuple):
    """What guards the listener; `problem` is what is wrong with the file."""

    path: Path | None
    tls: bool = False
    password: bool = False
    problem: str = ""

    @property
    def guarded(self) -> bool:
        """A stranger gets no answer that could be judged."""
        return self.tls or self.password


def read_web_facts(path: Path | None) -> WebFacts:
    """Read the file as the agent would, its certificates too."""
    if path is None:
        return WebFacts(None)
    from gpuwatch.export.web import read_web  # noqa: PLC0415  what it needs is loaded only where there is such a file

    try:
        web = read_web(path)
    except UsageError as error:
        return WebFacts(path, problem=str(error))
    return WebFacts(path, web.tls is not None, web.auth is not None)


def judge_web(facts: WebFacts) -> list[Finding]:
    """One finding."""
    if facts.path is None:
        return [ok("web", "not configured: plain HTTP without a password")]
    if facts.problem:
        mend = f"correct {facts.path} (docs/listener.md)"
        return [fail("web", facts.problem, lost="the agent does not start", mend=mend)]
    guards = [name for name, there in (("TLS", facts.tls), ("passwords", facts.password)) if there]
    return [ok("web", f"{facts.path}: {' and '.join(guards) or 'neither TLS nor passwords'}")]
