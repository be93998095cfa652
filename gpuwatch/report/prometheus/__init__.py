"""The record of a fleet, as a server with Prometheus's query API has it: asked by its HTTP API and by PromQL alone."""

from gpuwatch.report.prometheus.source import PrometheusSource, open_prometheus

__all__ = ["PrometheusSource", "open_prometheus"]
