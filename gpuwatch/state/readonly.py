"""The state file as reports see it: one look at it, which can neither change nor hinder anything.

All that is read is of one moment, though an agent writes meanwhile. The agent never imports this.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gpuwatch.errors import StateError
from gpuwatch.model.history import Question
from gpuwatch.state.file import FILE_NAME, is_simulated
from gpuwatch.state.migrations import MIGRATIONS

Row = tuple[Any, ...]
Values = Mapping[str, str | float]
"""What stands for the `:names` of a query."""

_CACHE_KIBIBYTES = 64 * 1024
_FOREIGN = ("SQLITE_NOTADB", "SQLITE_CORRUPT")
_NOT_FOR_ALL = "the record of a service is its own: try with sudo, or ask a server with --prometheus URL"


class Reader:
    """The state in a directory at one moment, read only. Raises StateError, from any method, where it cannot be read.

    `node` is the node's name where the record does not have it.
    """

    def __init__(self, directory: Path, *, node: str) -> None:
        self._path = directory / FILE_NAME
        self._text = ""
        self.asked: list[Question] = []
        """All that was asked so far, as it can be pasted into `sqlite3 -readonly FILE`."""
        with self._told():
            _refuse_unreadable(self._path)
            self.simulated = is_simulated(directory)
            self._db = connect(self._path)
            try:
                self._begin()
                names = self._db.execute("SELECT value FROM meta WHERE key = 'node'").fetchall()
            except BaseException:
                self._db.close()
                raise
        self.node: str = names[0][0] if names else node
        self._db.set_trace_callback(self._note)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    @property
    def directory(self) -> Path:
        """Where the state is."""
        return self._path.parent

    def ask(self, purpose: str, sql: str, values: Values) -> list[Row]:
        """The rows of a query, which is noted with what it is for."""
        began = time.perf_counter()
        with self._told():
            rows = self._db.execute(sql, _encodable(values)).fetchall()
        self.asked.append(Question(purpose, f"{self._text};", time.perf_counter() - began))
        return rows

    def stream(self, sql: str, values: Values) -> Iterator[Row]:
        """The rows of a query one after the other, of which there may be any number."""
        with self._told():
            yield from self._db.execute(sql, _encodable(values))

    def _begin(self) -> None:
        """From the first reading on, all of them are of that moment."""
        self._db.execute("PRAGMA query_only = ON")
        self._db.execute(f"PRAGMA cache_size = -{_CACHE_KIBIBYTES}")
        self._db.execute("BEGIN")
        tables = {row[0] for row in self._db.execute("SELECT name FROM sqlite_master")}
        applied = {row[0] for row in self._db.execute("SELECT name FROM migration")} if "migration" in tables else set()
        _refuse_other_shape(self._path, applied)

    def _note(self, text: str) -> None:
        """SQLite tells what it runs, with the values in their places."""
        self._text = text

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Errors of SQLite and of the system as ours."""
        try:
            yield
        except PermissionError as error:
            raise StateError(f"not permitted to read {self._path}: {_NOT_FOR_ALL}") from error
        except OSError as error:
            raise StateError(f"cannot read {self._path}: {error.strerror}") from error
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorname", "") in _FOREIGN:
                raise StateError(
                    f"the record {self._path} is damaged ({error}): the agent sets it aside when it next starts"
                ) from error
            raise StateError(f"cannot read the record {self._path}: {error}") from error


def connect(path: Path) -> sqlite3.Connection:
    """The file, opened so that nothing is made beside it: with no log of an agent there, as one that never changes."""
    last = "" if path.with_name(f"{path.name}-wal").exists() else "&immutable=1"
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro{last}", uri=True, isolation_level=None)


def _encodable(values: Values) -> Values:
    """The values as SQLite takes them: without halves of characters, which are in no record either."""
    return {
        name: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
        for name, value in values.items()
    }


def _refuse_unreadable(path: Path) -> None:
    """See that there is a file that can be read. Raises StateError where there is none, and OSError."""
    try:
        path.open("rb").close()
    except FileNotFoundError as error:
        raise StateError(
            f"there is no record in {path.parent} yet: start the agent, name another --state-dir, "
            "or ask a server with --prometheus URL"
        ) from error


def _refuse_other_shape(path: Path, applied: set[str]) -> None:
    known = {name for name, _ in MIGRATIONS}
    if strange := applied - known:
        raise StateError(
            f"the record {path} was written by a newer gpuwatch (it has {', '.join(sorted(strange))}): "
            "read it with that version"
        )
    if missing := known - applied:
        raise StateError(
            f"the record {path} is of an older gpuwatch (it lacks {', '.join(sorted(missing))}): "
            "the agent of this version has not yet been started on it, and brings it up to date"
        )
