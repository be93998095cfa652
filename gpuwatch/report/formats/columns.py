"""What a row of a report shows in each column, as text: for the formats that people read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from gpuwatch.report.document import Report, Row
from gpuwatch.report.figures import (
    JOULES_IN_KWH,
    digits_for,
    written_energy,
    written_hours,
    written_money,
    written_share,
    written_times,
)
from gpuwatch.report.formats.text import shown
from gpuwatch.units import HOUR

_WHOLE_FROM: Final = 1000
"""A column with such a number has no digits after the point; in any other all numbers have one."""
ALWAYS: Final = 0
"""The importance of what is never left out."""


class Column(NamedTuple):
    """One column: its head, the text of a cell, and how important it is where there is little room (least is most)."""

    head: str
    cell: Callable[[Row], str]
    importance: int
    is_name: bool = False
    """Text, and no number: it stands to the left, and may be cut."""


def columns_of(report: Report) -> list[Column]:
    """The columns that a report has anything for, from left to right."""
    rows, price = report.rows, report.price
    use = [row.usage for row in (*rows, *report.services)]
    hours = digits_for(max((one.held for one in use), default=0) / HOUR, _WHOLE_FROM)
    kwh = digits_for(max((one.joules for one in use), default=0) / JOULES_IN_KWH, _WHOLE_FROM)
    some = [] if "day" in report.by else [Column("#", lambda row: str(row.rank), 4)]
    some += [
        *(_name(index, key) for index, key in enumerate(report.by)),
        Column("held h", lambda row: written_hours(row.usage.held, hours), ALWAYS),
        Column("busy h", lambda row: written_hours(row.usage.busy, hours), 6),
        Column("idle h", lambda row: written_hours(row.usage.idle, hours), ALWAYS),
        Column("use", lambda row: written_share(row.utilization), 1),
    ]
    if any(row.usage.sm_active is not None for row in rows):
        some.append(Column("SMs", lambda row: written_share(row.sm_active_ratio), 7))
    some.append(Column("kWh", lambda row: written_energy(row.usage.joules, kwh), 9))
    if price is not None:
        some.append(Column("idle cost", lambda row: written_money(price.of(row.usage.idle), price.currency), 2))
    if any(row.waste_rank for row in rows):
        some.append(Column("waste #", lambda row: str(row.waste_rank or ""), 3))
    some += [
        Column("runs", lambda row: f"{row.usage.runs:,}", 5),
        Column("headroom", lambda row: written_times(row.headroom), 8),
    ]
    if any(row.worst for row in rows) and "run" not in report.by:
        some.append(Column("worst run", _worst, 10, is_name=True))
    return some


def service_columns(report: Report) -> list[Column]:
    """Those for services, which are not ranked."""
    left_out = {"#", "waste #", "headroom", "worst run"}
    return [column for column in columns_of(report) if column.head not in left_out]


def _name(index: int, key: str) -> Column:
    return Column(key, lambda row: shown(row.values[index]), ALWAYS, is_name=True)


def _worst(row: Row) -> str:
    if row.worst is None:
        return ""
    return f"{shown(row.worst.owner.run)} ({written_hours(row.worst.held - row.worst.busy)} h idle)"
