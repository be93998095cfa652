"""A finished report: what every format is made from. Nothing here knows a source, a format or a clock.

Names in it are those that may be shown: whoever makes text of it withholds nothing, and asks a source for no further
names. They are other people's text: each format escapes them by its own rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gpuwatch.model.history import Fleet, Question, Usage, Values, WorstRun
from gpuwatch.report.period import Period
from gpuwatch.units import HOUR

NO_TEAM = "no team"
"""The team of people of whom none is known."""
SERVICE = "service"
"""The kind of runs that wait for requests: they have a block of their own, and no rank."""


class Price(NamedTuple):
    """What an hour of a whole GPU costs."""

    gpu_hour: float
    currency: str

    def of(self, seconds: float) -> float:
        """What so much GPU time costs."""
        return seconds / HOUR * self.gpu_hour


class Notices(NamedTuple):
    """What people were sent of idle GPUs."""

    sent: int
    called_wrong: int
    """Of them, by those who got them."""


class Row(NamedTuple):
    """One division of the use, and where it stands among the others."""

    values: Values
    """One for each of the report's `by`, in that order. Unknown ones are empty."""
    usage: Usage
    rank: int
    """By held time, from 1."""
    waste_rank: int | None
    """By idle time, from 1; None of rows that held too little to be judged, and of services."""
    worst: WorstRun | None
    """The run with the most idle time; None where there is none, or none may be named."""

    @property
    def utilization(self) -> float | None:
        """Busy of held; None where nothing was held."""
        return _ratio(self.usage.busy, self.usage.held)

    @property
    def sm_active_ratio(self) -> float | None:
        """How much of the held time all SMs had work; None where no GPU tells."""
        return None if self.usage.sm_active is None else _ratio(self.usage.sm_active, self.usage.held)

    @property
    def headroom(self) -> float | None:
        """How many times as much could run in the time that was held; None where nothing was busy."""
        return _ratio(self.usage.held, self.usage.busy)


@dataclass(frozen=True, slots=True)
class Report:
    """All that is told of a period. Times are in seconds of whole GPUs."""

    period: Period
    by: tuple[str, ...]
    """What the values of rows are: keys of the history, `team` and `day` (2026-11-16)."""
    where: Mapping[str, Sequence[str]]
    """What was asked for: by key, values of which any will do. Empty where it is the whole fleet."""
    source: str
    """Where the figures come from, in words."""
    simulated: bool
    """Nothing of it is real: whatever shows it says so."""
    fleet: Fleet
    """What became of all time of the GPUs that were asked for, whoever held them."""
    nodes: tuple[str, ...]
    missing: tuple[str, ...]
    """Nodes of which nothing is recorded in the period."""
    before: Fleet | None
    """The same of the period before; None where there is no record of most of it."""
    rows: tuple[Row, ...]
    """By held time, the most first (by day, the first day first), without services."""
    services: tuple[Row, ...]
    total: Usage
    """Of the rows together."""
    price: Price | None
    """None where no price is configured: then there is no money anywhere."""
    names: str
    """Whose names are shown: `all`, those of teams instead (`team`), or `none`."""
    notes: tuple[str, ...]
    """Sentences that a reader has to know to read the figures right."""
    questions: tuple[Question, ...]
    """All that was asked of the source for it; nothing where names are withheld, which stand in the questions."""
    notices: Notices | None = None
    """None where they are not kept where the record is."""

    @property
    def headroom(self) -> float | None:
        """How many times as much could have run on GPUs that were available; None where nothing was busy."""
        return _ratio(self.fleet.capacity - self.fleet.unavailable, self.fleet.active)

    @property
    def is_filtered_by_owner(self) -> bool:
        """Only some people's use was asked for, so that rows do not add up to what was held."""
        return bool(set(self.where) - {"node", "model", "gpu"})


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None
