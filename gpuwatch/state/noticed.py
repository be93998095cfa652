"""What people were told, as those see it who ask for it afterwards: one look, which changes and hinders nothing.

The agent never imports this.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from gpuwatch.errors import NothingRecorded, StateError
from gpuwatch.model.notice import SENT, Notice
from gpuwatch.model.outbox import FAILED, QUEUED, SENDING, Undelivered
from gpuwatch.state.notices import COLUMNS, notices_of
from gpuwatch.state.notices_file import NOTICES_NAME
from gpuwatch.state.notices_shape import MIGRATIONS
from gpuwatch.state.readonly import connect

_IN_WINDOW: Final = "opened_unix < :end AND coalesce(closed_unix, :end) >= :start"


class Noticed:
    """The notices in a directory at one moment. Raises StateError, from any method, where they cannot be read."""

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db = db
        self._path = path

    def between(self, start: float, end: float) -> list[Notice]:
        """Those that were open at any time from `start` to `end` (UTC), the first that was opened first."""
        with _told(self._path):
            rows = self._db.execute(
                f"SELECT {COLUMNS} FROM notice WHERE {_IN_WINDOW} ORDER BY opened_unix, id",
                {"start": start, "end": end},
            )
            return notices_of(rows)

    def counts(self, start: float, end: float) -> tuple[int, int]:
        """How many that people were sent were opened from `start` to `end`, and how many of them were called wrong."""
        sql = (
            "SELECT count(*), count(nullif(wrong, '')) FROM notice"
            f" WHERE told > 0 AND outcome = '{SENT}' AND opened_unix >= ? AND opened_unix < ?"
        )
        with _told(self._path):
            told, wrong = self._db.execute(sql, (start, end)).fetchone()
        return told, wrong

    def undelivered(self, *, since_unix: float) -> Undelivered:
        """What waits for Slack after it was put off, and what was given up since then."""
        waiting = f"state IN ('{QUEUED}', '{SENDING}') AND why <> ''"
        failed = f"state = '{FAILED}' AND ended_unix >= :since"
        sql = (
            f"SELECT count(*) FILTER (WHERE {waiting}), count(*) FILTER (WHERE {failed}),"
            f" (SELECT why FROM letter WHERE {waiting} OR {failed} ORDER BY seq DESC LIMIT 1) FROM letter"
        )
        with _told(self._path):
            many, given_up, why = self._db.execute(sql, {"since": since_unix}).fetchone()
        return Undelivered(many, given_up, why or "")


@contextmanager
def open_noticed(directory: Path) -> Iterator[Noticed]:
    """The notices in a state directory.

    Raises NothingRecorded where none was ever kept there, and StateError where they cannot be read.
    """
    path = directory / NOTICES_NAME
    with _told(path):
        path.open("rb").close()
        db = connect(path)
    try:
        with _told(path):
            db.execute("BEGIN")
            _refuse_other_shape(db, path)
        yield Noticed(db, path)
    finally:
        db.close()


def _refuse_other_shape(db: sqlite3.Connection, path: Path) -> None:
    applied = {row[0] for row in db.execute("SELECT name FROM migration")}
    if applied != {name for name, _ in MIGRATIONS}:
        raise StateError(f"{path} is of another version of gpuwatch: read it with the version that its agent is of")


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Errors of SQLite and of the system as ours."""
    try:
        yield
    except FileNotFoundError as error:
        raise NothingRecorded(
            f"no notices are kept in {path.parent}: the agent there has never run with alert.mode shadow or agent"
        ) from error
    except PermissionError as error:
        raise StateError(f"not permitted to read {path}: a service's is its own, so try with sudo") from error
    except OSError as error:
        raise StateError(f"cannot read {path}: {error.strerror}") from error
    except sqlite3.Error as error:
        raise StateError(f"cannot read {path}: {error}") from error
