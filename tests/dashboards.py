"""The dashboards, asked of a real Prometheus server as Grafana would ask it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.error import HTTPError

from servers import Prometheus

import grafana
from gpuwatch.dashboards.packaged import packaged
from grafana import Choice, Query, Span

Series = dict[str, Any]
"""As Prometheus has it: `metric`, and `value` or `values`."""
DASHBOARDS: Final[dict[str, dict[str, Any]]] = {
    name.removesuffix(".json"): json.loads(text) for name, text in packaged().items()
}
QUERIES: Final = {name: list(grafana.queries(dashboard)) for name, dashboard in DASHBOARDS.items()}
EVERY: Final = [(name, query) for name, found in QUERIES.items() for query in found]


def query_of(name: str, panel: str, ref: str = "A") -> Query:
    """That query of a panel, by the panel's title."""
    [found] = [query for query in QUERIES[name] if (query.panel, query.ref) == (panel, ref)]
    return found


def asked(server: Prometheus, name: str, query: Query, span: Span, chosen: Mapping[str, Choice]) -> list[Series]:
    """The series that Grafana would get. Fails with the server's own words where it takes the query for none."""
    span = span._replace(step=max(span.step, query.at_least))
    text = put_in(name, query.expression, span, chosen)
    try:
        if query.instant:
            found = server.get("query", query=text, time=str(span.end))
        else:
            start, end = (at // span.step * span.step for at in (span.start, span.end))
            found = server.get("query_range", query=text, start=str(start), end=str(end), step=str(span.step))
    except HTTPError as error:
        raise AssertionError(f"{query}: {error.read().decode()}\n{text}") from error
    assert found["resultType"] == ("vector" if query.instant else "matrix")
    series: list[Series] = found["result"]
    return series


def options(server: Prometheus, name: str, variable: str, span: Span, chosen: Mapping[str, Choice]) -> list[str]:
    """What there is to choose from: `label_values` as Grafana asks for it."""
    query: str = grafana.variables(DASHBOARDS[name])[variable]["query"]["query"]
    selector, _, label = query.removeprefix("label_values(").removesuffix(")").rpartition(", ")
    arguments = {"match[]": put_in(name, selector, span, chosen), "start": str(span.start), "end": str(span.end)}
    found: list[str] = server.get(f"label/{label}/values", **arguments)
    return found


def put_in(name: str, text: str, span: Span, chosen: Mapping[str, Choice]) -> str:
    """A text of the dashboard with what is chosen."""
    there = grafana.variables(DASHBOARDS[name])
    custom_all = {key: str(variable["allValue"]) for key, variable in there.items() if "allValue" in variable}
    return grafana.interpolated(text, {**span.variables(), **chosen}, custom_all)


def values(series: Series) -> list[float]:
    """The numbers of a series."""
    points = [series["value"]] if "value" in series else series["values"]
    return [float(value) for _, value in points]
