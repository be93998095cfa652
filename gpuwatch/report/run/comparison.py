"""Two runs side by side, and whether the second uses its GPUs as well as the first. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from gpuwatch.errors import GpuwatchError
from gpuwatch.report.figures import written_number
from gpuwatch.report.formats.text import plain
from gpuwatch.report.run.summary import Summary
from gpuwatch.report.run.words import gibibytes, length, percent
from gpuwatch.units import HOUR, MINUTE

SHORTEST_SECONDS: Final = MINUTE
"""Of held GPU time: less is nothing to compare."""


class Measure(NamedTuple):
    """Something that is compared."""

    name: str
    """In JSON, with its unit."""
    label: str
    value: Callable[[Summary], float | None]
    write: Callable[[float], str]
    is_money: bool = False


class Compared(NamedTuple):
    """One measure of both runs."""

    measure: Measure
    a: float | None
    b: float | None

    @property
    def ratio(self) -> float | None:
        """B by A; None where either is unknown, or A's is 0."""
        return self.b / self.a if self.a and self.b is not None else None


def compare_runs(a: Summary, b: Summary) -> list[Compared]:
    """All measures of both. Raises GpuwatchError where one of them is too short to compare."""
    for summary in (a, b):
        if summary.total.held < SHORTEST_SECONDS:
            held = length(summary.total.held)
            raise GpuwatchError(
                f"{plain(summary.owner.run)} held GPUs for {held}: to compare it takes {SHORTEST_SECONDS} s"
            )
    return [Compared(measure, measure.value(a), measure.value(b)) for measure in MEASURES]


def falls_short(a: Summary, b: Summary, ratio: float) -> str:
    """The sentence where B's utilisation is below `ratio` of A's; empty where it is not.

    Raises GpuwatchError where A used nothing.
    """
    first, second = a.total.utilization, b.total.utilization
    if not first:
        raise GpuwatchError(f"{plain(a.owner.run)} never used its GPUs: no ratio can be taken of that")
    share = (second or 0.0) / first
    if share >= ratio:
        return ""
    uses = f"{percent(second)} against {percent(first)}"
    first_name, second_name = plain(a.owner.run), plain(b.owner.run)
    return f"{second_name} uses its GPUs {share:.2f} times as much as {first_name} ({uses}): less than {ratio:g}"


def _cost(summary: Summary) -> float | None:
    return summary.price.of(summary.total.held) if summary.price else None


def _cost_of_busy_hour(summary: Summary) -> float | None:
    cost, busy = _cost(summary), summary.total.busy / HOUR
    return cost / busy if cost is not None and busy else None


def _memory_peak(summary: Summary) -> float | None:
    return summary.memory_peak.memory_peak_bytes if summary.memory_peak else None


def _by_held_hours(summary: Summary, amount: float | None) -> float | None:
    return None if amount is None else amount / (summary.total.held / HOUR)


MEASURES: Final = (
    Measure("gpus", "GPUs", lambda s: len(s.devices), "{:.0f}".format),
    Measure("nodes", "nodes", lambda s: len(s.nodes), "{:.0f}".format),
    Measure("seconds", "duration", lambda s: s.span.seconds, length),
    Measure("held_gpu_hours", "held GPU-h", lambda s: s.total.held / HOUR, written_number),
    Measure("busy_gpu_hours", "busy GPU-h", lambda s: s.total.busy / HOUR, written_number),
    Measure("idle_gpu_hours", "idle GPU-h", lambda s: s.total.idle / HOUR, written_number),
    Measure("utilization", "use", lambda s: s.total.utilization, percent),
    Measure("sm_active_ratio", "SMs active", lambda s: s.total.sm_ratio, percent),
    Measure("memory_peak_bytes", "memory GiB", _memory_peak, gibibytes),
    Measure("cpu_cores", "CPU cores", lambda s: s.cores, written_number),
    Measure("energy_kwh", "energy kWh", lambda s: s.total.energy_kwh, written_number),
    Measure("cost", "cost", _cost, "{:,.2f}".format, is_money=True),
    Measure("kwh_per_gpu_hour", "kWh per GPU-h", lambda s: _by_held_hours(s, s.total.energy_kwh), "{:.3f}".format),
    Measure("core_hours_per_gpu_hour", "core-h per GPU-h", lambda s: _by_held_hours(s, s.core_hours), written_number),
    Measure("cost_per_busy_gpu_hour", "cost per busy h", _cost_of_busy_hour, "{:,.2f}".format, is_money=True),
)
