"""`gpuwatch compare`: two runs side by side; for CI, whether the second uses its GPUs as well as the first."""

from __future__ import annotations

import json
import logging
import math
import sys
import time
from pathlib import Path

import click

from gpuwatch.cli.show import asked_of, summarized, width
from gpuwatch.cli.source import configured, open_source, source_options


def _finite(_: click.Context, __: click.Parameter, ratio: float | None) -> float | None:
    if ratio is not None and not math.isfinite(ratio):
        raise click.BadParameter("it must be a number like 0.9")
    return ratio


@click.command()
@click.argument("a", metavar="RUN")
@click.argument("b", metavar="RUN")
@click.option("--json", "as_json", is_flag=True, help="As in docs/show.schema.json, under comparison.")
@click.option(
    "--fail-below", metavar="RATIO", type=click.FloatRange(min=0), callback=_finite,
    help="Exit with 1 where the second's use of its GPUs is below RATIO times the first's.",
)  # fmt: skip
@click.option("--explain", is_flag=True, help="Show the queries that made the figures.")
@source_options
def compare(
    a: str, b: str, *, as_json: bool, fail_below: float | None, explain: bool, state_dir: Path | None,
    prometheus: str | None, config: Path | None,
) -> None:  # fmt: skip
    """Compare two runs, named as for `gpuwatch show`.

    Exits with 0, with 1 where --fail-below says so, and with 2 where one is not known, or held GPUs for under a minute.
    """
    from gpuwatch.cli.chosen import choose  # noqa: PLC0415  only what reads the past needs these
    from gpuwatch.report.run.comparison import compare_runs, falls_short  # noqa: PLC0415
    from gpuwatch.report.run.side_by_side import comparison_document, side_by_side  # noqa: PLC0415

    logging.basicConfig(level=logging.CRITICAL)
    now = time.time()
    configuration = configured(config)
    settings = configuration.settings
    with open_source(configuration, state_dir=state_dir, prometheus=prometheus, now_unix=now) as source:
        first, second = (summarized(choose(source, run, settings), settings.policy, now) for run in (a, b))
        asked = asked_of(source, explain=explain)
    compared = compare_runs(first, second)
    problem = "" if fail_below is None else falls_short(first, second, fail_below)
    if as_json:
        document = comparison_document(first, second, compared, asked=asked, fail_below=fail_below, problem=problem)
        click.echo(json.dumps(document, indent=2))
    else:
        click.echo(side_by_side(first, second, compared, asked=asked, width=width()))
    if problem:
        click.echo(f"gpuwatch: {problem}", err=True)
        sys.exit(1)
