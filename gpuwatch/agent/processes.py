"""The processes of this machine: each read once, and looked at again for new run files, on threads that may hang."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from gpuwatch.attribute.case import Sighting
from gpuwatch.attribute.containers import Containers
from gpuwatch.attribute.person import read_user_name
from gpuwatch.attribute.traces import read_traces
from gpuwatch.attribute.watch import Watch
from gpuwatch.model import Identity, Lineage, TreeReading
from gpuwatch.sense.census import Census
from gpuwatch.sense.lane import Lane
from gpuwatch.sense.process import read_lineage, read_tree
from gpuwatch.sense.sight import blindness, read_sight

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""How often a process is looked at for run files that it has opened or closed; every other time once it is settled."""
_SETTLED_SECONDS = 20.0
"""After it was met, or had another run file, for the last time."""
_PATIENCE = 1.0
"""Seconds that reading one process may take: /proc/PID/cmdline waits for a process that is stuck in the kernel."""


class _Known(NamedTuple):
    """A process, its user's name, what looks for its run files, and since when (boot time) it is as it is."""

    sighting: Sighting
    user: str
    watch: Watch
    since: float


class LiveProcesses:
    """The processes that the kernel knows.

    What is read on the lane's threads comes back as results: one that was left behind changes nothing here.
    """

    def __init__(self) -> None:
        self._containers = Containers()
        self._lane: Lane[int, _Known | None] = Lane("gpuwatch-process")
        self._census = Census(self._read_lineages)
        self._known: dict[int, _Known] = {}
        self._met: dict[int, _Known] = {}
        """Read in this look, and not yet among the known ones."""
        self._users: dict[int, str] = {}
        self._sightings: dict[int, Sighting] = {}
        self._now = self._look_at = 0.0
        self._all = False
        """Whether the last look was at all processes, the settled ones among them."""
        self._unseen: Set[int] = frozenset()
        self._told = ""
        self.strangers_reason = ""
        """Why some of the processes asked for cannot be seen, and what mends it; empty where none is hidden."""

    def look(self, pids: Iterable[int], now: float) -> Mapping[int, Sighting]:
        """Those of `pids` that have been seen alive, as they are at `now` (boot time)."""
        wanted = set(pids)
        self._now = now
        lineages = self._census.look(wanted)
        unseen = wanted - lineages.keys()
        if unseen != self._unseen:
            self._unseen = unseen
            self.strangers_reason = self._explain() if unseen else ""
        if now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            self._look_again()
        if self._met or self._known.keys() != lineages.keys():
            self._take_over(lineages.keys())
        return self._sightings

    def user_of(self, uid: int) -> str:
        """The name of the user of a process that was looked at."""
        return self._users[uid]

    def read_tree(self, roots: Iterable[Identity], others: Set[int]) -> TreeReading | None:
        """CPU and memory of the trees below `roots`, down to `others`; None where all are gone."""
        return read_tree(roots, others=others)

    def close(self) -> None:
        """Let go of the processes."""
        self._census.close()
        self._lane.close()

    def _take_over(self, pids: Set[int]) -> None:
        known = {**self._known, **self._met}
        self._known = {pid: known[pid] for pid in pids}
        self._met.clear()
        self._sightings = {pid: one.sighting for pid, one in self._known.items()}
        self._users = {one.sighting.lineage.process.uid: one.user for one in self._known.values()}

    def _explain(self) -> str:
        """Why processes cannot be seen, told once. Those that have just ended are hidden by nothing."""
        try:
            reason = blindness(read_sight())
        except OSError as error:
            reason = f"nor can it be told why: {error.strerror}"
        if reason and reason != self._told:
            log.warning("processes on the GPUs cannot be seen: %s", reason)
            self._told = reason
        return reason

    def _read_lineages(self, pids: Iterable[int]) -> Mapping[int, Lineage | None]:
        met = self._run({pid: partial(self._meet, pid) for pid in pids})
        self._met.update({pid: one for pid, one in met.items() if one is not None})
        return {pid: None if one is None else one.sighting.lineage for pid, one in met.items()}

    def _look_again(self) -> None:
        self._all = not self._all
        due = {
            pid: one
            for pid, one in self._known.items()
            if (self._all or self._now - one.since < _SETTLED_SECONDS) and one.watch.is_due(self._now)
        }
        reviews = self._run({pid: partial(_review, one, self._now) for pid, one in due.items()})
        # Who was met in this look is another process under a used pid.
        self._met = {**{pid: one for pid, one in reviews.items() if one is not None}, **self._met}

    def _run(self, calls: Mapping[int, Callable[[], _Known | None]]) -> dict[int, _Known | None]:
        results = self._lane.run(calls, patience=_PATIENCE)
        for pid, result in results.items():
            if isinstance(result, Exception):
                log.debug("process %d cannot be read now: %s", pid, result)
        return {pid: result for pid, result in results.items() if not isinstance(result, Exception)}

    def _meet(self, pid: int) -> _Known | None:
        """Read a process and learn its user's name: the name service can hang as well as the kernel."""
        lineage = read_lineage(pid)
        if lineage is None:
            return None
        user = read_user_name(lineage.process.uid)
        watch = Watch(pid)
        traces = read_traces(watch, now=self._now)
        return _Known(Sighting(lineage, traces, self._containers.of(traces.cgroup)), user, watch, self._now)


def _review(known: _Known, now: float) -> _Known | None:
    """The process with the run files that it has open now; None where they are the same."""
    sighting, watch = known.sighting, known.watch
    watch.look(now)
    if watch.tracked == sighting.traces.tracked:
        return None
    traces = replace(sighting.traces, tracked=watch.tracked)
    return known._replace(sighting=sighting._replace(traces=traces), since=now)
