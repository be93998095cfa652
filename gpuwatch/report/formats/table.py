"""A report for a terminal: it fits the width, by leaving out what is least important and then by cutting names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gpuwatch.model.history import Question
from gpuwatch.report.document import Report, Row
from gpuwatch.report.formats.columns import ALWAYS, Column, columns_of, service_columns
from gpuwatch.report.formats.prose import (
    SIMULATED,
    endnotes,
    explanation,
    name,
    nothing,
    summary,
    title,
    total_line,
    waste,
    worst_rows,
)
from gpuwatch.report.formats.text import web_link

_GAP = 2
"""Between columns: one cell of padding, and one that the box has there."""
_SHORT_NAME = 20
"""A name is cut to no less, rather than that figures are left out for it; then further, if it must be."""
_WORST_WASTE = 3
"""Rows to this place by waste stand out."""


def render_table(report: Report, questions: Sequence[Question], *, width: int, color: bool) -> str:
    """The report as lines of at most `width` cells (links and questions are left whole), with a newline at its end."""
    out = StringIO()
    console = Console(
        file=out, width=width, force_terminal=color, no_color=not color, highlight=False, markup=False, emoji=False,
        legacy_windows=False, color_system="standard" if color else None,
    )  # fmt: skip
    if report.simulated:
        console.print(Text(SIMULATED, "bold reverse"))
    console.print(Text(title(report), "bold"))
    for line in summary(report):
        console.print(Text(line))
    _print_rows(console, report, width)
    _print_waste(console, report)
    console.print()
    for line in endnotes(report):
        console.print(Text(line, "dim"))
    if questions:
        console.print(Text(f"\n{explanation(questions)}"), soft_wrap=True)
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().split("\n")[:-1])


def _print_rows(console: Console, report: Report, width: int) -> None:
    if report.rows:
        console.print(_table(columns_of(report), report.rows, width))
        console.print(Text(f"{total_line(report)}."))
    else:
        console.print(Text(f"\n{nothing(report)}"))
    if report.services:
        console.print(Text("\nServices, which wait for requests and are not ranked:"))
        console.print(_table(service_columns(report), report.services, width))


def _print_waste(console: Console, report: Report) -> None:
    if not (rows := worst_rows(report)):
        return
    console.print(Text("\nMost idle:", "bold"))
    for row in rows:
        line = Table.grid(padding=(0, 1))
        line.add_row(f"{row.waste_rank}.", Text.assemble((name(row), "bold"), f": {waste(report, row)}"))
        console.print(line)
        if row.worst is not None and (link := web_link(row.worst.url)):
            console.print(Text(f"   {link}", "blue"), soft_wrap=True)  # whole, so that it can be followed


def _table(columns: Sequence[Column], rows: Sequence[Row], width: int) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, _GAP - 1, 0, 0), pad_edge=False, show_edge=False)
    fitting = _fitting(columns, rows, width)
    for column, cells in fitting.items():
        justify: Literal["left", "right"] = "left" if column.is_name else "right"
        table.add_column(Text(column.head), justify=justify, width=cells, no_wrap=True, overflow="ellipsis")
    for row in rows:
        style = "red" if row.waste_rank is not None and row.waste_rank <= _WORST_WASTE else ""
        table.add_row(*(Text(column.cell(row), style if column.head.startswith("idle") else "") for column in fitting))
    return table


def _fitting(columns: Sequence[Column], rows: Sequence[Row], width: int) -> dict[Column, int]:
    """Those for which there is room, the most important ones first, with their widths; the widest names are cut."""
    widths = {column: _widest(column, rows) for column in columns}
    names = [column for column in columns if column.is_name and column.importance == ALWAYS]
    needed = {**widths, **{column: min(widths[column], _SHORT_NAME) for column in names}}
    while _total(needed) > width and (least := max(needed, key=lambda column: column.importance)).importance > ALWAYS:
        del needed[least], widths[least]
    while _total(widths) > width and (longest := max(names, key=widths.__getitem__)) and widths[longest] > 1:
        widths[longest] -= 1
    return widths


def _total(widths: Mapping[Column, int]) -> int:
    return sum(widths.values()) + _GAP * (len(widths) - 1)


def _widest(column: Column, rows: Sequence[Row]) -> int:
    return max(cell_len(column.head), *(cell_len(column.cell(row)) for row in rows))
