"""Sentences that a reader has to know to read a report's figures right. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gpuwatch.model.history import Extent, Fleet
from gpuwatch.report import privacy
from gpuwatch.report.figures import written_hours
from gpuwatch.report.period import Period
from gpuwatch.report.policy import Policy
from gpuwatch.units import MINUTE

NO_PRICE: Final = "No price is configured: set cost.gpu_hour to see what it cost."
_LATE_SECONDS: Final = 10 * MINUTE
"""A record that begins or ends so near to the period's own begins or ends with it."""
_TELLING: Final = 0.01
"""Busy time of nobody is told from this part of all busy time on."""


def notes_of(period: Period, extent: Extent, fleet: Fleet, *, policy: Policy, names: str) -> tuple[str, ...]:
    """All that holds for a report, as whole sentences."""
    return tuple(_notes(period, extent, fleet, policy, names))


def _notes(period: Period, extent: Extent, fleet: Fleet, policy: Policy, names: str) -> Iterator[str]:
    window = period.window
    if period.partial:
        yield f"{period.partial[0].upper()}{period.partial[1:]}."
    if extent.first_unix is not None and extent.first_unix > window.start + _LATE_SECONDS:
        yield f"The record begins {written_time(period, extent.first_unix)}: what was before is not in it."
    if extent.last_unix is not None and extent.last_unix < window.end - _LATE_SECONDS:
        yield f"The newest reading is of {written_time(period, extent.last_unix)}: what came after is unknown."
    if fleet.unattributed_busy > _TELLING * (fleet.active + fleet.unattributed_busy):
        yield f"{written_hours(fleet.unattributed_busy)} GPU-h were busy for nobody known: see `gpuwatch check`."
    if names == "team":
        yield f"Names of people are withheld ({privacy.KEY} = team): they are shown as their teams."
    if names == "none":
        yield f"Names are withheld ({privacy.KEY} = none)."
    if policy.gpu_hour is None:
        yield NO_PRICE


def written_time(period: Period, unix: float) -> str:
    """A moment on the clocks of the report's zone, to the minute."""
    return f"{period.local(unix):%Y-%m-%d %H:%M}"
