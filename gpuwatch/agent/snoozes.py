"""What people said is meant: the snoozes of this node, kept in a file over restarts of the agent and of the node.

Said at the door, and asked for by the thread that samples. A snooze ends by the clock, and stays in mind for as long as
one may last: of what somebody says by a command and what a run's environment says, the command counts.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from gpuwatch.attribute.expectation import LONGEST_SECONDS, Whose
from gpuwatch.model import Owner
from gpuwatch.model.judgement import NO_SNOOZES, Snooze, Snoozes

log = logging.getLogger(__name__)

FILE_NAME = "snoozes.json"
MOST_OF_A_USER = 64
MOST = 1024
_LONGEST_BYTES = 1 << 21


class SnoozeRegistry:
    """Snoozes by person and run, and not more than fit."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._said: dict[Whose, Snooze] = {}
        self._version = 0
        self._asked: tuple[object, ...] = ()
        self._answer: Snoozes = NO_SNOOZES

    @property
    def entries(self) -> Mapping[Whose, Snooze]:
        """All that is in mind, what is over among it."""
        with self._lock:
            return dict(self._said)

    def enter(self, user: str, snooze: Snooze, *, unix: float) -> None:
        """Snooze a run of `user`, in place of what was said of it before. Raises ValueError where there is no room."""
        with self._lock:
            self._forget_old(unix)
            if (user, snooze.run) not in self._said:
                self._make_room(user, unix)
            self._said[user, snooze.run] = snooze
            self._version += 1

    def end(self, user: str, run: str, *, by: str, unix: float) -> None:
        """The idleness of a run is not meant any more, whoever said so. Raises ValueError as `enter` does."""
        before = self.entries.get((user, run), Snooze(run, unix, "", by))
        self.enter(user, before._replace(until_unix=min(before.until_unix, unix)), unix=unix)

    def restore(self, entries: Mapping[Whose, Snooze]) -> None:
        """Take up what was said to the agent before this one."""
        with self._lock:
            self._said = {**entries, **self._said}
            self._version += 1

    def of(self, owners: Collection[Owner], expected: Mapping[Whose, Snooze]) -> Snoozes:
        """The snoozes of these runs, what is over among them; `expected` are those of environments.

        The same object comes back for equal arguments as long as nobody has said anything new.
        """
        asked = (self._version, {(owner.user, owner.run) for owner in owners}, expected)
        if asked != self._asked:
            said = {**expected, **self.entries}
            self._asked, self._answer = asked, {whose: said[whose] for whose in asked[1] & said.keys()}
        return self._answer

    def _forget_old(self, unix: float) -> None:
        oldest = unix - LONGEST_SECONDS
        self._said = {whose: snooze for whose, snooze in self._said.items() if snooze.until_unix > oldest}

    def _make_room(self, user: str, unix: float) -> None:
        """Let go of what is over. Raises ValueError where too much is in force."""
        if self._has_room(user):
            return
        self._said = {whose: snooze for whose, snooze in self._said.items() if snooze.until_unix > unix}
        if not self._has_room(user):
            raise ValueError(f"there are {MOST_OF_A_USER} snoozed runs of {user} already, or {MOST} in all")

    def _has_room(self, user: str) -> bool:
        return len(self._said) < MOST and Counter(person for person, _ in self._said)[user] < MOST_OF_A_USER


def save(path: Path, entries: Mapping[Whose, Snooze]) -> None:
    """Write them in the file's place, so that a loss of power leaves the old or the new ones. Raises OSError."""
    rows = [{"user": user, **snooze._asdict()} for (user, _), snooze in sorted(entries.items())]
    new = path.with_name(f".{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        json.dump(rows, file, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)


def load(path: Path) -> dict[Whose, Snooze]:
    """What stands in the file; nothing where there is none, or it is damaged. Raises OSError."""
    try:
        with path.open("rb") as file:
            rows = json.loads(file.read(_LONGEST_BYTES))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return dict(entry for row in rows if (entry := _entry(row)) is not None) if isinstance(rows, list) else {}


def _entry(row: Any) -> tuple[Whose, Snooze] | None:
    match row:
        case {"user": str(user), "run": str(run), "until_unix": float() | int() as until, "reason": str(reason),
              "by": str(by)}:  # fmt: skip
            return (user, run), Snooze(run, float(until), reason, by)
    return None


class SnoozesFile:
    """The file of one agent."""

    def __init__(self, registry: SnoozeRegistry, directory: Path) -> None:
        self.registry = registry
        self._path = directory / FILE_NAME
        self._writing = threading.Lock()

    def restore(self) -> None:
        """Before anybody says more: what was said before."""
        try:
            self.registry.restore(load(self._path))
        except OSError as error:
            log.warning("%s cannot be read (%s): runs must be snoozed again", self._path, error.strerror)

    def keep(self) -> bool:
        """Save what is said now; whether that worked. A disk that refuses costs the snoozes at the next start alone."""
        try:
            with self._writing:
                save(self._path, self.registry.entries)
        except OSError as error:
            log.warning("%s cannot be written: snoozes end with the agent: %s", self._path, error.strerror)
            return False
        return True
