"""What a page's charts show beyond the report: use in the course of time. Asked of the source in few questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from gpuwatch.model.history import Filters, Fleet, Source, Usage, Window
from gpuwatch.report.document import Report
from gpuwatch.report.filters import in_history, of_devices
from gpuwatch.report.html.cuts import Cut, cut

MOST_STRIPS: Final = 60


class Strip(NamedTuple):
    """A node, or a GPU where there is one node, in the course of time."""

    name: str
    cells: tuple[Fleet | None, ...]
    """As the charts' cells; None where nothing is recorded."""
    total: Fleet


@dataclass(frozen=True, slots=True)
class Charts:
    """Use in the course of a period. Where it is of some people's, what was not theirs is free."""

    cut: Cut
    bars: tuple[Fleet, ...]
    """All of it, for each of the cut's bars."""
    strips: tuple[Strip, ...]
    """Those with the most idle time first."""
    by: str
    """What a strip is: `node` or `gpu`."""
    left_out: int
    """Strips that there is no room for."""


def gather_charts(source: Source, report: Report, *, teams: Mapping[str, str]) -> Charts:
    """Ask for the charts of a report, each cell once or twice. `teams` are by person.

    Raises GpuwatchError as the source does.
    """
    where = in_history(source, report.period.window, report.where, teams=teams, names=report.names)
    pieces = cut(report.period)
    by = "node" if len(report.nodes) > 1 else "gpu"
    answers = {cell: _ask(source, cell, by, where, whole=not report.is_filtered_by_owner) for cell in pieces.cells}
    bars = tuple(_sum([fleet for cell in bar for fleet in answers[cell].values()]) for bar in pieces.bars)
    names = {name for answer in answers.values() for name in answer}
    strips = [_strip(name, [answers[cell].get(name) for cell in pieces.cells]) for name in names]
    if report.is_filtered_by_owner:
        strips = [strip for strip in strips if strip.total.held > 0]
    strips.sort(key=lambda strip: (-strip.total.idle, strip.name))
    left_out = max(0, len(strips) - MOST_STRIPS)
    return Charts(cut=pieces, bars=bars, strips=tuple(strips[:MOST_STRIPS]), by=by, left_out=left_out)


def _ask(source: Source, cell: Window, by: str, where: Filters, *, whole: bool) -> Mapping[str, Fleet]:
    fleets = {name: fleet for (name,), fleet in source.fleet(cell, (by,), of_devices(where)).items()}
    if whole:
        return fleets
    usages = source.usage(cell, (by,), where)
    return {name: _theirs(fleet, usages.get((name,), Usage())) for name, fleet in fleets.items()}


def _theirs(fleet: Fleet, usage: Usage) -> Fleet:
    """The use of some, and as free all that was not theirs."""
    return Fleet(active=usage.held - usage.idle, idle=usage.idle, free=max(0.0, fleet.capacity - usage.held))


def _strip(name: str, cells: Sequence[Fleet | None]) -> Strip:
    return Strip(name, tuple(cells), _sum([cell for cell in cells if cell is not None]))


def _sum(fleets: Sequence[Fleet]) -> Fleet:
    return Fleet(*(sum(values) for values in zip(*fleets, strict=True))) if fleets else Fleet()
