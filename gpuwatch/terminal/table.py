"""Rows as lines of a terminal, in as many columns as there is room for. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from gpuwatch.terminal.words import breadth, fitted

HEAD: Final = "head"
GOOD: Final = "good"
WARN: Final = "warn"
BAD: Final = "bad"
QUIET: Final = "quiet"
CHOSEN: Final = "chosen"
PLAIN: Final = ""


class Cell(NamedTuple):
    """Text in one style."""

    text: str
    style: str = PLAIN


Line = tuple[Cell, ...]
_BETWEEN: Final = "  "
ALL: Final = slice(None)


class Column(NamedTuple):
    """One column, and how it gives way where there is little room."""

    head: str
    cells: Sequence[Cell]
    rank: int = 0
    """Those of the highest go first; of rank 0 none goes."""
    least: int | None = None
    """It may be cut to so many columns of the terminal; None where it may not be."""
    steady: int = 0
    """It is as wide as this, so that the table stands still while its figures change."""
    right: bool = False
    """Aligned there, as figures are."""

    @property
    def width(self) -> int:
        """Columns of the terminal that it would take."""
        return max(self.steady, len(self.head), *(breadth(cell.text) for cell in self.cells))

    @property
    def narrowest(self) -> int:
        """Columns of the terminal that it needs."""
        return self.width if self.least is None else min(self.width, max(self.least, len(self.head)))


def laid_out(columns: Sequence[Column], width: int | None, rows: slice = ALL) -> list[Line]:
    """The head and these rows, in at most `width` columns of the terminal; None is no limit.

    Columns are as wide as all rows need.
    """
    shown = list(columns) if width is None else _fitting(columns, width)
    widths = [column.width for column in shown] if width is None else _widths(shown, width)
    head = _line([Cell(column.head, HEAD) for column in shown], shown, widths)
    cells = zip(*(column.cells[rows] for column in shown), strict=True)
    return [head, *(_line(row, shown, widths) for row in cells)]


def text_of(line: Line) -> str:
    """A line without its styles."""
    return "".join(cell.text for cell in line).rstrip()


def _fitting(columns: Sequence[Column], width: int) -> list[Column]:
    shown = list(columns)
    while _total([column.narrowest for column in shown]) > width and any(column.rank for column in shown):
        shown.remove(max(shown, key=lambda column: column.rank))
    return shown


def _widths(columns: Sequence[Column], width: int) -> list[int]:
    """What is left over goes to those that were cut, the most important first."""
    widths = [column.narrowest for column in columns]
    spare = max(0, width - _total(widths))
    for index in sorted(range(len(columns)), key=lambda index: columns[index].rank):
        more = min(spare, columns[index].width - widths[index])
        widths[index], spare = widths[index] + more, spare - more
    return widths


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(_BETWEEN) * (len(widths) - 1)


def _line(cells: Sequence[Cell], columns: Sequence[Column], widths: Sequence[int]) -> Line:
    parts: list[Cell] = []
    for cell, column, width in zip(cells, columns, widths, strict=True):
        parts += [Cell(_BETWEEN)] if parts else []
        parts.append(Cell(fitted(cell.text, width, right=column.right), cell.style))
    return tuple(parts)
