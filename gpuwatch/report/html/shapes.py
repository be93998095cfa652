"""The shapes of charts, as SVG in a box of 1000 by 100 that a page stretches. Pure, and without text."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Final, NamedTuple

from gpuwatch.model.history import Fleet, Window

WIDTH: Final = 1000
HEIGHT: Final = 100
STATES: Final = ("active", "idle", "unavailable", "unknown")
"""From the ground up. Free time is the ground that is left to be seen."""
_GAP: Final = 0.16
"""Of a column's width."""


class Layer(NamedTuple):
    """One state's area, and what lies in front of it: the layers are painted in their order."""

    state: str
    path: str


class Box(NamedTuple):
    """One state's part of a bar or column."""

    state: str
    x: float
    y: float
    width: float
    height: float


def layers(window: Window, cells: Sequence[Window], fleets: Sequence[Fleet | None]) -> list[Layer]:
    """The states in the course of time, as parts of each cell's capacity; unknown where nothing is recorded."""
    tops = [_tops(fleet) for fleet in fleets]
    edges = [*(round((cell.start - window.start) / window.seconds * WIDTH) for cell in cells), WIDTH]
    drawn = []
    for level in reversed(range(len(STATES))):
        if any(top[level] > (top[level - 1] if level else 0) for top in tops):
            drawn.append(Layer(STATES[level], _steps(edges, [top[level] for top in tops])))
    return drawn


def columns(fleets: Sequence[Fleet], highest: float) -> list[list[Box]]:
    """A column for each, of its states and of its free time above them, as high as its capacity is of the highest."""
    step = WIDTH / max(1, len(fleets))
    return [_column(fleet, (index + _GAP / 2) * step, (1 - _GAP) * step, highest) for index, fleet in enumerate(fleets)]


def bar(parts: Sequence[tuple[str, float]], whole: float) -> list[Box]:
    """The parts of a bar from left to right, as parts of a whole that is not less than they are together."""
    lengths = [seconds / whole * WIDTH if whole > 0 else 0.0 for _, seconds in parts]
    starts = accumulate(lengths, initial=0.0)
    boxes = zip(parts, starts, lengths, strict=False)
    return [Box(state, round(x, 1), 0.0, round(width, 1), HEIGHT) for (state, _), x, width in boxes if width > 0]


def line(values: Sequence[float | None]) -> str:
    """A line through the middles of columns, at heights from 0 to 1; interrupted where there is none."""
    words, is_broken = [], True
    for value, (x, y) in zip(values, _middles(values), strict=True):
        if value is not None:
            words.append(f"{'M' if is_broken else 'L'}{x} {y}")
        is_broken = value is None
    return "".join(words)


def dots(values: Sequence[float | None]) -> str:
    """Lines of no length where the line's corners are: with round ends they are dots, however the box is stretched."""
    middles = zip(values, _middles(values), strict=True)
    return "".join(f"M{x} {y}h0" for value, (x, y) in middles if value is not None)


def _middles(values: Sequence[float | None]) -> list[tuple[int, int]]:
    step = WIDTH / max(1, len(values))
    return [(round((index + 0.5) * step), round((1 - (value or 0)) * HEIGHT)) for index, value in enumerate(values)]


def _tops(fleet: Fleet | None) -> list[int]:
    """The upper edge of each state."""
    if fleet is None or fleet.capacity <= 0:
        return [0, 0, 0, HEIGHT]
    seconds = (getattr(fleet, state) for state in STATES)
    return [round(edge / fleet.capacity * HEIGHT) for edge in accumulate(seconds)]


def _steps(edges: Sequence[int], tops: Sequence[int]) -> str:
    """An area from the ground up to the tops, between the edges; equal neighbours are one step."""
    path, height = [f"M0 {HEIGHT}"], -1
    for start, end, top in zip(edges, edges[1:], tops, strict=False):
        if start == end:
            continue
        if top == height:
            path.pop()
        else:
            path.append(f"V{HEIGHT - top}")
        path.append(f"H{end}")
        height = top
    return "".join([*path, f"V{HEIGHT}Z"])


def _column(fleet: Fleet, x: float, width: float, highest: float) -> list[Box]:
    boxes, ground = [], float(HEIGHT)
    for state in (*STATES, "free"):
        height = getattr(fleet, state) / highest * HEIGHT if highest > 0 else 0.0
        ground -= height
        if height > 0:
            boxes.append(Box(state, round(x, 1), round(ground, 2), round(width, 1), round(height, 2)))
    return boxes
