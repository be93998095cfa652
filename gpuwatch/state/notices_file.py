"""The file of notices beside the state: opened by whoever tells people, the agent or the fleet's receiver.

It is not the state file: nothing that is told ever keeps totals waiting. What is written is on the disk when the call
returns, as what is noted here is never told again.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from gpuwatch.errors import DiskRefused
from gpuwatch.state.file import open_file, set_aside
from gpuwatch.state.notices_shape import MIGRATIONS

NOTICES_NAME: Final = "notices.db"
_CACHE_KIBIBYTES: Final = 128


class NoticesFile:
    """The open file, for several threads. Raises DiskRefused, from any method, where the disk does not take or give it.

    And StateError at opening, where a newer gpuwatch wrote it. The directory is there, and its owner's alone to write.
    """

    def __init__(self, directory: Path, *, unix: float, durable: bool = True) -> None:
        self.set_aside: Path | None = None
        """Where a damaged file was put."""
        self._lock = threading.RLock()
        path = directory / NOTICES_NAME
        with told(f"cannot open {path}"):
            try:
                self._db = open_file(path, unix=unix, durable=durable, migrations=MIGRATIONS)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:
                self.set_aside = set_aside(path, unix=unix)
                self._db = open_file(path, unix=unix, durable=durable, migrations=MIGRATIONS)
            self._db.execute(f"PRAGMA cache_size = -{_CACHE_KIBIBYTES}")

    def close(self) -> None:
        """Let go of it."""
        with self._lock:
            self._db.close()

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """The rows of a query."""
        with self._lock, told("cannot read what was told"):
            return self._db.execute(sql, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All that is written within, or nothing of it. One within another is part of it."""
        with self._lock, told("cannot note what is told"):
            if self._db.in_transaction:
                yield self._db
                return
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # a full disk may have rolled it back already
                    self._db.execute("ROLLBACK")
                raise


def count(db: sqlite3.Connection, outcomes: Mapping[str, int]) -> None:
    """Add to what was told ever."""
    db.executemany(
        "INSERT INTO tally VALUES (?1, ?2) ON CONFLICT (outcome) DO UPDATE SET total = total + ?2", outcomes.items()
    )


def encodable(values: Iterable[Any]) -> tuple[Any, ...]:
    """Values as SQLite takes them: without halves of characters."""
    return tuple(value.encode("utf-8", "replace").decode() if isinstance(value, str) else value for value in values)


@contextmanager
def told(what: str) -> Iterator[None]:
    """SQLite's errors as ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise DiskRefused(f"{what}: {error}") from error
    except OSError as error:
        raise DiskRefused(f"{what}: {error.strerror}") from error
