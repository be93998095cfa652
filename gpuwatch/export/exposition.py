"""`/metrics`: the snapshot as Prometheus text or OpenMetrics. The only file that knows prometheus-client.

The names are public; docs/metrics.md lists them. What is not supported is absent, never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.exposition import generate_latest as render_text
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from gpuwatch.export import node_families as node
from gpuwatch.export import run_families as runs
from gpuwatch.export.family import Family, Places
from gpuwatch.model import Snapshot

_render_openmetrics: Callable[[CollectorRegistry, str], bytes] = openmetrics.generate_latest

# All names and label names here are plain ASCII identifiers. Told that UTF-8 is allowed, prometheus-client only checks
# that; told otherwise, it rewrites every name character by character, at twice the cost and with the same result.
_ESCAPING = openmetrics.ALLOWUTF8
_END = b"# EOF\n"


class Exposition:
    """Renders snapshots, one after another.

    prometheus-client's rendering is the most expensive thing that a scrape does. Families that change seldom (what
    things are, how much memory they have) are kept rendered, group by group, while their samples stay the same.
    """

    def __init__(self) -> None:
        self._steady: dict[tuple[str, bool], tuple[list[Family], bytes]] = {}

    def render(self, snapshot: Snapshot, *, open_metrics: bool) -> tuple[bytes, str]:
        """The exposition of a snapshot, and its content type."""
        at = Places(snapshot)
        steady = {
            "things": chain(node.what_things_are(snapshot, at), runs.what_runs_are(snapshot, at)),
            "memory": runs.memory_of_runs(snapshot, at),
            "trees": runs.trees(snapshot, at),
            "counts": node.gpu_counts(snapshot, at),
        }
        moving = chain(
            node.agent(snapshot, at),
            node.gpu_gauges(snapshot, at),
            node.gpu_totals(snapshot, at),
            runs.run_totals(snapshot, at),
            runs.people(snapshot, at),
            node.host(snapshot, at),
        )
        parts = [self._render_steady(name, families, open_metrics) for name, families in steady.items()]
        content_type = openmetrics.CONTENT_TYPE_LATEST if open_metrics else CONTENT_TYPE_LATEST
        return b"".join([*parts, _render(moving, open_metrics)]), content_type

    def _render_steady(self, name: str, families: Iterable[Family], open_metrics: bool) -> bytes:
        families = list(families)
        known, body = self._steady.get((name, open_metrics), (None, b""))
        if known != families:
            body = _render(families, open_metrics).removesuffix(_END)
            self._steady[name, open_metrics] = (families, body)
        return body


def _render(families: Iterable[Family], open_metrics: bool) -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(families))
    return (_render_openmetrics if open_metrics else render_text)(registry, _ESCAPING)


class _Collector(Collector):
    """Hands families to prometheus-client."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._metrics = [_metric(family) for family in families if family.rows]

    def collect(self) -> list[Metric]:
        """The families."""
        return self._metrics


def _metric(family: Family) -> Metric:
    metric = Metric(family.name, family.text, family.kind)
    name = family.name + family.suffix
    metric.samples = [Sample(name, labels, value) for labels, value in family.rows]
    return metric
