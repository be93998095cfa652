"""The recorded series: a window is the sum of its pieces. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from gpuwatch.model.history import Filters
from gpuwatch.report import recorded
from gpuwatch.report.prometheus.promql import OWNER, SINGLE_RUNS, after, duration, grouped, pushed, selector
from gpuwatch.report.prometheus.ways import Measure
from gpuwatch.units import HOUR, MINUTE

PIECE_SECONDS: Final = 5 * MINUTE
"""Of what is recorded of runs."""
_CANDIDATES: Final = 10
"""For the worst of their lives need not be that of the window, nor of the kind that is asked for."""


class _Level(NamedTuple):
    """Series that say how people used GPUs: by which labels, and what they are called."""

    labels: frozenset[str]
    series: Mapping[Measure, str]
    per_node: bool = True


_PEOPLE: Final = frozenset({"user", "project"})
_LEVELS: Final = (
    _Level(
        _PEOPLE,
        {"held": recorded.PEOPLE_HELD, "busy": recorded.PEOPLE_BUSY, "joules": recorded.PEOPLE_JOULES},
        per_node=False,
    ),
    _Level(
        _PEOPLE | {"node"},
        {
            "held": recorded.NODE_PEOPLE_HELD,
            "busy": recorded.NODE_PEOPLE_BUSY,
            "joules": recorded.NODE_PEOPLE_JOULES,
        },
    ),
    _Level(
        _PEOPLE | {"kind"},
        {
            "held": recorded.KIND_HELD,
            "busy": recorded.KIND_BUSY,
            "joules": recorded.KIND_JOULES,
            "sm_active": recorded.KIND_SM_ACTIVE,
        },
        per_node=False,
    ),
    _Level(
        _PEOPLE | {"node", "gpu", "model", "run", "kind"},
        {
            "held": recorded.RUN_HELD,
            "busy": recorded.RUN_BUSY,
            "joules": recorded.RUN_JOULES,
            "sm_active": recorded.RUN_SM_ACTIVE,
        },
    ),
)
"""The cheapest first."""


class Recorded:
    """Figures out of what the rules recorded.

    Several servers may have recorded the same, or each a part of the fleet: `max by` makes one of the former, and where
    it is not `alone`, only series that name their node are read, in which the latter are apart.
    """

    def __init__(self, *, alone: bool) -> None:
        self._alone = alone

    def use(self, measure: Measure, labels: Collection[str], where: Filters, *, seconds: float) -> str:
        """As in Way."""
        level = self._level(measure, labels)
        return _summed(level.series[measure], level.labels, labels, where, seconds)

    def counts_runs(self, labels: Collection[str]) -> bool:
        """Whether starts of runs are recorded by these labels."""
        return self._alone and set(labels) <= _PEOPLE

    def started(self, labels: Collection[str], where: Filters, *, seconds: float) -> str:
        """How many runs began in the window, by user and project."""
        return _summed(recorded.RUNS_STARTED, _PEOPLE, labels, where, seconds)

    def running(self, labels: Collection[str], where: Filters) -> str:
        """How many runs held GPUs both in the five minutes before now and in those before these."""
        held = selector(recorded.RUN_HELD, pushed(where, _PEOPLE), SINGLE_RUNS)
        now, before = (grouped("group", OWNER, f"{held}{of} > 0") for of in ("", f" offset {duration(PIECE_SECONDS)}"))
        return grouped("count", labels, f"{now} and {before}")

    def runs(self, labels: Collection[str], where: Filters, *, seconds: float) -> str:
        """How many runs held GPUs in the window, by any labels."""
        level = self._level("held", (*labels, "run"))
        held = selector(level.series["held"], pushed(where, level.labels), SINGLE_RUNS)
        each = grouped("group", {*labels, *OWNER}, f"sum_over_time({held}[{after(seconds)}]) > 0")
        return grouped("count", labels, each)

    def knows_worst(self, keys: Collection[str]) -> bool:
        """Whether the runs that wasted most are recorded by these keys. Of each kind there is one of each person."""
        return self._alone and set(keys) <= _PEOPLE | {"kind"}

    def worst(self, labels: Collection[str], where: Filters, *, seconds: float) -> str:
        """The runs that may have wasted most: some of each division, by the idle seconds of their lives."""
        worst = selector(recorded.WORST_RUN, pushed(where, _PEOPLE), SINGLE_RUNS)
        each = grouped("max", OWNER, f"max_over_time({worst}[{after(seconds)}])")
        kinds = {"user"} if "kind" in labels else set()  # or else services would crowd out what people run
        return f"topk by ({', '.join(sorted(_PEOPLE.intersection(labels) | kinds))}) ({_CANDIDATES}, {each})"

    def states(self, labels: Collection[str], where: Filters, *, seconds: float) -> str:
        """As in Way. Knows no single GPU."""
        return self._of_devices(recorded.STATES, recorded.NODE_STATES, labels, where, seconds=seconds, more=("state",))

    def joules(self, labels: Collection[str], where: Filters, *, seconds: float) -> str:
        """As in Way. Knows no single GPU."""
        return self._of_devices(recorded.JOULES, recorded.NODE_JOULES, labels, where, seconds=seconds)

    def unattributed(self, labels: Collection[str], where: Filters, *, seconds: float) -> str:
        """As in Way. Knows no single GPU."""
        return self._of_devices(
            recorded.UNATTRIBUTED_BUSY, recorded.NODE_UNATTRIBUTED_BUSY, labels, where, seconds=seconds
        )

    def capacity(self, labels: Collection[str], where: Filters, *, seconds: float) -> str:
        """As in Way. Knows no single GPU."""
        gpus = selector(recorded.NODE_CAPACITY, pushed(where, ("node",)))
        each = grouped("max", ("node", "model"), f"last_over_time({gpus}[{after(seconds)}])")
        return grouped("sum", labels, each)

    def nodes(self, *, seconds: float) -> str:
        """As in Way. A node without GPUs is in no recorded series: it is looked for once an hour."""
        recorded_ones = grouped("group", ("node",), f"last_over_time({recorded.NODE_CAPACITY}[{after(seconds)}])")
        others = grouped("group", ("node",), f"count_over_time(gpuwatch_build_info[{after(seconds)}:{duration(HOUR)}])")
        return f"{recorded_ones} or {others}"

    def newest(self, labels: Collection[str], where: Filters) -> tuple[str, int]:
        """The time of the newest piece of what is recorded of devices, and the seconds of a piece."""
        if self._is_whole_fleet(labels, where):
            return f"max(timestamp({recorded.STATES}))", MINUTE
        return f"max(timestamp({recorded.NODE_STATES}))", PIECE_SECONDS

    def _level(self, measure: Measure, labels: Collection[str]) -> _Level:
        return next(
            level
            for level in _LEVELS
            if level.labels.issuperset(labels) and measure in level.series and (level.per_node or self._alone)
        )

    def _of_devices(
        self,
        fleet: str,
        node: str,
        labels: Collection[str],
        where: Filters,
        *,
        seconds: float,
        more: tuple[str, ...] = (),
    ) -> str:
        """Out of the series of the whole fleet where these are enough, else out of those by node and model."""
        own = [*labels, *more]
        if self._is_whole_fleet(labels, where):
            return _summed(fleet, frozenset(more), own, where, seconds)
        return _summed(node, frozenset({"node", "model", *more}), own, where, seconds)

    def _is_whole_fleet(self, labels: Collection[str], where: Filters) -> bool:
        return self._alone and not labels and not where


def _summed(series: str, has: frozenset[str], labels: Collection[str], where: Filters, seconds: float) -> str:
    """The pieces of a window, each series once, however many servers recorded it."""
    pieces = f"sum_over_time({selector(series, pushed(where, has))}[{after(seconds)}])"
    return grouped("sum", labels, grouped("max", has, pieces))
