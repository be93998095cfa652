"""The counters themselves, where nothing is recorded: right all the same, and dearer. Pure.

What a node says is taken by `max by` over whoever scraped it, and from the newest reading of the two hours before: so a
second server, another address or a gap of less than that changes nothing, and a counter that begins anew is seen to
fall once. What a counter added is then its increase; a run's counters come and go, and need the birth rule.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from gpuwatch.model.history import Filters
from gpuwatch.report.prometheus.promql import (
    OWNER,
    SINGLE_RUNS,
    after,
    duration,
    grouped,
    pushed,
    selector,
    upon,
)
from gpuwatch.report.prometheus.ways import PEOPLE, Measure
from gpuwatch.units import DAY, HOUR, MINUTE

_LONG: Final = "2h"
"""As the rules have it."""
_PERSON: Final = ("node", "user", "project")
_PEOPLE: Final[Mapping[Measure, str]] = {
    "held": "gpuwatch_user_gpu_held_seconds_total",
    "busy": "gpuwatch_user_gpu_busy_seconds_total",
    "joules": "gpuwatch_user_gpu_energy_joules_total",
}
RUNS: Final[Mapping[Measure, str]] = {
    "held": "gpuwatch_run_gpu_held_seconds_total",
    "busy": "gpuwatch_run_gpu_busy_seconds_total",
    "joules": "gpuwatch_run_gpu_energy_joules_total",
    "sm_active": "gpuwatch_run_gpu_sm_active_seconds_total",
}
_STATES: Final = "gpuwatch_gpu_state_seconds_total"
_JOULES: Final = "gpuwatch_gpu_energy_joules_total"
_UNATTRIBUTED: Final = "gpuwatch_gpu_unattributed_busy_seconds_total"
_RUN_LABELS: Final = (*_PERSON, "run", "gpu", "uuid")
_FEWEST_LOOKS: Final = 20
"""At the counters of a window, however short it is."""


class Raw:
    """Figures out of the counters."""

    def use(self, measure: Measure, labels: Collection[str], where: Filters, *, seconds: float) -> str:
        """As in Way."""
        if measure in _PEOPLE and set(labels) <= PEOPLE:
            return grouped("sum", labels, _increase(_PEOPLE[measure], _PERSON, where, seconds, step=_closely(seconds)))
        pieces = f"sum_over_time(({_piece(measure, where, _step(seconds))})[{after(seconds)}:{_step(seconds)}s])"
        weight = "" if measure == "joules" else _capacity(seconds)
        return grouped("sum", labels, f"{pieces}{weight}{_model(labels, seconds)}{_kind(labels, seconds)}")

    def runs(self, labels: Collection[str], where: Filters, *, seconds: float) -> str:
        """How many runs held GPUs in the window, by any labels."""
        held = selector(RUNS["held"], pushed(where, _RUN_LABELS), SINGLE_RUNS)
        now = grouped("max", _RUN_LABELS, f"last_over_time({held}[{after(seconds)}])")
        before = grouped("max", _RUN_LABELS, f"last_over_time({held}[{_LONG}] offset {duration(seconds)})")
        moved = f"({now} unless {now} == {before})"
        each = grouped("group", {*labels, *OWNER}, f"{moved}{_model(labels, seconds)}{_kind(labels, seconds)}")
        return grouped("count", labels, each)

    def states(self, labels: Collection[str], where: Filters, *, seconds: float) -> str:
        """As in Way."""
        return _of_devices(_STATES, labels, where, seconds, more=("state",), weight=_capacity(seconds))

    def joules(self, labels: Collection[str], where: Filters, *, seconds: float) -> str:
        """As in Way."""
        return _of_devices(_JOULES, labels, where, seconds)

    def unattributed(self, labels: Collection[str], where: Filters, *, seconds: float) -> str:
        """As in Way."""
        return _of_devices(_UNATTRIBUTED, labels, where, seconds, weight=_capacity(seconds))

    def capacity(self, labels: Collection[str], where: Filters, *, seconds: float) -> str:
        """As in Way."""
        gpus = selector("gpuwatch_gpu_capacity_ratio", pushed(where, ("node",)))
        by = ("node", "uuid", *({"gpu"} & set(labels)))
        each = grouped("max", by, f"last_over_time({gpus}[{after(seconds)}])")
        return grouped("sum", labels, f"{each}{_model(labels, seconds)}")

    def nodes(self, *, seconds: float) -> str:
        """As in Way."""
        return grouped("group", ("node",), f"last_over_time(gpuwatch_build_info[{after(seconds)}])")


def _step(seconds: float) -> int:
    """How finely a window is cut: at its edges, up to that much is of the neighbour."""
    if seconds <= 6 * HOUR:
        return _closely(seconds)
    return 5 * MINUTE if seconds <= 2 * DAY else 15 * MINUTE


def _closely(seconds: float) -> int:
    """Each minute, or more often where that would be seldom: what is seen less than twice has added nothing."""
    return max(1, min(MINUTE, int(seconds // _FEWEST_LOOKS)))


def _newest(metric: str, labels: Collection[str], where: Filters, offset: str = "") -> str:
    return grouped("max", labels, f"last_over_time({selector(metric, pushed(where, labels))}[{_LONG}]{offset})")


def _increase(metric: str, labels: Collection[str], where: Filters, seconds: float, *, step: int) -> str:
    """Of counters that are there for long, and never came into being above 0."""
    return f"increase(({_newest(metric, labels, where)})[{upon(seconds)}:{step}s])"


def _of_devices(
    metric: str,
    labels: Collection[str],
    where: Filters,
    seconds: float,
    *,
    more: tuple[str, ...] = (),
    weight: str = "",
) -> str:
    wanted = {*labels, *more}
    each = ("node", "uuid", *more, *({"gpu"} & wanted))
    step = _closely(seconds) if seconds <= 2 * DAY else 5 * MINUTE
    return grouped(
        "sum", wanted, f"{_increase(metric, each, where, seconds, step=step)}{weight}{_model(wanted, seconds)}"
    )


def _piece(measure: Measure, where: Filters, step: int) -> str:
    """What the counters of runs added in one step.

    One without a base counts from 0 if its run began within the hour and cannot have held the GPU before; else from its
    least value in the step: nobody can know how much of that is new.
    """
    metric, run = RUNS[measure], ("node", *OWNER)
    now = _newest(metric, _RUN_LABELS, where)
    base = _newest(metric, _RUN_LABELS, where, f" offset {step}s")
    least = selector(metric, pushed(where, _RUN_LABELS))
    first = grouped("min", _RUN_LABELS, f"min_over_time({least}[{step}s])")
    began = _newest("gpuwatch_run_start_time_seconds", run, where)
    age = f"(time() - ({began} > time() - {HOUR}))"
    young = f"{_newest(RUNS['held'], _RUN_LABELS, where)} <= on ({', '.join(run)}) group_left () {age}"
    return f"{now} - {base} >= 0 or {now} < {base} or {now} and {young} or {now} - {first}"


def _capacity(seconds: float) -> str:
    gpus = f"last_over_time(gpuwatch_gpu_capacity_ratio[{upon(seconds)}])"
    return f" * on (node, uuid) group_left () {grouped('max', ('node', 'uuid'), gpus)}"


def _model(labels: Collection[str], seconds: float) -> str:
    """One model of each device: a card that is called otherwise since now has two."""
    if "model" not in labels:
        return ""
    infos = grouped("group", ("node", "uuid", "model"), f"last_over_time(gpuwatch_gpu_info[{upon(seconds)}])")
    return f" * on (node, uuid) group_left (model) topk by (node, uuid) (1, {infos})"


def _kind(labels: Collection[str], seconds: float) -> str:
    """One kind of each run; what is no single run has none."""
    if "kind" not in labels:
        return ""
    owner = ", ".join(OWNER)
    infos = grouped("group", (*OWNER, "kind"), f"last_over_time(gpuwatch_run_info[{upon(seconds)}])")
    anyhow = grouped("group", OWNER, f"last_over_time({RUNS['held']}[{upon(seconds + HOUR)}])")
    return f" * on ({owner}) group_left (kind) (topk by ({owner}) (1, {infos}) or on ({owner}) {anyhow})"
