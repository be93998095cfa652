"""Two runs for a terminal, and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from gpuwatch.report.formats.fields import rounded
from gpuwatch.report.formats.prose import SIMULATED, explanation
from gpuwatch.report.formats.text import plain
from gpuwatch.report.notes import NO_PRICE
from gpuwatch.report.run.comparison import Compared
from gpuwatch.report.run.document import Json, iso
from gpuwatch.report.run.layout import Column, table, wrapped
from gpuwatch.report.run.summary import Asked, Summary
from gpuwatch.report.run.words import known


def side_by_side(a: Summary, b: Summary, compared: Sequence[Compared], *, asked: Asked, width: int) -> str:
    """A table with a line for each measure that is known of either."""
    rows = [row for row in compared if row.a is not None or row.b is not None]
    columns = [
        Column("", [row.measure.label for row in rows], right=False),
        Column("A", _texts(rows, 0)),
        Column("B", _texts(rows, 1)),
        Column("B/A", [known("{:.2f}".format, row.ratio) for row in rows]),
    ]
    lines = [SIMULATED] * asked.simulated
    for head, summary in (("A  ", a), ("B  ", b)):
        lines += wrapped(_who(summary), width, first=head)
    lines += ["", *table(columns, width)]
    if a.price is None:
        lines += ["", *wrapped(NO_PRICE, width)]
    return "\n".join([*lines, "", explanation(asked.questions)] if asked.questions else lines)


def _who(summary: Summary) -> str:
    about = summary.about
    parts = (summary.owner.run, about.name if about else "", summary.owner.user, about.kind if about else "")
    return plain(", ".join(part for part in parts if part))


def _texts(rows: Sequence[Compared], place: int) -> list[str]:
    values = [(row, (row.a, row.b)[place]) for row in rows]
    return [known(row.measure.write, value) for row, value in values]


def comparison_document(
    a: Summary, b: Summary, compared: Sequence[Compared], *, asked: Asked, fail_below: float | None, problem: str
) -> Json:
    """The same as JSON; `problem` says where B falls short of what was asked."""
    return {
        "a": _identity(a),
        "b": _identity(b),
        "record": asked.source,
        "simulated": asked.simulated,
        "measures": {
            row.measure.name: {"a": rounded(row.a), "b": rounded(row.b), "ratio": rounded(row.ratio)}
            for row in compared
            if a.price is not None or not row.measure.is_money
        },
        "fail_below": fail_below,
        "problem": problem,
        **({"currency": a.price.currency} if a.price else {}),
        **({"questions": [question._asdict() for question in asked.questions]} if asked.questions else {}),
    }


def _identity(summary: Summary) -> Json:
    return {
        "run": summary.owner.run,
        "user": summary.owner.user,
        "project": summary.owner.project,
        "name": summary.about.name if summary.about else "",
        "first_seen": iso(summary.span.start_unix),
        "last_seen": iso(summary.span.end_unix),
    }
