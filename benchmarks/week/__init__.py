"""A week of synthetic runs: how often somebody is told rightly, and of how much that they should be told of.

The week is made by a generator that knows nothing of gpuwatch, its thresholds included; beside it stands the plain rule
that people begin with. Both are told of on the same minutes, and one message for a sweep counts as one for either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from typing import Final

from benchmarks.report import Figure, Options
from benchmarks.week.lives import Life, live
from benchmarks.week.score import Score, score
from benchmarks.week.told import Told, by_gpuwatch, by_plain_rule, together

Way = Callable[[Sequence[Life], int], list[Told]]
_WAYS: Final[tuple[tuple[str, Way], ...]] = (
    ("judged and pushed", by_gpuwatch),
    ("average under 5 % for 15 min", by_plain_rule),
)


def run(options: Options) -> list[Figure]:
    """Figures of one week, in percent and minutes."""
    lives = live(options.seed)
    figures = [Figure("synthetic: runs", len(lives), "")]
    for name, way in _WAYS:
        scores = [(members, score(members, way(members, options.seed))) for members in together(lives)]
        figures += _figures(name, reduce(Score.plus, (one for _, one in scores), Score()))
        figures += _mistakes(name, scores)
    return figures


def _figures(name: str, total: Score) -> list[Figure]:
    return [
        Figure(f"{name}: told", total.told, "times"),
        Figure(f"{name}: precision", 100 * total.precision, "%"),
        Figure(f"{name}: recall, of {total.worth} stretches of 2 GPU-hours and more", 100 * total.recall, "%"),
        Figure(f"{name}: told after, median", total.delay, "min"),
    ]


def _mistakes(name: str, scores: Iterable[tuple[Sequence[Life], Score]]) -> list[Figure]:
    """What it was wrong about, by what the runs were."""
    wrong: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    for members, one in scores:
        wrong[members[0].what] += one.told - one.right
        missed[members[0].what] += one.worth - one.found
    told_wrongly = [Figure(f"{name}: told wrongly of: {what}", n, "times") for what, n in wrong.most_common() if n]
    return told_wrongly + [Figure(f"{name}: missed: {what}", n, "") for what, n in missed.most_common() if n]
