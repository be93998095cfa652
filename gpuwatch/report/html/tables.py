"""The rows of a page's tables, as text and bars. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from gpuwatch.model.history import Fleet
from gpuwatch.report.document import Report, Row
from gpuwatch.report.figures import written_hours, written_money
from gpuwatch.report.formats.columns import Column
from gpuwatch.report.formats.text import web_link
from gpuwatch.report.headline import shares
from gpuwatch.report.html.shapes import Box, bar

MOST_ROWS: Final = 300
"""More than anybody reads; all of them are in the other formats."""

_LINKED: Final = "worst run"
"""The column whose cells lead to where a run is described."""


class Amount(NamedTuple):
    """One of the five things that became of GPUs' time."""

    state: str
    label: str
    seconds: float
    percent: str
    hours: str
    money: str
    """Empty where no price is known."""


class Cell(NamedTuple):
    """A cell of a row."""

    head: str
    text: str
    is_name: bool
    link: str = ""


class Line(NamedTuple):
    """A row: what it is of, its bar, and the rest."""

    cells: Sequence[Cell]
    boxes: Sequence[Box]
    """Its busy and idle time, of the longest that any row held."""


def amounts(report: Report, fleet: Fleet) -> list[Amount]:
    """What became of the time, in whole percents that add up."""
    price = report.price
    return [
        Amount(
            share.state,
            share.label,
            share.seconds,
            f"{share.percent} %",
            written_hours(share.seconds),
            written_money(price.of(share.seconds), price.currency) if price else "",
        )
        for share in shares(fleet)
    ]


def rows_of(report: Report, rows: Sequence[Row], columns: Sequence[Column]) -> list[Line]:
    """The rows with their bars, of which one is as long as can be."""
    longest = max((row.usage.held for row in rows), default=0.0)
    return [Line([_cell(row, column) for column in columns], _bar(row, longest)) for row in rows[:MOST_ROWS]]


def _bar(row: Row, longest: float) -> list[Box]:
    return bar([("active", row.usage.held - row.usage.idle), ("idle", row.usage.idle)], longest)


def _cell(row: Row, column: Column) -> Cell:
    link = web_link(row.worst.url) if column.head == _LINKED and row.worst else ""
    return Cell(column.head, column.cell(row), column.is_name, link)
