"""Runs by what people call them, and what else is known of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from gpuwatch.model.history import Window
from gpuwatch.model.identity import Owner
from gpuwatch.report.prometheus.client import Client, Labels
from gpuwatch.report.prometheus.promql import OWNER, grouped, literally, quoted, selector, upon
from gpuwatch.report.prometheus.raw_way import RUNS

INFO: Final = "gpuwatch_run_info"
START: Final = "gpuwatch_run_start_time_seconds"
SIMULATED: Final = "SIMULATED"
"""What the driver's version begins with where `gpuwatch demo` is the agent."""


def find_runs(client: Client, text: str, *, since: float, until: float) -> list[Owner]:
    """The runs that are called so in full, else without their source, else by batch job, else by name: newest first."""
    if not text:
        return []
    ways = (
        selector(RUNS["held"], {"run": [text]}),
        selector(RUNS["held"], {}, f"run=~{quoted(f'[^:]+:{literally(text)}')}"),
        selector(INFO, {"batch_job": [text]}),
        selector(INFO, {"name": [text]}),
    )
    for match in ways:
        series = client.series([match], start=since, end=until, purpose="the runs that are called so")
        if owners := {owner_of(labels) for labels in series}:
            starts = _find_starts(client, owners, Window(since, until))
            return sorted(owners, key=lambda owner: (-starts.get(owner, 0.0), owner))
    return []


def find_urls(client: Client, owners: Collection[Owner], window: Window) -> dict[Owner, str]:
    """The links of those that had one in the window."""
    if not owners:
        return {}
    info = selector(INFO, {"run": sorted({owner.run for owner in owners})}, 'url!=""')
    found = client.query(
        grouped("group", (*OWNER, "url"), f"last_over_time({info}[{upon(window.seconds)}])"),
        at=window.end,
        purpose="links to runs",
    )
    return {owner_of(sample.labels): sample.labels["url"] for sample in found}


def are_simulated(client: Client, since: float, until: float) -> bool:
    """Whether there are agents, and all of them are demos."""
    agents = client.series(["gpuwatch_build_info"], start=since, end=until, purpose="whether anything is real")
    return bool(agents) and all(agent.get("driver", "").startswith(SIMULATED) for agent in agents)


def owner_of(labels: Labels) -> Owner:
    """Whose series it is: an empty label is none to the server."""
    return Owner(*(labels.get(label, "") for label in OWNER))


def _find_starts(client: Client, owners: Collection[Owner], window: Window) -> Mapping[Owner, float]:
    start = selector(START, {"run": sorted({owner.run for owner in owners})})
    found = client.query(
        grouped("max", OWNER, f"max_over_time({start}[{upon(window.seconds)}])"),
        at=window.end,
        purpose="when runs began",
    )
    return {owner_of(sample.labels): sample.value for sample in found}
