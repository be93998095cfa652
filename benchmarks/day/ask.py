"""What reports would say of the window: asked of the nodes' states, and of a real Prometheus, as a report asks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

from servers import prometheus
from standin.trace import Share

from benchmarks.day import tsdb
from benchmarks.day.judge import Found
from benchmarks.day.play import START_UNIX, Played
from benchmarks.day.script import Plan
from gpuwatch.model.history import Fleet, Source, Usage, Window
from gpuwatch.report.prometheus import open_prometheus
from gpuwatch.report.server import Server
from gpuwatch.state.history import open_history

STATE_PERCENT: Final = 0.5
PROMETHEUS_PERCENT: Final = 1.0
_STEP_SECONDS: Final = 60
"""The shortest interval of the rules."""


def window_of(plan: Plan) -> Window:
    """The window, in UTC."""
    return Window(START_UNIX, START_UNIX + plan.seconds)


def ask_states(played: Iterable[Played], window: Window) -> Found:
    """The sum of what each node's state says."""
    people: dict[str, Share] = {}
    fleet = Fleet()
    for node in played:
        with closing(open_history(node.state_folder, node=node.name, now_unix=window.end)) as history:
            people = added(people, _people(history, window))
            fleet = Fleet(*map(sum, zip(fleet, _fleet(history, window), strict=True)))
    return Found("state", people, STATE_PERCENT, fleet)


def ask_prometheus(folders: Iterable[Path], folder: Path, plan: Plan) -> Iterator[Found]:
    """What a server says that has only scraped, and then one that has recorded the rules too."""
    window, data = window_of(plan), folder / "data"
    tsdb.store(folders, data)
    with prometheus(folder, None) as server:
        yield _ask("Prometheus, raw", server.port, window)
        began = window.start - plan.lead_seconds + _STEP_SECONDS
        tsdb.record(server, data, start_unix=began, end_unix=window.end)
    with prometheus(folder, None) as server:
        yield _ask("Prometheus, recorded", server.port, window)


def added(one: Mapping[str, Share], other: Mapping[str, Share]) -> dict[str, Share]:
    """Both together, by person."""
    sums = dict(one)
    for name, share in other.items():
        sums[name] = Share(*map(sum, zip(sums.get(name, (0.0, 0.0, 0.0)), share, strict=True)))
    return sums


def _ask(way: str, port: int, window: Window) -> Found:
    source = open_prometheus(Server(url=f"http://127.0.0.1:{port}"), now_unix=window.end)
    return Found(way, _people(source, window), PROMETHEUS_PERCENT, _fleet(source, window))


def _people(source: Source, window: Window) -> dict[str, Share]:
    return {name: _share(usage) for (name,), usage in source.usage(window, ("user",), {}).items()}


def _fleet(source: Source, window: Window) -> Fleet:
    return source.fleet(window, (), {})[()]


def _share(usage: Usage) -> Share:
    return Share(usage.held, usage.busy, usage.joules)
