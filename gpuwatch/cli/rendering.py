"""Which file makes text of a report, in each of its formats: each is loaded by whoever asks for it."""

# ruff: noqa: PLC0415

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from gpuwatch.cli.show import width

if TYPE_CHECKING:
    from gpuwatch.model.history import Source
    from gpuwatch.report.document import Report

FORMATS: Final = ("table", "json", "csv", "markdown", "html", "slack")
EXPLAINING: Final = ("table", "json", "markdown")
"""Formats that have a place for how the figures were asked for."""


def rendered(
    report: Report, as_format: str, *, source: Source, teams: Mapping[str, str], explain: bool, to_file: bool
) -> str:
    """The report in one of FORMATS, with a newline at its end. A table fits the terminal; a page asks for charts."""
    match as_format:
        case "json":
            from gpuwatch.report.formats.json_document import render_json

            return render_json(report, explain=explain)
        case "csv":
            from gpuwatch.report.formats.csv_rows import render_csv

            return render_csv(report)
        case "markdown":
            from gpuwatch.report.formats.markdown import render_markdown

            return render_markdown(report, report.questions if explain else ())
        case "html":
            from gpuwatch.report.html.charts import gather_charts
            from gpuwatch.report.html.page import render_html

            return render_html(report, gather_charts(source, report, teams=teams))
        case "slack":
            from gpuwatch.report.slack_blocks import render_slack

            return render_slack(report)
    from gpuwatch.report.formats.table import render_table

    color = not to_file and _shows_color()
    return render_table(report, report.questions if explain else (), width=width(), color=color)


def _shows_color() -> bool:
    """Whether standard output is a terminal that shows colours, to somebody who wants them (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
