"""The letters on their way to Slack (`gpuwatch.model.outbox.Outbox`), and who people are there. Decides nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from gpuwatch.model.notice import FAILED as COUNTED_FAILED
from gpuwatch.model.notice import SENT as COUNTED_SENT
from gpuwatch.model.outbox import FAILED, POST, QUEUED, SENDING, SENT, UPDATE, Known, Letter, Place
from gpuwatch.state.notices_file import NoticesFile, count, encodable
from gpuwatch.units import DAY

_COLUMNS: Final = ", ".join(Letter._fields)
_WAITING: Final = f"state IN ('{QUEUED}', '{SENDING}')"
_FIRST_OF_ITS_NOTICE: Final = (
    f"{_WAITING} AND NOT EXISTS (SELECT 1 FROM letter AS before"
    f" WHERE before.notice = letter.notice AND before.seq < letter.seq AND before.{_WAITING})"
)
_LONGEST_DELAY: Final = DAY
"""What waits for longer than anything is put off was put off by a clock that was ahead."""


class Outbox:
    """The letters in a file. Raises DiskRefused, from any method, where the disk does not take or give them."""

    def __init__(self, file: NoticesFile) -> None:
        self._file = file

    def next_letter(self, now_unix: float) -> Letter | None:
        """The oldest whose time has come, of those that are queued or being sent. Letters of a notice keep their order:

        one is given only when all before it were sent or have failed.
        """
        rows = self._file.rows(
            f"SELECT {_COLUMNS} FROM letter WHERE {_FIRST_OF_ITS_NOTICE}"
            " AND (not_before_unix <= ?1 OR not_before_unix > ?1 + ?2) ORDER BY seq LIMIT 1",
            (now_unix, _LONGEST_DELAY),
        )
        return Letter(*rows[0]) if rows else None

    def next_unix(self) -> float | None:
        """From when on there is one; None where none waits."""
        unix: float | None = self._file.rows(f"SELECT min(not_before_unix) FROM letter WHERE {_FIRST_OF_ITS_NOTICE}")[
            0
        ][0]
        return unix

    def begin(self, letter: str, *, channel: str, now_unix: float) -> None:
        """It is about to be sent off to this channel: SENDING, with one attempt more."""
        self._set(
            letter,
            "state = ?, attempts = attempts + 1, channel = ?, begun_unix = iif(begun_unix = 0, ?, begun_unix)",
            (SENDING, channel, now_unix),
        )

    def end(self, letter: str, place: Place, *, now_unix: float) -> None:
        """It was sent, and is there."""
        with self._file.transaction() as db:
            self._set(letter, "state = ?, channel = ?, stamp = ?, why = '', ended_unix = ?", (SENT, *place, now_unix))
            if self._file.rows("SELECT 1 FROM letter WHERE id = ? AND action <> ?", (letter, UPDATE)):
                count(db, {COUNTED_SENT: 1})

    def put_off(self, letter: str, *, until_unix: float, why: str, maybe_sent: bool = False) -> None:
        """It is tried again later. It is SENDING while it may have been sent, and else QUEUED."""
        state = SENDING if maybe_sent else QUEUED
        self._set(letter, "state = ?, not_before_unix = ?, why = ?", (state, until_unix, why))

    def fail(self, letter: str, *, why: str, now_unix: float) -> None:
        """It is given up."""
        with self._file.transaction() as db:
            self._set(letter, "state = ?, why = ?, ended_unix = ?", (FAILED, why, now_unix))
            count(db, {COUNTED_FAILED: 1})

    def withdraw(self, notice: str) -> bool:
        """Take back all letters of a notice, if nothing of them is or may be in Slack; whether that was so."""
        with self._file.transaction() as db:
            if self._file.rows("SELECT 1 FROM letter WHERE notice = ? AND state <> ? LIMIT 1", (notice, QUEUED)):
                return False
            return db.execute("DELETE FROM letter WHERE notice = ?", (notice,)).rowcount > 0

    def has_message(self, notice: str) -> bool:
        """Whether the message of a notice was sent, or still is to be."""
        sql = "SELECT 1 FROM letter WHERE notice = ? AND action = ? AND state <> ? LIMIT 1"
        return bool(self._file.rows(sql, (notice, POST, FAILED)))

    def place_of(self, notice: str) -> Place | None:
        """Where the message of a notice is, if it was sent: the last one where there were several."""
        rows = self._file.rows(
            "SELECT channel, stamp FROM letter WHERE notice = ? AND action = ? AND state = ? ORDER BY seq DESC LIMIT 1",
            (notice, POST, SENT),
        )
        return Place(*rows[0]) if rows else None

    def problem(self) -> str:
        """Why the oldest letter that waits was put off; empty where none was."""
        rows = self._file.rows(f"SELECT why FROM letter WHERE {_WAITING} AND why <> '' ORDER BY seq LIMIT 1")
        return str(rows[0][0]) if rows else ""

    def known(self, user: str) -> Known | None:
        """What was noted of a person."""
        rows = self._file.rows("SELECT number, until_unix FROM person WHERE user = ?", encodable((user,)))
        return Known(*rows[0]) if rows else None

    def note(self, user: str, known: Known) -> None:
        """Note it."""
        with self._file.transaction() as db:
            db.execute("INSERT OR REPLACE INTO person VALUES (?, ?, ?)", encodable((user, *known)))

    def _set(self, letter: str, what: str, values: Sequence[str | float]) -> None:
        with self._file.transaction() as db:
            db.execute(f"UPDATE letter SET {what} WHERE id = ?", (*encodable(values), letter))


def put(db: sqlite3.Connection, letters: Sequence[Letter]) -> None:
    """Queue letters. One whose id was there before is not queued again, whatever has become of it.

    An edit takes the place of those before it that were not sent: nobody needs to see old figures first.
    """
    stale = [(letter.notice, letter.id, UPDATE, QUEUED) for letter in letters if letter.action == UPDATE]
    db.executemany("DELETE FROM letter WHERE notice = ? AND id <> ? AND action = ? AND state = ?", stale)
    marks = ", ".join("?" * len(Letter._fields))
    db.executemany(f"INSERT OR IGNORE INTO letter ({_COLUMNS}) VALUES ({marks})", map(encodable, letters))
