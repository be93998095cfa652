"""Of which runs Alertmanager wants people told: kept in a file, so that what it was told we have is not forgotten."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from gpuwatch.alert.routing import REPEAT_HOURS
from gpuwatch.errors import DiskRefused
from gpuwatch.notify.webhook import Told, Word
from gpuwatch.units import HOUR

FILE_NAME: Final = "firing.json"
HEARD_SECONDS: Final = 3 * REPEAT_HOURS * HOUR
"""What was not repeated for so long was silenced: an alert that ends while it is silenced is never said to be over."""
MOST: Final = 10_000


class Firing:
    """The alerts that go on. Used from several threads. Raises DiskRefused where the file cannot be read or written."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE_NAME
        self._lock = threading.Lock()
        self._heard = _read(self._path)

    def hear(self, words: Iterable[Word], *, unix: float) -> None:
        """Take in what was said at a time. It is on the disk then. Raises ValueError where it is too much."""
        with self._lock:
            heard = {told: at for told, at in self._heard.items() if _is_fresh(at, unix)}
            for told, firing in words:
                heard.pop(told, None)
                if firing:
                    heard[told] = unix
            if len(heard) > MOST:
                raise ValueError(f"more than {MOST} alerts at a time are not taken")
            _write(self._path, heard)
            self._heard = heard

    def runs(self, unix: float) -> frozenset[tuple[str, str]]:
        """The runs, as (user, run), of which people are to be told at a time."""
        with self._lock:
            return frozenset((told.user, told.run) for told, at in self._heard.items() if _is_fresh(at, unix))


def _is_fresh(heard_unix: float, unix: float) -> bool:
    """A clock that was set back leaves what it was told; one that was far ahead does not keep it for ever."""
    return abs(unix - heard_unix) < HEARD_SECONDS


def _read(path: Path) -> dict[Told, float]:
    """What stands in the file; nothing where there is none, or it is damaged: it is said again within the hour."""
    try:
        rows = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    except OSError as error:
        raise DiskRefused(f"{path} cannot be read: {error.strerror}") from error
    return dict(row for item in rows if (row := _row(item)) is not None) if isinstance(rows, list) else {}


def _row(item: Any) -> tuple[Told, float] | None:
    match item:
        case [str(alert), str(user), str(run), float() | int() as unix]:
            return Told(alert, user, run), float(unix)
    return None


def _write(path: Path, heard: dict[Told, float]) -> None:
    """In the file's place, so that a loss of power leaves the old or the new."""
    new = path.with_name(f".{path.name}.new")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump([[*told, unix] for told, unix in heard.items()], file)
            file.flush()
            os.fsync(descriptor)
        os.replace(new, path)
        _sync(path.parent)
    except OSError as error:
        raise DiskRefused(f"{path} cannot be written: {error.strerror}") from error


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
