"""`/metrics`: the snapshot as Prometheus text or OpenMetrics. The only file that knows prometheus-client.

The names are public; docs/metrics.md lists them. What is not supported is absent, never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.exposition import generate_latest as render_text
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

from gpuwatch.export import node_families as node
from gpuwatch.export import run_families as runs
from gpuwatch.export.family import Family, Labels, Places
from gpuwatch.model import Snapshot

_render_openmetrics: Callable[[CollectorRegistry, str], bytes] = openmetrics.generate_latest
_render_value: Callable[[float], str] = floatToGoString

# All names and label names here are plain ASCII identifiers. Told that UTF-8 is allowed, prometheus-client only checks
# that; told otherwise, it rewrites every name character by character, at twice the cost and with the same result.
_ESCAPING = openmetrics.ALLOWUTF8
_END = "# EOF\n"


class _Rendered(NamedTuple):
    """A family as prometheus-client renders it."""

    labels: list[Labels]
    head: str
    series: list[str]
    """Each sample's name and labels, as they stand before its value."""


class Exposition:
    """Renders snapshots, one after another.

    prometheus-client's rendering is the most expensive thing that a scrape does, and nearly all of it is labels. So a
    family is rendered by it once, and again when its series are other ones; in between new values are put behind them.
    """

    def __init__(self) -> None:
        self._rendered: dict[tuple[str, bool], _Rendered] = {}

    def render(self, snapshot: Snapshot, *, open_metrics: bool) -> tuple[bytes, str]:
        """The exposition of a snapshot, and its content type."""
        return self.render_families(_families(snapshot), open_metrics=open_metrics)

    def render_families(self, families: Iterable[Family], *, open_metrics: bool) -> tuple[bytes, str]:
        """The exposition of some families, and its content type."""
        parts = [self._render(family, open_metrics) for family in families if family.rows]
        if open_metrics:
            parts.append(_END)
        content_type = openmetrics.CONTENT_TYPE_LATEST if open_metrics else CONTENT_TYPE_LATEST
        return "".join(parts).encode(), content_type

    def _render(self, family: Family, open_metrics: bool) -> str:
        labels = [labels for labels, _ in family.rows]
        known = self._rendered.get((family.name, open_metrics))
        if known is None or known.labels != labels:
            known = self._rendered[family.name, open_metrics] = _render_anew(family, labels, open_metrics)
        values = [f"{series} {_render_value(row[1])}\n" for series, row in zip(known.series, family.rows, strict=True)]
        return known.head + "".join(values)


def _families(snapshot: Snapshot) -> Iterator[Family]:
    at = Places(snapshot)
    return chain(
        node.what_things_are(snapshot, at),
        runs.what_runs_are(snapshot, at),
        runs.memory_of_runs(snapshot, at),
        runs.trees(snapshot, at),
        node.gpu_counts(snapshot, at),
        node.agent(snapshot, at),
        node.gpu_gauges(snapshot, at),
        node.gpu_totals(snapshot, at),
        runs.run_totals(snapshot, at),
        runs.verdicts(snapshot, at),
        runs.people(snapshot, at),
        node.host(snapshot, at),
    )


def _render_anew(family: Family, labels: list[Labels], open_metrics: bool) -> _Rendered:
    """In both formats a family is lines of comment and then, in the order of its rows, a line for each sample."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(family))
    text = (_render_openmetrics if open_metrics else render_text)(registry, _ESCAPING).decode().removesuffix(_END)
    lines = text.split("\n")[:-1]
    samples = lines[-len(labels) :]
    head = "".join(f"{line}\n" for line in lines[: -len(labels)])
    return _Rendered(labels, head, [line.rpartition(" ")[0] for line in samples])


class _Collector(Collector):
    """Hands a family to prometheus-client."""

    def __init__(self, family: Family) -> None:
        name = family.name + family.suffix
        self._metric = Metric(family.name, family.text, family.kind)
        self._metric.samples = [Sample(name, labels, value) for labels, value in family.rows]

    def collect(self) -> list[Metric]:
        """The family."""
        return [self._metric]
