"""A fleet's record in a Prometheus server, as reports ask for it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Final, get_args

from gpuwatch.errors import QueryTooHeavy
from gpuwatch.model.history import (
    Extent,
    Filters,
    Fleet,
    Question,
    RunRecord,
    Usage,
    Values,
    Window,
    WorstRun,
)
from gpuwatch.model.identity import Owner
from gpuwatch.report.prometheus import extent, runs
from gpuwatch.report.prometheus.client import Client, Sample
from gpuwatch.report.prometheus.coverage import Coverage, find_coverage
from gpuwatch.report.prometheus.promql import NO_SINGLE_RUN, OWNER, labels_of, passes, values_of
from gpuwatch.report.prometheus.raw_way import Raw
from gpuwatch.report.prometheus.recorded_way import PIECE_SECONDS, Recorded
from gpuwatch.report.prometheus.run_record import read_run
from gpuwatch.report.prometheus.stock import Stocks
from gpuwatch.report.prometheus.ways import PEOPLE, Measure, Way
from gpuwatch.report.server import Server
from gpuwatch.units import HOUR

_MEASURES: Final[tuple[Measure, ...]] = get_args(Measure)
_STATES: Final = ("active", "idle", "free", "unavailable")


def open_prometheus(server: Server, *, now_unix: float) -> PrometheusSource:
    """The record at a server, which is not asked yet. Raises UsageError where its settings contradict each other."""
    return PrometheusSource(Client(server), now_unix=now_unix)


class PrometheusSource:
    """A `gpuwatch.model.history.Source`. It raises PrometheusError, in words, from any method."""

    def __init__(self, client: Client, *, now_unix: float) -> None:
        self._client = client
        self._now_unix = now_unix
        self._coverage: dict[Window, Coverage] = {}

    @property
    def name(self) -> str:
        """The server, and whether figures are of recorded series or raw ones: of the longest window so far."""
        words = [f"Prometheus at {self._client.url}"]
        if self._coverage:
            longest = max(self._coverage, key=lambda window: window.seconds)
            words.append(self._coverage[longest].words)
        return ", ".join(words) + "".join(f"; the server warns: {warning}" for warning in self._client.warnings)

    @cached_property
    def simulated(self) -> bool:
        """Every agent that it ever scraped was a demo."""
        return runs.are_simulated(self._client, self._since, self._now_unix)

    @property
    def asked(self) -> Sequence[Question]:
        """All queries so far."""
        return self._client.asked

    def extent(self, window: Window) -> Extent:
        """As in Source."""
        first, asked = self._first, self._past(window)
        if first is None:
            return Extent(None, None, (), ())
        if asked.seconds <= 0:
            return Extent(first, None, (), ())
        last = extent.find_last(self._client, asked.end, first) if asked.end >= first else None
        known, present = extent.find_nodes(self._client, self._way(window), asked)
        return Extent(first, last, tuple(sorted(known)), tuple(sorted(known - present)))

    def usage(self, window: Window, by: Sequence[str], where: Filters) -> dict[Values, Usage]:
        """As in Source. Who had nothing, is not in it."""
        sums = {measure: self._use(measure, window, by, where) for measure in _MEASURES}
        sums["sm_active"] = self._scaled(sums["sm_active"], sums["held"], window, by, where)
        counts = self._runs(window, by, where)
        found = {
            key: Usage(
                held=sums["held"].get(key, 0.0),
                busy=sums["busy"].get(key, 0.0),
                joules=sums["joules"].get(key, 0.0),
                sm_active=sums["sm_active"].get(key),
                runs=round(counts.get(key, 0.0)),
            )
            for key in {*sums["held"], *sums["joules"], *counts}
        }
        had = {key: use for key, use in found.items() if use.held or use.joules or use.runs}
        return had if by else {(): had.get((), Usage())}

    def fleet(self, window: Window, by: Sequence[str], where: Filters) -> dict[Values, Fleet]:
        """As in Source. Capacity is what was there, not what was seen."""
        part = self._recorded_part(window)
        if part is None:
            return {} if by else {(): Fleet()}
        labels = labels_of([*by, *where])
        way = Raw() if "gpu" in labels else self._way(window)

        def sums(expression: Callable[..., str], purpose: str, keys: Sequence[str] = by) -> dict[Values, float]:
            rows = self._sum(lambda seconds: expression(labels, where, seconds=seconds), part, purpose)
            return _divided(rows, keys, where)

        states = sums(way.states, "the states of GPUs", [*by, "state"])
        joules = sums(way.joules, "energy of GPUs")
        unattributed = sums(way.unattributed, "busy time that nobody is charged with")
        capacity = _divided(self._stocks.seconds(way, part, labels, where), by, where)
        return {
            key: _fleet(
                {state: states.get((*key, state), 0.0) for state in _STATES},
                capacity.get(key, 0.0),
                joules=joules.get(key, 0.0),
                unattributed=unattributed.get(key, 0.0),
            )
            for key in {*capacity, *(key[:-1] for key in states), *(() if by else ((),))}
        }

    def worst_runs(self, window: Window, by: Sequence[str], where: Filters) -> dict[Values, WorstRun]:
        """As in Source. Of people, the candidates are known beforehand: those that wasted most in all their lives."""
        if self._recorded_part(window) is None:
            return {}
        way = self._way(window)
        if isinstance(way, Recorded) and way.knows_worst([*by, *where]):
            where = self._candidates(way, window, by, where)
            if not where["run"]:
                return {}
        keys = [*by, *(label for label in OWNER if label not in by)]
        held = self._use("held", window, keys, where)
        busy = self._use("busy", window, keys, where)
        worst: dict[Values, WorstRun] = {}
        for key, seconds in held.items():
            known = dict(zip(keys, key, strict=True))
            run = WorstRun(Owner(*(known[label] for label in OWNER)), seconds, busy.get(key, 0.0))
            division = key[: len(by)]
            if run.owner.run not in NO_SINGLE_RUN and _waste(run) > _waste(worst.get(division)):
                worst[division] = run
        urls = runs.find_urls(self._client, [run.owner for run in worst.values()], self._past(window))
        return {key: run._replace(url=urls.get(run.owner, "")) for key, run in worst.items()}

    def find_runs(self, text: str) -> list[Owner]:
        """As in Source."""
        return runs.find_runs(self._client, text, since=self._since, until=self._now_unix)

    def read_run(self, owner: Owner) -> RunRecord | None:
        """As in Source."""
        return read_run(self._client, owner, since=self._since, until=self._now_unix)

    # Windows

    def _past(self, window: Window) -> Window:
        return Window(window.start, min(window.end, self._now_unix))

    @cached_property
    def _first(self) -> float | None:
        return extent.find_first(self._client, self._now_unix)

    @cached_property
    def _stocks(self) -> Stocks:
        return Stocks(self._client, self._since)

    @property
    def _since(self) -> float:
        return self._now_unix if self._first is None else self._first

    def _recorded_part(self, window: Window) -> Window | None:
        """What of a window is in the record at all."""
        first, past = self._first, self._past(window)
        if first is None or first >= past.end:
            return None
        part = Window(max(first, past.start), past.end)
        return part if part.seconds > 0 else None

    def _way(self, window: Window) -> Way:
        """The way to the figures of a window; its days and hours are read as the whole is."""
        part = self._recorded_part(window)
        if part is None:
            return Raw()
        enclosing = (known for known in self._coverage if known.start <= part.start and part.end <= known.end)
        known = next(enclosing, part)
        if known not in self._coverage:
            self._coverage[known] = find_coverage(self._client, part)
        coverage = self._coverage[known]
        return Recorded(alone=coverage.alone) if coverage.recorded else Raw()

    # Sums

    def _sum(self, expression: Callable[[float], str], window: Window, purpose: str) -> list[Sample]:
        """What adds up over time: in halves where the whole is too much for the server."""
        try:
            return self._client.query(expression(window.seconds), at=window.end, purpose=purpose)
        except QueryTooHeavy:
            if window.seconds <= HOUR:
                raise
            middle = window.start + window.seconds // 2
            halves = Window(window.start, middle), Window(middle, window.end)
            return [sample for half in halves for sample in self._sum(expression, half, purpose)]

    def _use(self, measure: Measure, window: Window, by: Sequence[str], where: Filters) -> dict[Values, float]:
        part, way, labels = self._recorded_part(window), self._way(window), labels_of([*by, *where])
        if part is None:
            return {}
        rows = self._sum(
            lambda seconds: way.use(measure, labels, where, seconds=seconds), part, f"{measure}, by {_words(by)}"
        )
        return _divided(rows, by, where)

    def _scaled(
        self,
        active: dict[Values, float],
        held: dict[Values, float],
        window: Window,
        by: Sequence[str],
        where: Filters,
    ) -> dict[Values, float]:
        """The activity of SMs as a part of what was held: it is known of runs, in pieces of not just the same time."""
        if not active or not labels_of([*by, *where]) <= PEOPLE:
            return active
        of_runs: dict[Values, float] = defaultdict(float)
        for (*values, _), seconds in self._use("held", window, [*by, "kind"], where).items():
            of_runs[tuple(values)] += seconds
        return {key: seconds * held.get(key, 0.0) / of_runs[key] for key, seconds in active.items() if of_runs[key] > 0}

    def _runs(self, window: Window, by: Sequence[str], where: Filters) -> dict[Values, float]:
        """How many different runs: those that began, and those that were there already, or each by its series."""
        part, way, labels = self._recorded_part(window), self._way(window), labels_of([*by, *where])
        if part is None:
            return {}
        purpose = f"runs, by {_words(by)}"
        if isinstance(way, Recorded) and way.counts_runs(labels):
            started = way.started(labels, where, seconds=part.seconds)
            rows = [
                *self._client.query(started, at=part.end, purpose=f"{purpose}: those that began"),
                *self._client.query(
                    way.running(labels, where),
                    at=part.start + PIECE_SECONDS,
                    purpose=f"{purpose}: those that were there when the window began",
                ),
            ]
        elif isinstance(way, Recorded | Raw):
            rows = self._client.query(way.runs(labels, where, seconds=part.seconds), at=part.end, purpose=purpose)
        return _divided(rows, by, where)

    def _candidates(self, way: Recorded, window: Window, by: Sequence[str], where: Filters) -> Filters:
        past = self._past(window)
        found = self._client.query(
            way.worst([*by, *where], where, seconds=past.seconds), at=past.end, purpose="runs that may have wasted most"
        )
        return {**where, "run": sorted({sample.labels["run"] for sample in found})}


def _divided(rows: Sequence[Sample], by: Sequence[str], where: Filters) -> dict[Values, float]:
    sums: dict[Values, float] = defaultdict(float)
    for row in rows:
        if passes(row.labels, where):
            sums[values_of(row.labels, by)] += row.value
    return dict(sums)


def _fleet(states: dict[str, float], capacity: float, *, joules: float, unattributed: float) -> Fleet:
    known = sum(states.values())
    return Fleet(**states, unknown=max(0.0, capacity - known), joules=joules, unattributed_busy=unattributed)


def _waste(run: WorstRun | None) -> float:
    return 0.0 if run is None else run.held - run.busy


def _words(by: Sequence[str]) -> str:
    return " and ".join(by) or "nothing"
