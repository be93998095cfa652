"""The last week of the node as a strip: what became of its GPUs' time, hour by hour. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final

from gpuwatch.export.page.shapes import chart, steps
from gpuwatch.export.page.tree import Child, Node, listed, node
from gpuwatch.export.page.words import hours, local, percents
from gpuwatch.model import Snapshot, States
from gpuwatch.units import HOUR, MINUTE, PERCENTS

_LABELS: Final = {
    "active": "busy", "idle": "held idle", "unavailable": "out of service", "unknown": "unknown", "free": "free",
}  # fmt: skip
"""From the ground up."""
_ROOM: Final = 12
"""Hours that a date needs."""


def week(snapshot: Snapshot) -> Iterator[Child]:
    """The strip, with its figures."""
    cells = _cells(snapshot)
    known = [cell for cell in cells if cell is not None]
    if not known:
        yield node("p", "Nothing is recorded yet.")
        return
    total = States(*(sum(amounts) for amounts in zip(*known, strict=True)))
    parts = [getattr(total, state) for state in _LABELS]
    shares = dict(zip(_LABELS, percents(parts), strict=True))
    words = [f"{shares[state]} % {label}" for state, label in _LABELS.items() if shares[state]]
    yield node("p", f"{hours(sum(parts))} GPU-h: {', '.join(words)}.")
    yield listed("ul", map(_key, _LABELS), class_="legend", aria_hidden="true")
    tops = [None if cell is None else _tops(cell) for cell in cells]
    layers = [_layer(state, level, tops) for level, state in reversed(list(enumerate(_LABELS)))]
    yield chart(*layers, width=len(cells), class_="week", label=f"The last 7 days: {', '.join(words)}")
    yield _axis(snapshot.course.hour_unix, len(cells))


def _cells(snapshot: Snapshot) -> list[States | None]:
    """The hours, with what was not seen of them; None before the first of which anything is known."""
    capacity = sum(device.info.capacity for device in snapshot.devices)
    cells: list[States | None] = []
    begun = False
    for place, seen in enumerate(snapshot.course.hours, start=1 - len(snapshot.course.hours)):
        begun = begun or any(seen)
        start = snapshot.course.hour_unix + place * HOUR
        elapsed = min(HOUR, snapshot.taken_unix // MINUTE * MINUTE - start)
        cells.append(seen._replace(unknown=max(0.0, capacity * elapsed - sum(seen))) if begun else None)
    return cells


def _layer(state: str, level: int, tops: Sequence[list[int] | None]) -> Node:
    """The area of a state, and of those below it, which are painted over it."""
    return node("path", d=steps([None if top is None else top[level] for top in tops]), class_=state)


def _tops(cell: States) -> list[int]:
    return list(accumulate(percents([getattr(cell, state) for state in _LABELS])))


def _key(state: str) -> Node:
    return node("li", node("span", class_=f"key {state}"), _LABELS[state])


def _axis(last_unix: float, count: int) -> Node:
    """The dates, where days begin by this machine's calendar. Texts of a stretched chart would be stretched too."""
    first = last_unix - (count - 1) * HOUR
    moments = [(place, local(first + place * HOUR)) for place in range(count - _ROOM)]
    dates = [(place, moment) for place, moment in moments if moment.hour == 0]
    texts = [
        node("text", f"{moment:%a} {moment.day}", x=f"{PERCENTS * place / count:.1f}%", y="14")
        for place, moment in dates
    ]
    return listed("svg", texts, class_="axis", aria_hidden="true")
