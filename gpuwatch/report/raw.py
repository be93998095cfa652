"""The rows of a record as text, one line each: CSV (RFC 4180) for spreadsheets, JSON lines for programs. Pure.

Columns are named with their units. Moments are there twice: as UTC in ISO 8601, and in seconds of Unix time.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from io import StringIO
from typing import Any, Final

from gpuwatch.report.formats.csv_rows import safe

_SECONDS: Final = frozenset("held busy sm_active unattributed_busy active idle free unavailable".split())
"""Columns of the record that are seconds, and do not say so."""
Row = tuple[Any, ...]
"""Text, numbers and None; the first is a moment in Unix time."""


def columns_of(fields: Sequence[str]) -> list[str]:
    """The names of the columns, from those of the record."""
    return ["start", *(f"{field}_seconds" if field in _SECONDS else field for field in fields)]


def csv_lines(fields: Sequence[str], rows: Iterable[Row]) -> Iterator[str]:
    """A line of names and one for each row, with their ends. What is not known is empty."""
    line = StringIO(newline="")
    writer = csv.writer(line)
    writer.writerow(columns_of(fields))
    yield line.getvalue()
    for row in rows:
        line.seek(0)
        line.truncate()
        writer.writerow([_iso(row), *(safe(cell) if isinstance(cell, str) else cell for cell in row)])
        yield line.getvalue()


def json_lines(fields: Sequence[str], rows: Iterable[Row]) -> Iterator[str]:
    """An object for each row, with its end. What is not known is null."""
    names = columns_of(fields)
    for row in rows:
        yield json.dumps(dict(zip(names, (_iso(row), *row), strict=True))) + "\n"


def _iso(row: Row) -> str:
    return datetime.fromtimestamp(row[0], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
