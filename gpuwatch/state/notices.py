"""What people were told, and what is open: the durable side of telling them. Decides nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from gpuwatch.model.notice import CLOSED, HELD_BACK, SENT, SHADOW, WRONG, Notice, Told
from gpuwatch.model.outbox import SENT as LETTER_SENT
from gpuwatch.model.outbox import UPDATE, Letter
from gpuwatch.state.notices_file import NoticesFile, count, encodable
from gpuwatch.state.outbox import put
from gpuwatch.units import DAY

KEPT_SECONDS: Final = 400 * DAY
"""Closed notices are kept for so long: a year's report can count them."""
MOST_UNTOLD: Final = 10_000
"""Of those that nobody was told of, no more: whoever lets a run idle and work by turns makes as many as they like."""
KEPT_EDITS_SECONDS: Final = DAY
"""Of a message that was edited each half hour, only the last edit is of use, and it is in Slack."""
COLUMNS: Final = ", ".join(Notice._fields)
_SET: Final = ", ".join(f"{name} = excluded.{name}" for name in Notice._fields if name not in ("id", "wrong"))
_MARKS: Final = ", ".join("?" * len(Notice._fields))
_WRITE: Final = f"INSERT INTO notice ({COLUMNS}) VALUES ({_MARKS}) ON CONFLICT (id) DO UPDATE SET {_SET}"
Whose = tuple[str, str]
"""(user, run)"""
_OF_USER: Final = "user = ? AND told > 0"
_NEWEST: Final = "ORDER BY opened_unix DESC, id"
_LISTS: Final = ("runs", "nodes")


class Notices:
    """The notices in a file. Raises DiskRefused, from any method, where the disk does not take or give them."""

    def __init__(self, file: NoticesFile) -> None:
        self._file = file

    def open(self) -> list[Notice]:
        """All that are not closed, by key."""
        return self._read("closed_unix IS NULL ORDER BY key", ())

    def earlier(self, user: str, *, most: int) -> list[Notice]:
        """The last ones that a person was sent, the newest first."""
        return self._read(f"{_OF_USER} AND outcome = '{SENT}' {_NEWEST} LIMIT ?", encodable((user, most)))

    def told_since(self, unix: float) -> list[Told]:
        """The messages from then on, and those of a clock that was ahead."""
        rows = self._file.rows(
            "SELECT unix, user, notice, what, outcome FROM told WHERE unix >= ? ORDER BY unix", (unix,)
        )
        return [Told(*row) for row in rows]

    def totals(self) -> Mapping[str, int]:
        """How many there ever were, by outcome. None of them falls."""
        return dict(self._file.rows("SELECT outcome, total FROM tally"))

    def record(self, notices: Sequence[Notice], told: Sequence[Told] = (), letters: Sequence[Letter] = ()) -> None:
        """Note what was decided, with the letters that it takes: all or nothing. What was called wrong stays so."""
        outcomes: dict[str, int] = {SHADOW: sum(one.outcome == SHADOW for one in told)}
        for notice in notices:
            if notice.closed_unix is not None:
                ended = CLOSED if notice.told else HELD_BACK
                outcomes[ended] = outcomes.get(ended, 0) + 1
        with self._file.transaction() as db:
            db.executemany(_WRITE, map(_row, notices))
            db.executemany("INSERT INTO told VALUES (?,?,?,?,?)", map(encodable, told))
            put(db, letters)
            count(db, {outcome: number for outcome, number in outcomes.items() if number})

    def note_seen(self, wasted: Mapping[str, float], *, unix: float) -> None:
        """Note, by id, what has been wasted by now of what is open and seen. It is what stands in the closing."""
        with self._file.transaction() as db:
            db.executemany(
                "UPDATE notice SET seen_unix = ?, wasted_gpu_seconds = ? WHERE id = ?",
                [(unix, seconds, notice) for notice, seconds in wasted.items()],
            )

    def told(self) -> set[Whose]:
        """The runs of which somebody was told, or would have been."""
        return {(notice.user, run) for notice in self._read("told > 0", ()) for run in notice.runs}

    def mark_wrong(self, whose: Whose, reason: str) -> None:
        """Note that the last notice of a person's run was a false alarm; nothing where nobody was told of it.

        Without a reason it is noted all the same. A notice is counted once, however often it is called wrong.
        """
        user, run = whose
        with self._file.transaction() as db:
            theirs = self._read(f"{_OF_USER} {_NEWEST}", encodable((user,)))
            notice = next((one for one in theirs if run in one.runs), None)
            if notice is not None:
                wrong = reason or "without a reason"
                db.execute("UPDATE notice SET wrong = ? WHERE id = ?", encodable((wrong, notice.id)))
                count(db, {} if notice.wrong else {WRONG: 1})

    def tidy(self, *, unix: float) -> None:
        """Drop what is long over, and what there is too much of."""
        oldest = unix - KEPT_SECONDS
        with self._file.transaction() as db:
            db.execute(
                "DELETE FROM notice WHERE told = 0 AND closed_unix < (SELECT closed_unix FROM notice"
                " WHERE told = 0 AND closed_unix IS NOT NULL ORDER BY closed_unix DESC LIMIT 1 OFFSET ?)",
                (MOST_UNTOLD,),
            )
            db.execute(
                "DELETE FROM letter WHERE action = ? AND state = ? AND ended_unix < ?",
                (UPDATE, LETTER_SENT, unix - KEPT_EDITS_SECONDS),
            )
            db.execute("DELETE FROM notice WHERE closed_unix < ?", (oldest,))
            db.execute("DELETE FROM told WHERE unix < ?", (oldest,))
            db.execute("DELETE FROM letter WHERE ended_unix < ?", (oldest,))

    def _read(self, where: str, values: tuple[Any, ...]) -> list[Notice]:
        return notices_of(self._file.rows(f"SELECT {COLUMNS} FROM notice WHERE {where}", values))


def notices_of(rows: Iterable[Sequence[Any]]) -> list[Notice]:
    """Rows of COLUMNS as notices."""
    return [_notice(Notice(*row)) for row in rows]


def _notice(row: Notice) -> Notice:
    return row._replace(runs=tuple(json.loads(str(row.runs))), nodes=tuple(json.loads(str(row.nodes))))


def _row(notice: Notice) -> tuple[Any, ...]:
    lists = {name: json.dumps(getattr(notice, name)) for name in _LISTS}
    return encodable({**notice._asdict(), **lists}.values())
