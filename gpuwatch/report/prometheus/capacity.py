"""What was paid: the GPUs that were there, also while nothing was heard of them. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from gpuwatch.model.history import Window
from gpuwatch.report.prometheus.client import Track
from gpuwatch.units import DAY, HOUR, MINUTE

CARRIED_SECONDS: Final = 7 * DAY
"""For so long a node that is silent still counts, with the GPUs that it had last."""
_MOST_STEPS: Final = 200

Division = tuple[str, ...]
"""Values of labels."""
_Gpus = Mapping[Division, float]
_Looks = Mapping[float, _Gpus]
"""By time, in seconds of UTC."""
_NOTHING: Final[_Gpus] = {}


class Steps(NamedTuple):
    """Where a window is looked at: each step is of the `seconds` before it, the last one at the window's end."""

    window: Window
    seconds: int

    @property
    def first(self) -> float:
        """The time of the first."""
        return self.window.end - (self.many - 1) * self.seconds

    @property
    def many(self) -> int:
        """How many there are: at least one."""
        return max(1, int(-(-self.window.seconds // self.seconds)))

    def number(self, unix: float) -> int:
        """Which of them is at a time; a server may have moved it a little."""
        return round((unix - self.first) / self.seconds)

    def covered(self, number: int, window: Window) -> float:
        """How many seconds of a part of the window a step stands for."""
        end = self.first + number * self.seconds
        return min(end, window.end) - max(self.window.start, window.start, end - self.seconds)


def steps(window: Window) -> Steps:
    """Up to 200 steps of a minute to an hour; more where hours are not enough."""
    return Steps(window, int(min(max(window.seconds // _MOST_STEPS, MINUTE), HOUR)))


class Stock:
    """How many GPUs every node had at each step of a window, by the values of some labels.

    A node counts from its first sight on, and until seven days after its last.
    """

    def __init__(self, before: Iterable[Track], within: Iterable[Track], grid: Steps, labels: Collection[str]) -> None:
        """The tracks are of nodes: `before` of the seven days before the window, `within` of its steps."""
        self.grid = grid
        looks_before, looks_within = _by_node(before, labels), _by_node(within, labels)
        self._nodes = [
            tuple(_at_each_step(looks_before.get(node, {}), looks_within.get(node, {}), grid))
            for node in {*looks_before, *looks_within}
        ]

    def seconds(self, window: Window) -> dict[Division, float]:
        """The time of the GPUs in a part of the window."""
        covered = [(number, self.grid.covered(number, window)) for number in range(self.grid.many)]
        shares = [(number, seconds) for number, seconds in covered if seconds > 0]
        total: dict[Division, float] = defaultdict(float)
        for node in self._nodes:
            for number, seconds in shares:
                for division, count in node[number].items():
                    total[division] += count * seconds
        return dict(total)


def _at_each_step(before: _Looks, within: _Looks, grid: Steps) -> Iterator[_Gpus]:
    """The GPUs of one node: those that it had last."""
    last_unix, last = -math.inf, _NOTHING
    if before:
        last_unix = max(before)
        last = before[last_unix]
    seen = {grid.number(unix): gpus for unix, gpus in within.items()}
    for number in range(grid.many):
        at = grid.first + number * grid.seconds
        if number in seen:
            last_unix, last = at, seen[number]
        yield last if at - last_unix <= CARRIED_SECONDS else _NOTHING


def _by_node(tracks: Iterable[Track], labels: Collection[str]) -> dict[str, dict[float, dict[Division, float]]]:
    found: dict[str, dict[float, dict[Division, float]]] = defaultdict(lambda: defaultdict(dict))
    for track in tracks:
        division = tuple(track.labels.get(label, "") for label in labels)
        looks = found[track.labels.get("node", "")]
        for unix, value in track.points:
            looks[unix][division] = value
    return found
