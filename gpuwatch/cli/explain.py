"""`gpuwatch explain`: which run a process is, by which rule, on what evidence, and what could not be read."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import click

from gpuwatch.attribute.text import printable
from gpuwatch.units import HOUR

if TYPE_CHECKING:
    from gpuwatch.attribute.case import Case, Claim
    from gpuwatch.attribute.resolver import Verdict


@click.command()
@click.argument("pid", type=click.IntRange(1, 1 << 22))  # no kernel gives a higher one
def explain(pid: int) -> None:
    """Say which run process PID is, by which rule and on what evidence, and what each other rule said."""
    from gpuwatch.agent.config import load  # noqa: PLC0415  only this command needs the rules without an agent
    from gpuwatch.agent.explanation import explained  # noqa: PLC0415

    logging.basicConfig(level=logging.CRITICAL)
    settings = load(flags={}, environment=os.environ, path=None).settings
    click.echo(text(*explained(pid, settings)))


def text(case: Case, verdict: Verdict) -> str:
    """The explanation for a terminal."""
    run = verdict.run
    rows = [
        ("process", f"{case.lineage.process.identity.pid}, {printable(case.lineage.process.name)}"),
        ("run", run.owner.run),
        ("user", run.owner.user),
        ("project", run.owner.project),
        ("name", run.name),
        ("kind", run.kind),
        ("job", run.batch_job),
        ("url", run.url),
    ]
    lines = [f"{label:<9}{value}" for label, value in [*rows, *_expected(case)] if value]
    lines += ["", "what the rules said, the most specific first:"]
    lines += [f"  {_said(claim)}" for claim in verdict.claims]
    lines += [f"nothing to say had: {', '.join(_silent(verdict))}"]
    lines += [f"could not read its {what}: {why}" for what, why in case.traces.unread.items()]
    return "\n".join(lines)


def _expected(case: Case) -> list[tuple[str, str]]:
    """The idleness that whoever started it said is meant."""
    from gpuwatch.attribute.expectation import VARIABLE, parse_expectation  # noqa: PLC0415  see above

    said = case.traces.environment.get(VARIABLE)
    if said is None:
        return []
    try:
        seconds, reason = parse_expectation(said)
    except ValueError as error:
        return [("idle", f"{VARIABLE} counts for nothing: {error}")]
    return [("idle", f"meant for {seconds / HOUR:.3g} h from its start, by {VARIABLE}: {reason}")]


def _silent(verdict: Verdict) -> list[str]:
    from gpuwatch.attribute.resolver import RULES  # noqa: PLC0415  see above

    spoken = {claim.rule for claim in verdict.claims}
    return [name for rule in RULES if (name := rule.__name__.removesuffix("_rule")) not in spoken]


def _said(claim: Claim) -> str:
    what = claim.run or claim.batch_job or claim.name or claim.kind or claim.project
    return f"{claim.rule:<12}{claim.confidence.name.lower():<9}{what or '-'}  ({claim.evidence})"
