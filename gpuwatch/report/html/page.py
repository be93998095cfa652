"""A report as one page that asks nothing of anybody. What stands where is in `page.html`, and how in `page.css`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from gpuwatch.report.document import Report
from gpuwatch.report.formats import prose
from gpuwatch.report.formats.columns import columns_of, service_columns
from gpuwatch.report.formats.text import plain
from gpuwatch.report.html.charts import Charts
from gpuwatch.report.html.course import columns, idle_shares, midnights, strips
from gpuwatch.report.html.shapes import bar, dots, line
from gpuwatch.report.html.tables import amounts, rows_of
from gpuwatch.report.notes import written_time
from gpuwatch.units import HOUR


def render_html(report: Report, charts: Charts) -> str:
    """The whole page, with a newline at its end."""
    environment = Environment(
        loader=PackageLoader("gpuwatch.report.html", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(_shown(report, charts)) + "\n"


def _shown(report: Report, charts: Charts) -> Mapping[str, Any]:
    whole = amounts(report, report.fleet)
    idle = idle_shares(charts)
    return {
        "report": report,
        "label": plain(report.period.label),
        "title": prose.title(report),
        "stretch": [written_time(report.period, unix) for unix in report.period.window],
        "simulated": prose.SIMULATED if report.simulated else "",
        "summary": prose.summary(report),
        "whole": whole,
        "whole_boxes": bar([(amount.state, amount.seconds) for amount in whole], report.fleet.capacity),
        "theirs": report.is_filtered_by_owner,
        "columns": columns(report, charts),
        "bar_days": charts.cut.days_per_bar,
        "idle_line": line(idle),
        "idle_dots": dots(idle),
        "heads": columns_of(report),
        "rows": rows_of(report, report.rows, columns_of(report)),
        "total": prose.total_line(report),
        "nothing": prose.nothing(report),
        "service_heads": service_columns(report),
        "services": rows_of(report, report.services, service_columns(report)),
        "strips": strips(report, charts),
        "strip_is": charts.by,
        "steps": _steps(max(round(cell.seconds / HOUR) for cell in charts.cut.cells)),
        "left_out": charts.left_out,
        "midnights": midnights(report),
        "endnotes": prose.endnotes(report),
    }


def _steps(hours: int) -> str:
    """How finely time is cut, in words. A day on which clocks are set back has 25 hours."""
    if hours < 24:
        return "hour by hour" if hours == 1 else f"in steps of {hours} hours"
    return "day by day" if hours < 48 else f"in steps of {round(hours / 24)} days"
