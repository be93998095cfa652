"""A report of a period, gathered from a record of the past: what is asked, and in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Final

from gpuwatch.errors import NothingRecorded
from gpuwatch.model.history import Extent, Filters, Fleet, Source, Usage
from gpuwatch.report.division import count_runs, divide, together
from gpuwatch.report.document import Price, Report, Row
from gpuwatch.report.filters import in_history, of_devices
from gpuwatch.report.notes import notes_of, written_time
from gpuwatch.report.period import Period
from gpuwatch.report.policy import Policy
from gpuwatch.report.privacy import divided_by, names_shown, withheld
from gpuwatch.report.rows import ranked, services

_MOST: Final = 0.5
"""A period is compared with one of which at least so much is known."""


def gather(
    source: Source,
    period: Period,
    *,
    by: Sequence[str],
    where: Filters,
    policy: Policy,
    teams: Mapping[str, str],
    viewer: str,
) -> Report:
    """The report of a period by some of REPORT_KEYS, of those GPUs and people that the filters name (by the same keys).

    `teams` are by person; `viewer` is who asks, whose own names are shown whatever the policy says. Raises
    NothingRecorded where the record has nothing of the period or of a filter's value, UsageError for what the policy
    withholds, and what the source raises.
    """
    names = names_shown(policy.names, where, viewer)
    shown = divided_by(by, where, names, viewer)
    extent = source.extent(period.window)
    _see_that_it_began(extent, period, source.name)
    asked = in_history(source, period.window, where, teams=teams, names=policy.names)
    division = withheld(divide(source, period, shown, asked, teams), shown, names)
    rows = ranked(division.people, division.worst, shown)
    fleet = source.fleet(period.window, (), of_devices(asked)).get((), Fleet())
    nodes = asked.get("node", extent.nodes)
    return Report(
        period=period,
        by=shown,
        where={key: tuple(values) for key, values in where.items()},
        source=source.name,
        simulated=source.simulated,
        fleet=fleet,
        nodes=tuple(nodes),
        missing=tuple(node for node in extent.missing if node in nodes),
        before=_before(source, period, of_devices(asked), extent),
        rows=rows,
        services=services(division.services, shown),
        total=_sum(rows)._replace(runs=count_runs(source, period.window, asked)),
        price=None if policy.gpu_hour is None else Price(policy.gpu_hour, policy.currency),
        names=names,
        notes=notes_of(period, extent, fleet, policy=policy, names=names),
        questions=tuple(source.asked) if names == "all" else (),  # they name people
    )


def _see_that_it_began(extent: Extent, period: Period, source: str) -> None:
    if extent.first_unix is None:
        raise NothingRecorded(f"there is no record yet: {source}")
    if extent.first_unix >= period.window.end:
        began = written_time(period, extent.first_unix)
        raise NothingRecorded(f"the record begins {began}; before that is nothing, and so of {period.label}")


def _before(source: Source, period: Period, where: Filters, extent: Extent) -> Fleet | None:
    """What became of the GPUs' time in the period before; None where less than most of it is known."""
    window = period.before
    recorded = window.end - max(window.start, extent.first_unix or window.end)
    if window.seconds <= 0 or recorded < _MOST * window.seconds:
        return None
    fleet = source.fleet(window, (), where).get((), Fleet())
    return fleet if fleet.capacity > 0 and fleet.unknown <= (1 - _MOST) * fleet.capacity else None


def _sum(rows: Sequence[Row]) -> Usage:
    return reduce(together, (row.usage for row in rows), Usage())
