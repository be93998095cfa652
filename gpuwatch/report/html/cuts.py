"""How a period is cut for charts: into cells of some hours, that make up days or weeks of a zone. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time
from typing import Final, NamedTuple

from gpuwatch.model.history import Window
from gpuwatch.report.period import Period
from gpuwatch.units import HOUR

MOST_CELLS: Final = 192
"""As many as can be told apart on a screen, and asked of a server: eight days of hours."""
MOST_BARS: Final = 62
_HOURS: Final = (1, 2, 3, 4, 6, 12, 24)
"""Lengths of cells: they divide a day."""
_DAYS: Final = (1, 7, 28, 364)
"""Lengths of bars, and of cells of more than a day."""


class Cut(NamedTuple):
    """A window, cut: the pieces are in their order, without gaps."""

    cells: tuple[Window, ...]
    bars: tuple[tuple[Window, ...], ...]
    """The cells of each bar."""
    days_per_bar: int


def cut(period: Period) -> Cut:
    """Cut a period into at most some 192 cells, and these into at most some 62 bars that begin at midnight."""
    days = [day for _, day in period.days()]
    hours = next((hours for hours in _HOURS if len(days) * 24 / hours <= MOST_CELLS), 24)
    days_per_cell = _fewest(len(days), MOST_CELLS)
    days_per_bar = max(days_per_cell, _fewest(len(days), MOST_BARS))
    bars = []
    for bar in _grouped(days, days_per_bar):
        pieces = [_joined(group) for group in _grouped(bar, days_per_cell)]
        bars.append(tuple(cell for piece in pieces for cell in _parts(piece, period, hours)))
    return Cut(tuple(cell for bar in bars for cell in bar), tuple(bars), days_per_bar)


def _fewest(days: int, most: int) -> int:
    return next((length for length in _DAYS if days <= length * most), _DAYS[-1])


def _grouped(windows: Sequence[Window], length: int) -> list[Sequence[Window]]:
    return [windows[first : first + length] for first in range(0, len(windows), length)]


def _joined(windows: Sequence[Window]) -> Window:
    return Window(windows[0].start, windows[-1].end)


def _parts(day: Window, period: Period, hours: int) -> list[Window]:
    """A day, cut at each so many hours since its midnight, also where clocks are changed in it."""
    if hours == _HOURS[-1]:
        return [day]
    midnight = datetime.combine(period.local(day.start).date(), time(), period.zone).timestamp()
    step = hours * HOUR
    parts, start = [], day.start
    while start < day.end:
        end = min(day.end, midnight + ((start - midnight) // step + 1) * step)
        parts.append(Window(start, end))
        start = end
    return parts
