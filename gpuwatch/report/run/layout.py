"""Lines for a terminal: cut, padded and broken by the columns that text takes there. Pure."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple


def cells(text: str) -> int:
    """How many columns of a terminal it takes."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def cut(text: str, width: int) -> str:
    """Its beginning, and an ellipsis for the rest, in at most `width` columns."""
    if cells(text) <= width:
        return text
    kept = text
    while kept and cells(kept) > width - 1:
        kept = kept[:-1]
    return f"{kept}…"


def pad(text: str, width: int, *, right: bool = False) -> str:
    """Filled with spaces up to `width` columns; `right` puts them before it."""
    space = " " * max(0, width - cells(text))
    return space + text if right else text + space


def wrapped(text: str, width: int, *, first: str = "", rest: str = "") -> list[str]:
    """Lines after an indent. What has no space in it stays whole, so that links and names can be copied."""
    return textwrap.wrap(
        text, max(width, 20), initial_indent=first, subsequent_indent=rest or " " * cells(first),
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


class Column(NamedTuple):
    """One column of a table."""

    head: str
    texts: Sequence[str]
    rank: int = 0
    """Those of the highest go first where it is too narrow; of rank 0 none goes."""
    right: bool = True
    """Aligned there, as figures are."""

    @property
    def width(self) -> int:
        """Columns of the terminal that it takes."""
        return max(cells(text) for text in (self.head, *self.texts))


_BETWEEN = "  "


def table(columns: Sequence[Column], width: int) -> list[str]:
    """Rows under their heads, of as many columns as fit."""
    shown = list(columns)
    while _total(shown) > width and any(column.rank for column in shown):
        shown.remove(max(shown, key=lambda column: column.rank))
    rows = zip(*([column.head, *column.texts] for column in shown), strict=True)
    return [
        _BETWEEN.join(pad(cell, c.width, right=c.right) for c, cell in zip(shown, row, strict=True)).rstrip()
        for row in rows
    ]


def _total(columns: Sequence[Column]) -> int:
    return sum(column.width for column in columns) + len(_BETWEEN) * (len(columns) - 1)
