"""Who said what of itself: the runs that processes have registered. Touches nothing but its own memory.

It is told on the thread that serves, and asked on the one that samples.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from gpuwatch.attribute.case import Registration
from gpuwatch.model import Identity, Lineage

MOST_OF_A_USER = 64
MOST = 1024


class Entry(NamedTuple):
    """A registered process's user, and what it said."""

    uid: int
    registration: Registration


class Registry:
    """Registrations by process. Each lives as long as its process, and there are not more than fit."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[Identity, Entry] = {}
        self._version = 0

    @property
    def version(self) -> int:
        """Another one whenever an answer of `of` can be another one."""
        return self._version

    @property
    def entries(self) -> Mapping[Identity, Entry]:
        """All of them, as they are now."""
        with self._lock:
            return dict(self._entries)

    def of(self, lineage: Lineage) -> Registration | None:
        """What the process, or else its nearest ancestor that said anything, said.

        A user speaks for own processes only: what an ancestor of another user said counts where that was root.
        """
        with self._lock:
            for member in lineage.members:
                entry = self._entries.get(member.identity)
                if entry is not None and entry.uid in (0, lineage.process.uid):
                    return entry.registration
        return None

    def enter(self, process: Identity, uid: int, registration: Registration) -> None:
        """Register a process of user `uid`; what it said before is forgotten. Raises ValueError where there is no room.

        One that says the same again changes nothing, and its run began when it said so first.
        """
        with self._lock:
            before = self._entries.get(process)
            if before is None:
                self._make_sure_of_room(uid)
            elif before.registration.run == registration.run:
                registration = registration._replace(started_unix=before.registration.started_unix)
            entry = Entry(uid, registration)
            if entry != before:
                self._entries[process] = entry
                self._version += 1

    def end(self, process: Identity, run: str = "") -> None:
        """Forget what a process said; where a run is given, only if it is that one."""
        with self._lock:
            entry = self._entries.get(process)
            if entry is not None and run in ("", entry.registration.run):
                del self._entries[process]
                self._version += 1

    def sweep(self, is_alive: Callable[[Identity], bool]) -> None:
        """Forget those that have ended."""
        ended = [process for process in self.entries if not is_alive(process)]
        for process in ended:
            self.end(process)

    def restore(self, entries: Iterable[tuple[Identity, Entry]]) -> None:
        """Enter what was known before, as far as there is room."""
        with self._lock:
            for process, entry in entries:
                try:
                    self._make_sure_of_room(entry.uid)
                except ValueError:
                    continue
                self._entries.setdefault(process, entry)
                self._version += 1

    def _make_sure_of_room(self, uid: int) -> None:
        if len(self._entries) >= MOST:
            raise ValueError(f"there are {MOST} registered processes already")
        if Counter(entry.uid for entry in self._entries.values())[uid] >= MOST_OF_A_USER:
            raise ValueError(f"there are {MOST_OF_A_USER} registered processes of this user already")
