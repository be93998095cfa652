"""Panels of what is so now, which several dashboards have. Only gauges are asked: of what has ended there is none."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.table import Panel as Table

from gpuwatch.dashboards.panels import WIDE, Column, rows
from gpuwatch.dashboards.promql import RUN, now, selected, verdict_numbers

_WASTING: Final = 'verdict=~"idle|underused|stuck|kept_warm|reserved"'
_MOST: Final = 50
_IDLE: Final = "gpuwatch_run_gpu_idle_seconds"
_MEMORY: Final = "gpuwatch_run_gpu_memory_bytes"


def holders(title: str, *matchers: str, width: int = WIDE) -> Table:
    """Who holds which GPU, and what is thought of it."""
    memory = now(_MEMORY, *matchers, by=RUN)
    return rows(
        title,
        "Whoever holds a GPU at this moment. The verdict is the agent's own, made once a minute; the idle clock is the "
        "seen time since the run last used the GPU. Of short runs, which are charged together, none is judged.",
        RUN,
        Column("verdict", f"{verdict_numbers(*matchers, by=RUN)} or 0 * {memory}", verdict=True),
        Column("idle for", now(_IDLE, *matchers, by=RUN), "s"),
        Column("memory", memory, "bytes"),
        width=width,
        sort="idle for",
    )


def wasted(title: str) -> Table:
    """Who holds GPUs without using them, the longest first."""
    judged = selected("gpuwatch_run_verdict", _WASTING)
    longest = f"topk({_MOST}, {now(_IDLE, by=RUN)} and on ({RUN}) {judged})"
    return rows(
        title,
        f"The verdicts are the agents' own. At most {_MOST}, those that are idle for longest.",
        RUN,
        Column("verdict", f"({verdict_numbers(by=RUN)}) and on ({RUN}) {longest}", verdict=True),
        Column("idle for", longest, "s"),
        sort="idle for",
    )
