"""The registrations in a file, so that a run that registered keeps its name over a restart of the agent.

They are of one boot: with it, all processes end. Nothing is lost with the file but names, so it is not synced.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpuwatch.agent.peer import is_alive
from gpuwatch.agent.registry import Entry, Registry
from gpuwatch.attribute.case import Registration
from gpuwatch.model import Identity

log = logging.getLogger(__name__)

FILE_NAME = "registrations.json"
_LONGEST_BYTES = 1 << 21


def save(path: Path, entries: Mapping[Identity, Entry], *, boot_id: str) -> None:
    """Write them in the file's place. Raises OSError."""
    rows = [[*process, entry.uid, *entry.registration] for process, entry in entries.items()]
    new = path.with_name(f".{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        json.dump({"boot_id": boot_id, "processes": rows}, file, ensure_ascii=False)
    new.rename(path)


def load(path: Path, *, boot_id: str) -> dict[Identity, Entry]:
    """Those of this boot; none where there is no file, or it is damaged. Raises OSError."""
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(_LONGEST_BYTES))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    match document:
        case {"boot_id": str(of), "processes": list(rows)} if of == boot_id:
            return dict(entry for row in rows if (entry := _entry(row)) is not None)
    return {}


def _entry(row: Any) -> tuple[Identity, Entry] | None:
    match row:
        case [int(pid), int(ticks), int(uid), str(run), str(name), str(project), str(url), float() | int() as started]:
            return Identity(pid, ticks), Entry(uid, Registration(run, name, project, url, float(started)))
    return None


class RegistrationsFile:
    """The file of one agent: what it had registered is registered again, as far as it still lives."""

    def __init__(self, registry: Registry, directory: Path, *, boot_id: str) -> None:
        self._registry = registry
        self._path = directory / FILE_NAME
        self._boot_id = boot_id
        self._told = False
        self._writing = threading.Lock()

    def restore(self) -> None:
        """Before anybody registers: those who live still."""
        try:
            entries = load(self._path, boot_id=self._boot_id)
        except OSError as error:
            log.warning("%s cannot be read (%s): runs must register again", self._path, error.strerror)
            return
        self._registry.restore((process, entry) for process, entry in entries.items() if is_alive(process))

    def keep(self) -> None:
        """Save what is registered now. A disk that refuses is told once, and costs names after a restart alone."""
        try:
            with self._writing:  # at the end, while an earlier one may wait for the disk
                save(self._path, self._registry.entries, boot_id=self._boot_id)
            self._told = False
        except OSError as error:
            if not self._told:
                log.warning("%s cannot be written: registered runs end with the agent: %s", self._path, error.strerror)
            self._told = True
