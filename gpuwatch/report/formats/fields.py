"""The figures of a report for programs: names that say their unit, and numbers as they are."""

from __future__ import annotations

from typing import Any

from gpuwatch.report.document import Price, Report, Row
from gpuwatch.report.figures import JOULES_IN_KWH
from gpuwatch.report.headline import shares
from gpuwatch.units import HOUR

_DIGITS = 6
"""A millionth of a GPU-hour is four milliseconds."""


def row_fields(row: Row, report: Report) -> dict[str, Any]:
    """A row: what it is of, by the report's keys, and its figures. Of money there is only where a price is known."""
    use = row.usage
    return {
        **dict(zip(report.by, row.values, strict=True)),
        "held_gpu_hours": hours(use.held),
        "busy_gpu_hours": hours(use.busy),
        "idle_gpu_hours": hours(use.idle),
        "utilization": rounded(row.utilization),
        "sm_active_ratio": rounded(row.sm_active_ratio),
        "energy_kwh": rounded(use.joules / JOULES_IN_KWH),
        **money(report.price, idle_cost=use.idle),
        "headroom": rounded(row.headroom),
        "rank": row.rank,
        "waste_rank": row.waste_rank,
        "runs": use.runs,
    }


def fleet_fields(report: Report) -> dict[str, Any]:
    """What became of all GPU time."""
    fleet = report.fleet
    return {
        "capacity_gpu_hours": hours(fleet.capacity),
        "held_gpu_hours": hours(fleet.held),
        "busy_gpu_hours": hours(fleet.active),
        "idle_gpu_hours": hours(fleet.idle),
        "free_gpu_hours": hours(fleet.free),
        "unavailable_gpu_hours": hours(fleet.unavailable),
        "unknown_gpu_hours": hours(fleet.unknown),
        "unattributed_busy_gpu_hours": hours(fleet.unattributed_busy),
        "percents": {share.state: share.percent for share in shares(fleet)},
        "energy_kwh": rounded(fleet.joules / JOULES_IN_KWH),
        **money(report.price, cost=fleet.capacity, idle_cost=fleet.idle),
        "headroom": rounded(report.headroom),
    }


def money(price: Price | None, **seconds: float) -> dict[str, float]:
    """What so much GPU time costs, by name; nothing without a price."""
    return {} if price is None else {name: round(price.of(time), 2) for name, time in seconds.items()}


def hours(seconds: float) -> float:
    """Hours of a whole GPU."""
    return round(seconds / HOUR, _DIGITS)


def rounded(number: float | None) -> float | None:
    """As exact as anybody needs it."""
    return None if number is None else round(number, _DIGITS)
