"""People: what they hold now, and what they had in the last week. Pure; by what they held, not by what they wasted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from gpuwatch.export.page.names import Names
from gpuwatch.export.page.standing import Standing
from gpuwatch.export.page.tree import Node, listed, node
from gpuwatch.export.page.words import hours, percent
from gpuwatch.model import DeviceView, Snapshot, Use

_TEAM: Final = "Team"


@dataclass
class _Row:
    """A person, or what stands for some."""

    team: str
    gpus: set[str] = field(default_factory=set)
    wasted: set[str] = field(default_factory=set)
    use: Use = field(default_factory=Use)


def people(snapshot: Snapshot, found: Sequence[tuple[DeviceView, Standing]], names: Names) -> Node:
    """The table."""
    rows = _rows(snapshot, found, names)
    if not rows:
        return node("p", "Nobody has held a GPU in the last 7 days.")
    has_teams = any(row.team for row in rows.values())
    heads = [names.heading, *([_TEAM] if has_teams else []), "GPUs now", "Wasted now", "Held", "Used", "Idle"]
    body = [_line(name, row, has_teams=has_teams) for name, row in sorted(rows.items(), key=_most_held_first)]
    return node(
        "table",
        node("caption", "Now, and GPU-hours of the last 7 days"),
        node("thead", listed("tr", map(_head, heads))),
        listed("tbody", body),
    )


def _head(name: str) -> Node:
    return node("th", name, scope="col", class_="name" if name == _TEAM else None)


def _rows(snapshot: Snapshot, found: Sequence[tuple[DeviceView, Standing]], names: Names) -> dict[str, _Row]:
    rows: dict[str, _Row] = {}
    for user, use in snapshot.course.people.items():
        row = rows.setdefault(names.person(user), _Row(names.team(user)))
        row.use = row.use.plus(use)
    for device, standing in found:
        for owner in standing.runs if device.reading is not None else ():
            row = rows.setdefault(names.person(owner.user), _Row(names.team(owner.user)))
            row.gpus.add(device.info.uuid)
            if standing.is_wasted:
                row.wasted.add(device.info.uuid)
    return rows


def _most_held_first(item: tuple[str, _Row]) -> tuple[float, str]:
    return -item[1].use.held, item[0]


def _line(name: str, row: _Row, *, has_teams: bool) -> Node:
    held, busy, _ = row.use
    figures = (
        str(len(row.gpus)),
        str(len(row.wasted)),
        f"{hours(held)} h",
        percent(min(1.0, busy / held)) if held > 0 else "-",
        f"{hours(held - busy)} h",
    )
    team = [node("td", node("bdi", row.team or "-"), class_="name")] if has_teams else []
    return node("tr", node("th", node("bdi", name), scope="row"), *team, *(node("td", figure) for figure in figures))
