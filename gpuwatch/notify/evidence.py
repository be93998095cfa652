"""The evidence, asked of Prometheus: what the agents say of the runs of some people, and the counters behind it.

Each question takes the most of all that scraped a node, so that a second server or address changes nothing.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from gpuwatch.alert.subject import WASTING
from gpuwatch.judge.limits import STUCK_AFTER
from gpuwatch.model.history import Filters
from gpuwatch.model.judgement import STUCK
from gpuwatch.report.prometheus.client import Client, Labels, Sample
from gpuwatch.report.prometheus.promql import duration, grouped, selector
from gpuwatch.report.server import Server
from gpuwatch.units import DAY, MINUTE

Key = tuple[str, ...]
ON_DEVICE: Final = ("node", "uuid", "user", "project", "run")
RUN: Final = ("node", "user", "project", "run")
DEVICE: Final = ("node", "uuid")
_ABOUT: Final = (*RUN, "kind", "name", "url", "batch_job", "group")
_RUN_GPU: Final = "gpuwatch_run_gpu"
_CPU: Final = "gpuwatch_run_cpu_seconds_total"
_CPU_WINDOW: Final = "5m"
_UNKNOWN: Final = "unknown"
_KNOWN: Final = "1d"
"""A node that was silent for longer is not waited for."""
_LONGEST: Final = 2 * DAY
"""Over how much of what is wasted figures are asked for."""


class Growth(NamedTuple):
    """What counters added while a device was wasted, as far back as the server has them; None of what it has not."""

    held: float | None
    busy: float | None
    joules: float | None
    """Of the device, as the next ones."""
    seen: float | None
    """For how long it was seen."""
    unknown: float | None
    """For how long it was not, though the agent counted on."""


class Evidence(NamedTuple):
    """What is known of the runs of some people at a moment. All text is hostile."""

    verdicts: Sequence[Labels]
    """ON_DEVICE with gpu and verdict."""
    seconds: Mapping[Key, float]
    """By ON_DEVICE: for how long what is wasted is, as far as it was seen."""
    growth: Mapping[Key, Growth]
    """By ON_DEVICE, in that time."""
    memory: Mapping[Key, float]
    """By ON_DEVICE, as the next two."""
    held: Mapping[Key, float]
    busy: Mapping[Key, float]
    abouts: Sequence[Labels]
    """RUN with what it is."""
    starts: Mapping[Key, float]
    """By RUN, as the next."""
    cores: Mapping[Key, float]
    models: Mapping[Key, str]
    """By DEVICE, as the next."""
    capacities: Mapping[Key, float]


class Asking:
    """Asks at one moment. Raises PrometheusError from any question."""

    def __init__(self, server: Server, now_unix: float) -> None:
        self._client = Client(server)
        self._now = now_unix

    def unseen(self) -> frozenset[str]:
        """The nodes of which nothing is known now, and something was a while ago."""
        now = grouped("group", ("node",), "gpuwatch_build_info")
        known = grouped("group", ("node",), f"last_over_time(gpuwatch_build_info[{_KNOWN}])")
        return frozenset(node for (node,) in self._values(f"{known} unless {now}", ("node",)))

    def evidence(self, users: Collection[str]) -> Evidence:
        """Of all runs of some people; at least one of them."""
        where: Filters = {"user": sorted(users)}
        verdicts = self._labels("gpuwatch_run_verdict", (*ON_DEVICE, "gpu", "verdict"), where)
        on_node: Filters = {"node": sorted({labels.get("node", "") for labels in verdicts}) or [""]}
        seconds = self._wasted_seconds(verdicts, where)
        return Evidence(
            verdicts=verdicts,
            seconds=seconds,
            growth=self._growth(seconds, where),
            memory=self._latest(f"{_RUN_GPU}_memory_bytes", ON_DEVICE, where),
            held=self._latest(f"{_RUN_GPU}_held_seconds_total", ON_DEVICE, where),
            busy=self._latest(f"{_RUN_GPU}_busy_seconds_total", ON_DEVICE, where),
            abouts=self._labels("gpuwatch_run_info", _ABOUT, where),
            starts=self._latest("gpuwatch_run_start_time_seconds", RUN, where),
            cores=self._values(grouped("max", RUN, f"rate({selector(_CPU, where)}[{_CPU_WINDOW}])"), RUN),
            models={
                key_of(labels, DEVICE): labels.get("model", "")
                for labels in self._labels("gpuwatch_gpu_info", (*DEVICE, "model"), on_node)
            },
            capacities=self._latest("gpuwatch_gpu_capacity_ratio", DEVICE, on_node),
        )

    def _wasted_seconds(self, verdicts: Iterable[Labels], where: Filters) -> dict[Key, float]:
        """By the idle clocks. Of what is stuck: for how long it was said to be, after the time that it takes to say."""
        clocks = self._latest(f"{_RUN_GPU}_idle_seconds", ON_DEVICE, where)
        stuck = selector("gpuwatch_run_verdict", {**where, "verdict": [STUCK]})
        minutes = self._values(f"count_over_time(({grouped('max', ON_DEVICE, stuck)})[{_KNOWN}:1m])", ON_DEVICE)
        found = {}
        for labels in verdicts:
            key, verdict = key_of(labels, ON_DEVICE), labels.get("verdict")
            if verdict == STUCK:
                found[key] = STUCK_AFTER + MINUTE * minutes.get(key, 0.0)
            elif verdict in WASTING:
                found[key] = clocks.get(key, 0.0)
        return found

    def _growth(self, seconds: Mapping[Key, float], where: Filters) -> dict[Key, Growth]:
        """Devices that are wasted for as many minutes are asked about together."""
        windows: dict[int, list[Key]] = defaultdict(list)
        for key, wasted in seconds.items():
            windows[min(MINUTE * max(1, math.ceil(wasted / MINUTE)), _LONGEST)].append(key)
        found: dict[Key, Growth] = {}
        for window, keys in windows.items():
            on_device: Filters = {"uuid": sorted({key[1] for key in keys})}
            held, busy = (
                self._grown(f"{_RUN_GPU}_{what}_seconds_total", ON_DEVICE, {**where, **on_device}, window)
                for what in ("held", "busy")
            )
            joules = self._grown("gpuwatch_gpu_energy_joules_total", DEVICE, on_device, window)
            states = self._grown("gpuwatch_gpu_state_seconds_total", (*DEVICE, "state"), on_device, window)
            seen, unknown = _seen(states)
            for key in keys:
                at = key[: len(DEVICE)]
                found[key] = Growth(held.get(key), busy.get(key), joules.get(at), seen.get(at), unknown.get(at))
        return found

    def _latest(self, metric: str, by: tuple[str, ...], where: Filters) -> dict[Key, float]:
        return self._values(grouped("max", by, selector(metric, where)), by)

    def _grown(self, metric: str, by: tuple[str, ...], where: Filters, window: float) -> dict[Key, float]:
        """What a counter added; of one that began anew, since then."""
        series = selector(metric, where)
        least = grouped("min", by, f"min_over_time({series}[{duration(window)}])")
        return self._values(f"{grouped('max', by, series)} - {least}", by)

    def _labels(self, metric: str, by: tuple[str, ...], where: Filters) -> list[Labels]:
        return [sample.labels for sample in self._ask(grouped("group", by, selector(metric, where)))]

    def _values(self, expression: str, by: tuple[str, ...]) -> dict[Key, float]:
        return {key_of(sample.labels, by): sample.value for sample in self._ask(expression)}

    def _ask(self, expression: str) -> list[Sample]:
        return self._client.query(expression, at=self._now, purpose="evidence")


def key_of(labels: Labels, by: tuple[str, ...]) -> Key:
    """The values of some labels; of one that is not there it is empty."""
    return tuple(labels.get(name, "") for name in by)


def _seen(states: Mapping[Key, float]) -> tuple[dict[Key, float], dict[Key, float]]:
    """By DEVICE, for how long each was seen, and was not."""
    seen: dict[Key, float] = defaultdict(float)
    unknown: dict[Key, float] = {}
    for (*device, state), seconds in states.items():
        if state == _UNKNOWN:
            unknown[*device,] = seconds
        else:
            seen[*device,] += seconds
    return seen, unknown
