"""Use in the course of time, as a page shows it: a column for each day, a strip for each node. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from gpuwatch.model.history import Window
from gpuwatch.report.document import Report
from gpuwatch.report.figures import written_hours, written_share
from gpuwatch.report.formats.text import plain
from gpuwatch.report.html import shapes
from gpuwatch.report.html.charts import Charts, Strip
from gpuwatch.report.html.shapes import WIDTH, Box, Layer
from gpuwatch.report.html.tables import Amount, amounts

_MOST_LABELS: Final = 8
"""So many dates have room below a chart, on a phone too."""

_LABEL_WIDTH: Final = 60
"""A day of fewer parts of a thousand, cut off by where a period begins or ends, has no room for its date."""


class Column(NamedTuple):
    """A day, or some, of the chart of use by day."""

    label: str
    """As it stands below the chart; empty where there is no room for it."""
    date: str
    boxes: Sequence[Box]
    amounts: Sequence[Amount]
    hours: str
    idle_share: str
    """Of what was held."""


class StripView(NamedTuple):
    """A node in the course of time."""

    name: str
    layers: Sequence[Layer]
    busy: str
    idle: str
    idle_hours: str


class Mark(NamedTuple):
    """A midnight."""

    x: float
    """In parts of a thousand of the period."""
    label: str
    """Empty where there is no room for it."""


def columns(report: Report, charts: Charts) -> list[Column]:
    """The chart of use by day: a column each, the one with the most GPU time as high as can be."""
    highest = max((fleet.capacity for fleet in charts.bars), default=0.0)
    drawn = shapes.columns(charts.bars, highest)
    windows = [Window(cells[0].start, cells[-1].end) for cells in charts.cut.bars]
    labels = _sparse([_label(report, window) for window in windows])
    return [
        Column(
            label=label,
            date=f"{report.period.local(window.start):%a %Y-%m-%d}",
            boxes=boxes,
            amounts=amounts(report, fleet),
            hours=written_hours(fleet.capacity),
            idle_share=written_share(share),
        )
        for label, window, boxes, fleet, share in zip(
            labels, windows, drawn, charts.bars, idle_shares(charts), strict=True
        )
    ]


def idle_shares(charts: Charts) -> list[float | None]:
    """Idle of held, for each column; None where nothing was held."""
    return [fleet.idle / fleet.held if fleet.held > 0 else None for fleet in charts.bars]


def strips(report: Report, charts: Charts) -> list[StripView]:
    """The nodes, or the GPUs of one."""
    return [_strip(report, charts, strip) for strip in charts.strips]


def midnights(report: Report) -> list[Mark]:
    """The beginnings of the period's days."""
    window = report.period.window
    days = [day for _, day in report.period.days()]
    labels = _sparse([_label(report, day) for day in days])
    marks = [
        Mark(round((day.start - window.start) / window.seconds * WIDTH, 1), label)
        for day, label in zip(days, labels, strict=True)
    ]
    following = [*(mark.x for mark in marks[1:]), WIDTH]
    return [
        mark if end - mark.x >= _LABEL_WIDTH or len(marks) > _MOST_LABELS else mark._replace(label="")
        for mark, end in zip(marks, following, strict=True)
    ]


def _strip(report: Report, charts: Charts, strip: Strip) -> StripView:
    total = strip.total
    return StripView(
        name=plain(strip.name if charts.by == "node" else f"GPU {strip.name.rpartition('/')[2]}"),
        layers=shapes.layers(report.period.window, charts.cut.cells, strip.cells),
        busy=written_share(total.active / total.capacity if total.capacity else None),
        idle=written_share(total.idle / total.capacity if total.capacity else None),
        idle_hours=written_hours(total.idle),
    )


def _label(report: Report, window: Window) -> str:
    """A date, short: the month matters only where it is a long time."""
    start = report.period.local(window.start)
    return f"{start:%a} {start.day}" if report.period.window.seconds <= 10 * 86400 else f"{start.day} {start:%b}"


def _sparse(labels: Sequence[str]) -> list[str]:
    """As many of the labels as have room, at equal distances, and none that would stand out at the end."""
    distance = -(-len(labels) // _MOST_LABELS)
    last = len(labels) - 1 - distance // 2
    return [label if index % distance == 0 and index <= last else "" for index, label in enumerate(labels)]
