"""A report in Markdown (GitHub's), for a wiki, an issue or a mail."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from gpuwatch.model.history import Question
from gpuwatch.report.document import Report, Row
from gpuwatch.report.formats.columns import Column, columns_of, service_columns
from gpuwatch.report.formats.prose import (
    SIMULATED,
    endnotes,
    explanation,
    name,
    nothing,
    summary,
    title,
    total_line,
    waste,
    worst_rows,
)
from gpuwatch.report.formats.text import plain, web_link

_SPECIAL = re.compile(r"([\\`*_\[\]#!|~$])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;", "://": "&#58;//", "www.": "www&#46;"}
_ENTITY = re.compile("|".join(map(re.escape, _ENTITIES)), re.IGNORECASE)


def render_markdown(report: Report, questions: Sequence[Question]) -> str:
    """The report with its tables, and the questions that made it, with a newline at its end."""
    parts = [*_parts(report), *(["## Queries", _fenced(explanation(questions))] if questions else ())]
    return "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    """Text as itself: no markup, no HTML, and no link or mention made of what looks like one."""
    marked = _SPECIAL.sub(r"\\\1", plain(text))
    return _ENTITY.sub(lambda match: _ENTITIES.get(match[0].lower(), match[0]), marked)


def _parts(report: Report) -> Iterator[str]:
    yield f"# {escaped(title(report))}"
    if report.simulated:
        yield f"**{SIMULATED}**"
    yield from map(escaped, summary(report))
    yield _table(columns_of(report), report.rows) if report.rows else nothing(report)
    if report.rows:
        yield f"{escaped(total_line(report))}."
    if report.services:
        yield "## Services"
        yield _table(service_columns(report), report.services)
    if rows := worst_rows(report):
        yield "## Most idle"
        yield "\n".join(f"{row.waste_rank}. {_waste(report, row)}" for row in rows)
    yield "\n".join(f"- {escaped(line)}" for line in endnotes(report))


def _waste(report: Report, row: Row) -> str:
    line = f"**{escaped(name(row))}**: {escaped(waste(report, row))}"
    link = web_link(row.worst.url) if row.worst else ""
    return f"{line} ([run](<{_in_link(link)}>))" if link else line


def _in_link(url: str) -> str:
    """Within angle brackets only these end a link, or begin an escape."""
    return url.replace("\\", "%5C").replace("<", "%3C").replace(">", "%3E")


def _fenced(code: str) -> str:
    """As code, in a fence that is longer than any within it."""
    fence = max(["``", *re.findall("`+", code)], key=len) + "`"
    return f"{fence}\n{code}\n{fence}"


def _table(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    lines = [
        _line(column.head for column in columns),
        _line(":---" if column.is_name else "---:" for column in columns),
        *(_line(escaped(column.cell(row)) for column in columns) for row in rows),
    ]
    return "\n".join(lines)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
