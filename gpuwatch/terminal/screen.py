"""`gpuwatch top` as a full screen: what is on it, and what each key makes of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from gpuwatch.terminal.keys import DOWN, FILTER, FIRST, LAST, PAGE_DOWN, PAGE_UP, SORT, UP
from gpuwatch.terminal.page import Scene, footnotes, table, title
from gpuwatch.terminal.rows import IDLES, SORTS, Row, Selection, rows_of
from gpuwatch.terminal.table import BAD, CHOSEN, PLAIN, QUIET, Cell, Line
from gpuwatch.terminal.words import breadth, counted, fitted, plain

ONLY: Final = ("all", "mine", "idle", "free")
"""What `f` goes through."""
_AROUND: Final = 6
"""Lines that are not rows: the title, the head, an empty one, two on the chosen row, and the keys."""
_MARGIN: Final = 2


@dataclass(frozen=True, slots=True)
class View:
    """What somebody has made of the screen."""

    sort: str = "gpu"
    only: str = "all"
    chosen: int = 0
    """The number of the row on which the bar is."""


@dataclass(frozen=True, slots=True)
class Looker:
    """Who looks: the person, and what they asked for on the command line."""

    person: str
    selection: Selection

    def rows(self, scene: Scene, view: View) -> list[Row]:
        """What they see rows of."""
        rows = rows_of(scene.nodes, self.selection, sort=view.sort)
        return [row for row in rows if _has(row, view.only, self.person)]


def pressed(view: View, key: str, *, rows: int, height: int) -> View:
    """The view after a key, where there are so many rows on a screen of so many lines."""
    at = min(view.chosen, max(0, rows - 1))
    if key == SORT:
        return replace(view, sort=_next(tuple(SORTS), view.sort), chosen=0)
    if key == FILTER:
        return replace(view, only=_next(ONLY, view.only), chosen=0)
    steps = {UP: -1, DOWN: 1, PAGE_UP: -_room(height), PAGE_DOWN: _room(height), FIRST: -at, LAST: rows}
    return replace(view, chosen=max(0, min(rows - 1, at + steps.get(key, 0))))


def screen(scene: Scene, rows: Sequence[Row], view: View, *, width: int, height: int, problem: str = "") -> list[Line]:
    """As many lines as the screen has; `problem` is why the scene is not of now."""
    chosen = min(view.chosen, max(0, len(rows) - 1))
    notes = [_note(problem, width)] if problem else [_cut(line, width) for line in footnotes(scene)][:_MARGIN]
    room = max(1, _room(height) - len(notes))
    first = max(0, min(chosen - room // 2, len(rows) - room))
    shown = slice(first, min(first + room, len(rows)))
    head, *body = table(scene, rows, width, shown) or [(Cell("nothing to show", QUIET),)]
    bars = [_barred(line) if first + number == chosen else line for number, line in enumerate(body)]
    above = [_cut(title(scene), width), head, *bars]
    about = _about(rows[chosen], width) if rows else [(), ()]
    below = [*notes, *about, _keys(view, shown, len(rows), width)]
    return [*above, *([()] * max(0, height - len(above) - len(below))), *below][:height]


def _has(row: Row, only: str, person: str) -> bool:
    return {
        "all": True, "mine": row.user == person, "idle": row.standing in IDLES, "free": row.standing == "free",
    }[only]  # fmt: skip


def _next(names: Sequence[str], name: str) -> str:
    return names[(names.index(name) + 1) % len(names)]


def _room(height: int) -> int:
    return max(1, height - _AROUND)


def _barred(line: Line) -> Line:
    return (Cell("".join(cell.text for cell in line), CHOSEN),)


def _cut(line: Line, width: int) -> Line:
    if sum(breadth(cell.text) for cell in line) <= width:
        return line
    kept: list[Cell] = []
    for cell in line:
        room = width - sum(breadth(one.text) for one in kept)
        kept.append(cell if breadth(cell.text) <= room else Cell(fitted(cell.text, room), cell.style))
    return tuple(kept)


def _note(problem: str, width: int) -> Line:
    return _cut((Cell(plain(problem), BAD),), width)


def _about(row: Row, width: int) -> list[Line]:
    """What there was no room for: the names in full, and why the verdict is what it is."""
    device, holder = row.device, row.holder
    where = f"{plain(row.node.name)} GPU {plain(device.gpu)}"
    if holder is None:
        told = [f"{where}: {plain(device.note)}", plain(device.uuid)]
    else:
        owner = holder.owner
        of = "".join(f", {text}" for text in (plain(owner.project), plain(holder.name)) if text)
        told = [f"{where}: {plain(owner.user)}{of}, {plain(owner.run)}", plain(holder.reason)]
    return [_cut((Cell(text, PLAIN),), width) for text in told]


def _keys(view: View, shown: slice, rows: int, width: int) -> Line:
    told = f"q quit  s sort: {view.sort}  f filter: {view.only}  ↑↓ choose"
    whole = shown.stop - shown.start == rows
    where = counted(rows, "row") if whole else f"{shown.start + 1}-{shown.stop} of {rows}"
    gap = max(2, width - breadth(told) - breadth(where))
    return _cut((Cell(f"{told}{' ' * gap}{where}", QUIET),), width)
