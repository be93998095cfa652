"""`gpuwatch show`: one run over all of its nodes and GPUs, and what would have been better."""

from __future__ import annotations

import json
import logging
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gpuwatch.attribute.text import printable
from gpuwatch.cli.source import configured, open_source, source_options
from gpuwatch.errors import Ambiguous, NothingRecorded

if TYPE_CHECKING:
    from gpuwatch.cli.chosen import Chosen
    from gpuwatch.model.history import Source
    from gpuwatch.report.policy import Policy
    from gpuwatch.report.run.stretches import Limits
    from gpuwatch.report.run.summary import Asked, Summary

_NARROWEST, _WIDEST, _PIPED = 60, 200, 100
"""Columns."""


@click.command()
@click.argument("run", metavar="RUN|JOB|PID")
@click.option("--json", "as_json", is_flag=True, help="As in docs/show.schema.json.")
@click.option("--explain", is_flag=True, help="Show the queries that made the figures.")
@click.option("--user", metavar="NAME", help="Whose, where several people have a run of this name.")
@source_options
def show(
    run: str, *, as_json: bool, explain: bool, user: str | None, state_dir: Path | None, prometheus: str | None,
    config: Path | None,
) -> None:  # fmt: skip
    """Show one run: where it was, what it used, when it was idle, what it cost, and what would help.

    It is named as in `gpuwatch status`, with or without what stands before the colon, or by its batch job, by what
    people call it, or by a process of it on this node. Exits with 1 where there is none, or several.
    """
    from gpuwatch.cli.chosen import choose  # noqa: PLC0415  only what reads the past needs these
    from gpuwatch.report.run.document import document  # noqa: PLC0415
    from gpuwatch.report.run.page import page  # noqa: PLC0415

    logging.basicConfig(level=logging.CRITICAL)
    now = time.time()
    configuration = configured(config)
    try:
        with open_source(configuration, state_dir=state_dir, prometheus=prometheus, now_unix=now) as source:
            chosen = choose(source, run, configuration.settings, user=user)
            summary = summarized(chosen, configuration.settings.policy, now)
            asked = asked_of(source, explain=explain, meant_by=chosen.meant_by)
    except (NothingRecorded, Ambiguous) as error:
        click.echo(f"gpuwatch: {error}", err=True)
        sys.exit(1)
    if as_json:
        click.echo(json.dumps(document(summary, asked), indent=2))
    else:
        click.echo(page(summary, asked, limits(), width=width()))


def summarized(chosen: Chosen, policy: Policy, now_unix: float) -> Summary:
    """The run's summary. Raises NothingRecorded where the record has its name and nothing else."""
    from gpuwatch.report.document import Price  # noqa: PLC0415
    from gpuwatch.report.run.summary import summarize  # noqa: PLC0415

    price = None if policy.gpu_hour is None else Price(policy.gpu_hour, policy.currency)
    summary = summarize(chosen.record, limits(), now_unix=now_unix, price=price)
    if summary is None:
        raise NothingRecorded(
            f"{printable(chosen.record.owner.run)} has held no GPU in the time that the record goes back"
        )
    return summary


def asked_of(source: Source, *, explain: bool, meant_by: str = "") -> Asked:
    """What is told of the record, with all that was asked of it where that is to be explained."""
    from gpuwatch.report.run.summary import Asked  # noqa: PLC0415

    questions = tuple(source.asked) if explain else ()
    return Asked(source=source.name, simulated=source.simulated, meant_by=meant_by, questions=questions)


def limits() -> Limits:
    """The thresholds of judgement."""
    from gpuwatch.judge.limits import Limits as Usual  # noqa: PLC0415
    from gpuwatch.report.run.stretches import Limits  # noqa: PLC0415

    return Limits(Usual().idle_below, Usual().idle_after)


def width() -> int:
    """Columns of the terminal, as far as a page can use them; of what is no terminal, enough."""
    return min(_WIDEST, max(_NARROWEST, shutil.get_terminal_size((_PIPED, 24)).columns))
