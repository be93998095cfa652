"""Rows of a report: in order, ranked by hours and by waste. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from gpuwatch.model.history import Usage, Values, WorstRun
from gpuwatch.report.document import Row
from gpuwatch.units import HOUR

JUDGED_SECONDS: Final = 24 * HOUR
"""Whoever held less is not ranked by waste: a few idle hours are no habit."""


def ranked(usages: Mapping[Values, Usage], worst: Mapping[Values, WorstRun], by: Sequence[str]) -> tuple[Row, ...]:
    """The divisions that held anything, as rows with their ranks, those that held most first; by day, in order."""
    held = {values: usage for values, usage in usages.items() if usage.held > 0}
    ranks = _ranks({values: usage.held for values, usage in held.items()})
    waste = _ranks({values: usage.idle for values, usage in held.items() if usage.held > JUDGED_SECONDS})
    rows = (Row(values, usage, ranks[values], waste.get(values), worst.get(values)) for values, usage in held.items())
    if "day" in by:
        day = by.index("day")
        return tuple(sorted(rows, key=lambda row: (row.values[day], row.rank)))
    return tuple(sorted(rows, key=lambda row: row.rank))


def services(usages: Mapping[Values, Usage], by: Sequence[str]) -> tuple[Row, ...]:
    """The same of services, which wait for a living: no rank by waste, and no worst run."""
    return tuple(row._replace(waste_rank=None) for row in ranked(usages, {}, by))


def _ranks(amounts: Mapping[Values, float]) -> dict[Values, int]:
    """Places from 1, of the largest; of equal ones in the order of their names."""
    ordered = sorted(amounts, key=lambda values: (-amounts[values], values))
    return {values: place for place, values in enumerate(ordered, start=1)}
