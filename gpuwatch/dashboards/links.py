"""From one dashboard to another: who, what and where is taken along, with the server and the time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from grafana_foundation_sdk.builders.dashboard import DashboardLink
from grafana_foundation_sdk.models.dashboard import DashboardLinkType

TEAM: Final = "gpuwatch-team"
NODE: Final = "gpuwatch-node"
PERSON: Final = "gpuwatch-person"
RUN: Final = "gpuwatch-run"
AGENTS: Final = "gpuwatch-agents"
TAG: Final = "gpuwatch"

_WAYS: Final = {
    "user": ("This person", PERSON, ("user",)),
    "run": ("This run", RUN, ("user", "run")),
    "node": ("This node", NODE, ("node",)),
}
"""By column: what the link is called, where it leads, and which columns of the row it takes along."""


def among_dashboards() -> DashboardLink:
    """The menu of all of them, at the top of each."""
    return DashboardLink("gpuwatch").type(DashboardLinkType.DASHBOARDS).tags([TAG]).as_dropdown(True).keep_time(True)


def columns_with_links(labels: str) -> dict[str, dict[str, object]]:
    """The links of a table's columns that lead on, given its columns."""
    there = labels.split(", ")
    return {
        column: _link(title, uid, ((label, f"${{__data.fields.{label}:percentencode}}") for label in takes))
        for column, (title, uid, takes) in _WAYS.items()
        if column in there and set(takes) <= set(there)
    }


def of_series(column: str) -> dict[str, object]:
    """The link of each line of a graph that has this label, and what goes with it."""
    title, uid, takes = _WAYS[column]
    return _link(title, uid, ((label, f"${{__field.labels.{label}:percentencode}}") for label in takes))


def _link(title: str, uid: str, values: Iterable[tuple[str, str]]) -> dict[str, object]:
    variables = "".join(f"&var-{name}={value}" for name, value in values)
    return {"title": title, "url": f"/d/{uid}?${{datasource:queryparam}}&${{__url_time_range}}{variables}"}
