"""The shape of the file of notices: named migrations, as those of the state file are. Append only."""

from __future__ import annotations

from typing import Final

_FIRST: Final = """
CREATE TABLE notice (
    id TEXT PRIMARY KEY, key TEXT NOT NULL, user TEXT NOT NULL, verdict TEXT NOT NULL,
    runs TEXT NOT NULL, nodes TEXT NOT NULL,  -- lists, in JSON
    opened_unix REAL NOT NULL, outcome TEXT NOT NULL, why TEXT NOT NULL, held TEXT NOT NULL,
    told INTEGER NOT NULL, told_unix REAL NOT NULL, refreshed_unix REAL NOT NULL,
    seen_unix REAL NOT NULL, wasted_gpu_seconds REAL NOT NULL,
    closed_unix REAL, close_reason TEXT NOT NULL, wrong TEXT NOT NULL, digest TEXT NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX notice_open ON notice (key) WHERE closed_unix IS NULL;
CREATE INDEX notice_opened ON notice (opened_unix);
CREATE TABLE told (
    unix REAL NOT NULL, user TEXT NOT NULL, notice TEXT NOT NULL, what TEXT NOT NULL, outcome TEXT NOT NULL
);
CREATE INDEX told_unix ON told (unix);
CREATE TABLE tally (outcome TEXT PRIMARY KEY, total INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE letter (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE, notice TEXT NOT NULL, action TEXT NOT NULL, user TEXT NOT NULL,
    text TEXT NOT NULL, blocks TEXT NOT NULL, queued_unix REAL NOT NULL,
    state TEXT NOT NULL, attempts INTEGER NOT NULL, not_before_unix REAL NOT NULL,
    channel TEXT NOT NULL, begun_unix REAL NOT NULL, why TEXT NOT NULL,
    stamp TEXT NOT NULL DEFAULT '', ended_unix REAL
);
CREATE INDEX letter_waiting ON letter (notice, seq) WHERE state IN ('queued', 'sending');
CREATE INDEX letter_of ON letter (notice, seq);
CREATE TABLE person (user TEXT PRIMARY KEY, number TEXT NOT NULL, until_unix REAL NOT NULL) WITHOUT ROWID;
"""

MIGRATIONS: Final = (("0001-notices-and-letters", _FIRST),)
