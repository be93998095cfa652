"""A report's rows as CSV (RFC 4180), for spreadsheets and programs."""

from __future__ import annotations

import csv
from io import StringIO
from typing import Any

from gpuwatch.model.history import Usage
from gpuwatch.report.document import Report, Row
from gpuwatch.report.formats.fields import row_fields
from gpuwatch.report.formats.text import plain, web_link

_FORMULA = tuple("=+-@\t\r＝＋－＠")  # noqa: RUF001  their wide forms too
"""What a spreadsheet takes for a formula when a cell begins with it."""


def render_csv(report: Report) -> str:
    """A line of heads, then one for each row and each service; a column says so where all is simulated."""
    nothing = Row(("",) * len(report.by), Usage(), rank=0, waste_rank=None, worst=None)
    out = StringIO(newline="")
    writer = csv.DictWriter(out, list(_cells(nothing, report, is_service=False)))
    writer.writeheader()
    writer.writerows(_cells(row, report, is_service=False) for row in report.rows)
    writer.writerows(_cells(row, report, is_service=True) for row in report.services)
    return out.getvalue()


def safe(text: str) -> str:
    """Text that no spreadsheet computes."""
    cell = plain(text)
    return f"'{cell}" if cell.lstrip().startswith(_FORMULA) else cell


def _cells(row: Row, report: Report, *, is_service: bool) -> dict[str, Any]:
    cells = row_fields(row, report)
    if row.worst is not None:
        cells |= {"worst_run": row.worst.owner.run, "worst_run_url": web_link(row.worst.url)}
    else:
        cells |= {"worst_run": "", "worst_run_url": ""}
    cells["service"] = str(is_service).lower()
    if report.simulated:
        cells["simulated"] = "true"
    return {head: safe(cell) if isinstance(cell, str) else cell for head, cell in cells.items()}
