"""The processes of this machine: each read once, its user's name with it, on threads that may hang."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Set
from functools import partial

from gpuwatch.attribute.person import read_user_name
from gpuwatch.model import Identity, Lineage, TreeReading
from gpuwatch.sense.census import Census
from gpuwatch.sense.lane import Lane
from gpuwatch.sense.process import read_lineage, read_tree
from gpuwatch.sense.sight import blindness, read_sight

log = logging.getLogger(__name__)

_PATIENCE = 1.0
"""Seconds that reading one process may take: /proc/PID/cmdline waits for a process that is stuck in the kernel."""


class LiveProcesses:
    """The processes that the kernel knows."""

    def __init__(self) -> None:
        self._users: dict[int, str] = {}
        self._lane: Lane[int, Lineage | None] = Lane("gpuwatch-process")
        self._census = Census(self._read_lineages)
        self._unseen: Set[int] = frozenset()
        self._told = ""
        self.strangers_reason = ""
        """Why some of the processes asked for cannot be seen, and what mends it; empty where none is hidden."""

    def look(self, pids: Iterable[int]) -> Mapping[int, Lineage]:
        """Lineages of those of `pids` that have been seen alive."""
        wanted = set(pids)
        lineages = self._census.look(wanted)
        unseen = wanted - lineages.keys()
        if unseen != self._unseen:
            self._unseen = unseen
            self.strangers_reason = self._explain() if unseen else ""
        return lineages

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

    def _explain(self) -> str:
        """Why processes cannot be seen, told once. Those that have just ended are hidden by nothing."""
        try:
            reason = blindness(read_sight())
        except OSError as error:
            reason = f"/proc cannot be read: {error.strerror}"
        if reason and reason != self._told:
            log.warning("processes on the GPUs cannot be seen: %s", reason)
            self._told = reason
        return reason

    def _read_lineages(self, pids: Iterable[int]) -> Mapping[int, Lineage | None]:
        calls: dict[int, Callable[[], Lineage | None]] = {pid: partial(self._meet, pid) for pid in pids}
        results = self._lane.run(calls, patience=_PATIENCE)
        for pid, result in results.items():
            if isinstance(result, Exception):
                log.debug("process %d cannot be read now: %s", pid, result)
        return {pid: result for pid, result in results.items() if not isinstance(result, Exception)}

    def _meet(self, pid: int) -> Lineage | None:
        """Read a process and learn its user's name: the name service can hang as well as the kernel."""
        lineage = read_lineage(pid)
        if lineage is not None:
            self._users[lineage.process.uid] = read_user_name(lineage.process.uid)
        return lineage
