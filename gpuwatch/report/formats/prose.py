"""The lines around a report's tables, which all formats that people read have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gpuwatch.model.history import Question
from gpuwatch.report.document import Report, Row
from gpuwatch.report.figures import written_hours, written_money, written_share
from gpuwatch.report.formats.text import plain, shown
from gpuwatch.report.headline import headline, headroom
from gpuwatch.report.notes import written_time

SIMULATED: Final = "SIMULATED: nothing here is real."
_WORST: Final = 5
"""So many rows are named for their waste,"""
_PART: Final = 0.05
"""each with at least this part of it: nobody is named for a few hours."""


def title(report: Report) -> str:
    """What it is about: which period, on whose clocks."""
    window = report.period.window
    start, end = (written_time(report.period, unix) for unix in window)
    label = report.period.label
    stretch = "" if f"{start} to {end}" == label else f", {start} to {end}"
    return plain(f"GPU report for {label}{stretch} ({_zone(report)})")


def summary(report: Report) -> list[str]:
    """The headline, and what more could have run, as sentences."""
    return [f"{plain(line[0].upper() + line[1:])}." for line in (headline(report), headroom(report)) if line]


def worst_rows(report: Report) -> list[Row]:
    """The rows that wasted a good part of all that was wasted, and have a run to name, the worst first."""
    if "day" in report.by:
        return []  # the days are the report already
    least = _PART * report.total.idle
    rows = [row for row in report.rows if row.waste_rank and row.worst and row.usage.idle >= least]
    return sorted(rows, key=lambda row: row.waste_rank or 0)[:_WORST]


def waste(report: Report, row: Row) -> str:
    """What a row wasted, and in which run most, as a line without its name and link."""
    idle = f"{written_hours(row.usage.idle)} h idle"
    if report.price is not None:
        idle += f", {written_money(report.price.of(row.usage.idle), report.price.currency)}"
    if row.worst is None or "run" in report.by:
        return idle
    worst = f"{shown(row.worst.owner.run)}, {written_hours(row.worst.held - row.worst.busy)} h"
    return f"{idle}; most in {worst} of {written_hours(row.worst.held)} h held"


def name(row: Row) -> str:
    """What a row is of."""
    return ", ".join(map(shown, row.values))


def endnotes(report: Report) -> list[str]:
    """What has to be known to read it right, what people were told of it, and where it comes from."""
    return [*map(plain, report.notes), *_notices(report), f"Read from {plain(report.source)}."]


def _notices(report: Report) -> list[str]:
    if report.notices is None or not report.notices.sent:
        return []
    sent, wrong = report.notices
    return [f"{sent:,} notice{'s' * (sent != 1)} of idle GPUs{f', {wrong:,} called wrong' if wrong else ''}."]


def nothing(report: Report) -> str:
    """Instead of a table that has no rows."""
    return "Nobody held a GPU." if not report.services else "Nobody held a GPU but services."


def total_line(report: Report) -> str:
    """The rows together."""
    use = report.total
    share = written_share(use.busy / use.held if use.held else None)
    runs = f"{use.runs:,} run{'s' * (use.runs != 1)}"
    return f"Together {written_hours(use.held)} h held, {written_hours(use.idle)} h of it idle, {share} used, {runs}"


def explanation(questions: Sequence[Question]) -> str:
    """All that was asked for the figures, so that it can be asked by hand: what for is a comment of its language."""
    return "\n\n".join(
        f"{_comment(one)} {plain(one.purpose)} ({one.seconds * 1000:.0f} ms)\n{_lines(one.text)}" for one in questions
    )


def _comment(question: Question) -> str:
    """Of PromQL, which begins with one that says when it is asked, else of SQL."""
    return "#" if question.text.startswith("#") else "--"


def _lines(text: str) -> str:
    return "\n".join(map(plain, text.split("\n")))


def _zone(report: Report) -> str:
    return str(report.period.zone)
