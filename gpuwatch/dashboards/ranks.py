"""Tables that rank people, runs and nodes by what they came to: the first few, and the same few in each column."""

from __future__ import annotations

from typing import NamedTuple

from gpuwatch.dashboards.panels import Column
from gpuwatch.dashboards.promql import added, hours, ratio, rest
from gpuwatch.dashboards.variables import priced
from gpuwatch.report import recorded
from gpuwatch.units import HOUR

_KILOWATT_HOUR = 1000 * HOUR


class Level(NamedTuple):
    """Recorded series that say how GPUs were used, and which of them are asked."""

    held: str
    busy: str
    joules: str
    matchers: tuple[str, ...] = ()


PEOPLE = Level(recorded.PEOPLE_HELD, recorded.PEOPLE_BUSY, recorded.PEOPLE_JOULES)
KINDS = Level(recorded.KIND_HELD, recorded.KIND_BUSY, recorded.KIND_JOULES)
RUNS = Level(recorded.RUN_HELD, recorded.RUN_BUSY, recorded.RUN_JOULES)


class Use(NamedTuple):
    """How GPUs were used in the time shown, by some labels. All are expressions, in hours but for the ratios."""

    held: str
    busy: str
    idle: str
    ratio: str
    headroom: str
    kwh: str


def use(level: Level, *matchers: str, by: str = "") -> Use:
    """Of those that match."""
    held, busy, joules = (added(series, *level.matchers, *matchers, by=by) for series in level[:3])
    return Use(
        held=hours(held),
        busy=hours(busy),
        idle=hours(rest(held, busy)),
        ratio=ratio(busy, held),
        headroom=ratio(held, busy),
        kwh=f"{joules} / {_KILOWATT_HOUR}",
    )


def columns(found: Use, *, by: str, first: str) -> list[Column]:
    """Of the `first` ones alone, which is an expression."""
    return [
        Column("held h", _of(found.held, by, first), "locale", 1),
        Column("busy h", _of(found.busy, by, first), "locale", 1),
        Column("idle h", _of(found.idle, by, first), "locale", 1),
        Column("use", _of(found.ratio, by, first), "percentunit", 0),
        Column("headroom", _of(found.headroom, by, first), "suffix:x", 1),
        Column("kWh", _of(found.kwh, by, first), "locale", 1),
        Column("idle cost", priced(_of(found.idle, by, first)), "locale", 0),
    ]


def _of(expression: str, by: str, first: str) -> str:
    return f"({expression}) and on ({by}) {first}"
