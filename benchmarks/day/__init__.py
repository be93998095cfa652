"""The day: what people are said to have used, held against what they did use.

A scripted day of a small fleet, with all that goes wrong on one, is played through real agents on a driven clock; then
everybody's share is asked for in each way that there is. docs/truth.md tells more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import reduce
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

from standin.trace import shared_fraction

from benchmarks.day.ask import added, ask_prometheus, ask_states, window_of
from benchmarks.day.judge import Found, agreement, errors_of, judge
from benchmarks.day.play import WAYS, Played, play
from benchmarks.day.script import DAY, NodeScript, Plan, write_script
from benchmarks.day.truth import INSTANT_SECONDS, account_of
from benchmarks.report import Figure, Options


def run(options: Options) -> list[Figure]:
    """Figures of a whole day."""
    return list(show(options.seed, DAY))


def show(seed: int, plan: Plan) -> Iterator[Figure]:
    """Figures of one script."""
    nodes = write_script(seed, plan)
    with TemporaryDirectory() as name:
        found = _find(nodes, plan, Path(name))
    yield Figure("runs", sum(len(node.launches) for node in nodes), "")
    yield Figure("held time that is shared, mean of nodes", 100 * mean(shared_fraction(n.trace) for n in nodes), "%")
    yield from judge(account_of(nodes, plan.window), found)
    state, *others = found
    for other in others:
        if other.fleet is not None:
            yield from agreement(other, state)
    dense = account_of(nodes, plan.window, look_seconds=INSTANT_SECONDS)
    errors = errors_of(state.people, dense.people, "joules").values()
    yield Figure("state: joules, had anybody looked at every instant, worst person", max(map(abs, errors)), "%")


def _find(nodes: Sequence[NodeScript], plan: Plan, folder: Path) -> list[Found]:
    """What each way finds, the state's first."""
    folders = [folder / node.name for node in nodes]
    with ProcessPoolExecutor(mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        played = list(pool.map(play, nodes, repeat(plan), folders))
    asked = [ask_states(played, window_of(plan)), *ask_prometheus(folders, folder, plan)]
    return [*asked, *(_sampled(way, played) for way in WAYS)]


def _sampled(way: str, played: Sequence[Played]) -> Found:
    return Found(way, reduce(added, (node.sampled[way] for node in played)))
