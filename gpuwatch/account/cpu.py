"""CPU seconds, from one reading to the next: of runs' process trees, and of the machine. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import replace

from gpuwatch.model import HostReading, Identity, TreeReading


class CpuMeter:
    """Increments of CPU seconds by launch root.

    First sight is a baseline. A tree's sum falls when a child leaves it unwaited for: then nothing is charged, and the
    lower sum is the base of what comes. So it is where a process has come over from another tree: its past is charged.
    """

    def __init__(self) -> None:
        self._last: dict[Identity, float] = {}
        self._roots: dict[Identity, Identity] = {}

    def advance(
        self, trees: Mapping[Identity, TreeReading], members: Mapping[Identity, Set[Identity]]
    ) -> dict[Identity, float]:
        """CPU seconds used since the last call, by root; roots that are not given are forgotten.

        `members` are, by root, those processes of the trees that can move from one to another.
        """
        roots = {process: root for root in trees for process in members[root]}
        joined = {root for process, root in roots.items() if self._roots.get(process, root) != root}
        steps = {
            root: max(0.0, tree.cpu_seconds - self._last[root])
            for root, tree in trees.items()
            if root in self._last and root not in joined
        }
        self._roots = roots
        self._last = {root: tree.cpu_seconds for root, tree in trees.items()}
        return steps


def never_falling(before: HostReading | None, now: HostReading | None) -> HostReading | None:
    """The reading with each mode's CPU seconds no lower than before: Linux lets `iowait` fall, a counter must not."""
    if before is None or now is None:
        return now
    seconds = {mode: max(value, before.cpu_seconds.get(mode, 0.0)) for mode, value in now.cpu_seconds.items()}
    return replace(now, cpu_seconds=seconds)
