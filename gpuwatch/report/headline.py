"""What a report says in a sentence or two: what was paid, what became of it, and how much more could have run. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from gpuwatch.model.history import Fleet
from gpuwatch.report.document import Report
from gpuwatch.report.figures import percents, written_hours, written_money

_STATES: Final = (
    ("active", "busy"),
    ("idle", "held idle"),
    ("free", "free"),
    ("unavailable", "unavailable"),
    ("unknown", "unknown"),
)
_NAMED: Final = 8
"""So many missing nodes are named."""
_MOST_TIMES: Final = 100


class Share(NamedTuple):
    """One of the five things that became of the GPUs' time."""

    state: str
    """A field of Fleet."""
    label: str
    seconds: float
    percent: int


def shares(fleet: Fleet) -> list[Share]:
    """All five, in whole percents that add up to 100."""
    seconds = [float(getattr(fleet, state)) for state, _ in _STATES]
    return [
        Share(state, label, part, percent)
        for (state, label), part, percent in zip(_STATES, seconds, percents(seconds), strict=True)
    ]


def headline(report: Report) -> str:
    """What was paid and what became of it, in one line without a full stop."""
    parts = [_paid(report), *_compared(report), *_missing(report.missing, len(report.nodes))]
    return "; ".join([f"{_asked_for(report)}; in all {parts[0]}", *parts[1:]] if report.is_filtered_by_owner else parts)


def headroom(report: Report) -> str:
    """How many times as much could have run, in one line; empty where that is not known, or next to nothing."""
    if report.headroom is None or not (more := _more(report.headroom)):
        return ""
    return f"at this use you could be running {more}"


def _paid(report: Report) -> str:
    parts = ", ".join(f"{share.percent} % {share.label}" for share in shares(report.fleet))
    return f"{_hours(report, report.fleet.capacity, 'paid')}: {parts}"


def _asked_for(report: Report) -> str:
    """Of a part of the people: what they had of all."""
    held = report.total.held + sum(row.usage.held for row in report.services)
    busy = report.total.busy + sum(row.usage.busy for row in report.services)
    asked = "; ".join(f"{key} {', '.join(value or 'none' for value in values)}" for key, values in report.where.items())
    parts = percents([busy, held - busy])
    return f"{asked}: {_hours(report, held, 'held')}, {parts[0]} % of it busy, {parts[1]} % idle"


def _hours(report: Report, seconds: float, what: str) -> str:
    hours = f"{written_hours(seconds)} GPU-h {what}"
    return (
        hours if report.price is None else f"{hours}, {written_money(report.price.of(seconds), report.price.currency)}"
    )


def _compared(report: Report) -> Iterator[str]:
    if report.before is None:
        return
    now, before = (shares(fleet)[0].percent for fleet in (report.fleet, report.before))
    if now == before:
        yield f"as busy as {report.period.before_label}"
    else:
        points = "point" if abs(now - before) == 1 else "points"
        yield f"busy {now - before:+d} {points} on {report.period.before_label}".replace("-", "−")  # noqa: RUF001


def _missing(missing: Sequence[str], nodes: int) -> Iterator[str]:
    if missing:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        yield f"{len(missing)} of {nodes} nodes sent nothing: {', '.join(missing[:_NAMED])}{more}"


def _more(ratio: float) -> str:
    """How many more experiments, in words, rounded down; empty under a tenth."""
    if ratio >= _MOST_TIMES:
        return f"more than {_MOST_TIMES} times as many experiments"
    words = {
        3.0: f"{int(ratio)} times as many experiments",
        2.0: "twice as many experiments",
        1.5: "half as many experiments again",
        1.25: "a quarter more experiments",
        1.1: "a tenth more experiments",
    }
    return next((word for least, word in words.items() if ratio >= least), "")
