"""The census: which processes are on the GPUs, each read once and known by identity until it ends."""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from gpuwatch.model import Lineage
from gpuwatch.sense.process import PROC, read_stat

ReadLineages = Callable[[Iterable[int]], Mapping[int, Lineage | None]]
"""Reads the lineages of pids; leaves out those that cannot be read now. None is a process that is gone."""


class Census:
    """Lineages of live processes by pid.

    A pidfd is held on each: it stands for the process, not for its number, so one look at them all tells who has ended,
    and a pid that is used again is a new process. Where no pidfd is to be had the start time is compared instead.
    """

    def __init__(self, read: ReadLineages, proc: Path = PROC) -> None:
        self._read = read
        self._proc = proc
        self._lineages: dict[int, Lineage] = {}
        self._descriptors: dict[int, int] = {}
        self._poll = select.epoll()

    def look(self, pids: Iterable[int]) -> Mapping[int, Lineage]:
        """Lineages of those of `pids` that have been seen alive, read now where they are new.

        A process that has ended stays as long as it is asked for (a driver lists it for another moment), unless its pid
        belongs to another process by now.
        """
        wanted = set(pids)
        for pid in self._ended():
            self._review(pid)
        for pid in self._lineages.keys() - wanted:
            self._forget(pid)
        if new := wanted - self._lineages.keys():
            self._meet(new)
        return dict(self._lineages)

    def close(self) -> None:
        """Let go of all processes."""
        for pid in list(self._lineages):
            self._forget(pid)
        self._poll.close()

    def _meet(self, pids: set[int]) -> None:
        # The descriptors are taken before the reading: whatever is read then is of these processes or of nobody.
        for pid in pids:
            self._hold(pid)
        lineages = self._read(pids)
        for pid in pids:
            lineage = lineages.get(pid)
            if lineage is None:
                self._release(pid)
            else:
                self._lineages[pid] = lineage

    def _hold(self, pid: int) -> None:
        try:
            self._descriptors[pid] = descriptor = os.pidfd_open(pid)
        except OSError:
            return  # gone already, an old kernel, or no descriptor left: the start time will be compared instead
        self._poll.register(descriptor, select.EPOLLIN)

    def _ended(self) -> list[int]:
        ready = {descriptor for descriptor, _ in self._poll.poll(0)} if self._descriptors else set()
        ended = [pid for pid, descriptor in self._descriptors.items() if descriptor in ready] if ready else []
        return ended + [pid for pid in self._lineages if pid not in self._descriptors]

    def _review(self, pid: int) -> None:
        stat = read_stat(pid, self._proc)
        if stat is not None and stat.start_ticks != self._lineages[pid].process.identity.start_ticks:
            self._forget(pid)
        elif pid in self._descriptors and stat is None:
            self._release(pid)

    def _release(self, pid: int) -> None:
        descriptor = self._descriptors.pop(pid, None)
        if descriptor is not None:
            self._poll.unregister(descriptor)
            os.close(descriptor)

    def _forget(self, pid: int) -> None:
        self._release(pid)
        self._lineages.pop(pid, None)
