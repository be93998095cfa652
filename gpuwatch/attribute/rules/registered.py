"""What a process said of itself: it, or an ancestor, spoke to the agent. Source: attribute/case.py Registration."""

from __future__ import annotations

from gpuwatch.attribute.case import Case, Claim, Confidence


def registered_rule(case: Case) -> Claim | None:
    """The run that the process, or what started it, was registered for."""
    said = case.registration
    if said is None:
        return None
    return Claim(
        rule="registered",
        evidence="it or an ancestor told the agent",
        confidence=Confidence.CERTAIN,
        run=said.run,
        name=said.name,
        project=said.project,
        url=said.url,
    )
