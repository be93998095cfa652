"""What was told, or would have been, and what was held back: for a terminal, and for programs. Pure.

Names are other people's text: they come in as they may be shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from gpuwatch.alert.plan import Local
from gpuwatch.model.notice import BUSY, ENDED, SENT, SNOOZE, Notice
from gpuwatch.units import HOUR

Clean = Callable[[str], str]
"""Of other people's text what may be shown on a line."""
_TITLES: Final = ("WHEN", "USER", "RUN", "GPU-H", "THEN")
_INDENT: Final = "    "
_THEN: Final = {ENDED: "ended", BUSY: "busy again", SNOOZE: "snoozed"}
_MOST_RUNS: Final = 1


def listing(notices: Sequence[Notice], *, local: Local, clean: Clean) -> str:
    """Tables of what was sent, of what in shadow mode would have been, and of what was held back."""
    told = [notice for notice in notices if notice.told]
    parts = (
        ("Sent", [notice for notice in told if notice.outcome == SENT]),
        ("Would have been sent, in shadow mode", [notice for notice in told if notice.outcome != SENT]),
        ("Held back", [notice for notice in notices if not notice.told]),
    )
    tables = [f"{title}: {_sum(part)}\n{_table(part, local, clean)}" for title, part in parts if part]
    return "\n\n".join(tables)


def documents(notices: Sequence[Notice], *, local: Local) -> list[dict[str, Any]]:
    """The same for programs: docs/alerts.md says what the fields are. Names are as they are."""
    return [_document(notice, local) for notice in notices]


def _sum(notices: Sequence[Notice]) -> str:
    many = f"{len(notices)} notice{'s' * (len(notices) != 1)}"
    wrong = sum(bool(notice.wrong) for notice in notices)
    return f"{many}, {wrong} called wrong" if wrong else many


def _table(notices: Sequence[Notice], local: Local, clean: Clean) -> str:
    rows = [_TITLES, *(_row(notice, local, clean) for notice in notices)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    reasons = (f"{_INDENT}{_why(notice, clean)}" for notice in notices)
    return "\n".join([lines[0], *(line for pair in zip(lines[1:], reasons, strict=True) for line in pair)])


def _row(notice: Notice, local: Local, clean: Clean) -> tuple[str, ...]:
    return (
        f"{local(notice.opened_unix):%Y-%m-%d %H:%M}",
        clean(notice.user) or "-",
        _runs([clean(run) for run in notice.runs]),
        f"{notice.wasted_gpu_seconds / HOUR:.1f}",
        "; ".join(_then(notice, local)),
    )


def _why(notice: Notice, clean: Clean) -> str:
    wrong = f"; called wrong: {clean(notice.wrong)}" if notice.wrong else ""
    return f"{clean(notice.why)}{wrong}"


def _runs(names: Sequence[str]) -> str:
    more = len(names) - _MOST_RUNS
    return f"{names[0]} and {more} more" if more > 0 else "".join(names) or "-"


def _then(notice: Notice, local: Local) -> Iterator[str]:
    """What came of it."""
    if notice.told > 1:
        yield f"told {notice.told} times"
    if notice.closed_unix is not None:
        closed = local(notice.closed_unix)
        same_day = closed.date() == local(notice.opened_unix).date()
        yield f"{_THEN.get(notice.close_reason, 'over')} {closed:{'%H:%M' if same_day else '%Y-%m-%d %H:%M'}}"
    else:
        yield "goes on"


def _document(notice: Notice, local: Local) -> dict[str, Any]:
    about = notice._asdict()
    for name in ("opened", "told", "closed"):
        unix = about.pop(f"{name}_unix")
        about[f"{name}_at"] = _moment(unix, local) if unix else None
    for name in ("key", "refreshed_unix", "seen_unix"):
        del about[name]
    about["wasted_gpu_hours"] = round(about.pop("wasted_gpu_seconds") / HOUR, 3)
    return {**about, "runs": list(notice.runs), "nodes": list(notice.nodes)}


def _moment(unix: float, local: Local) -> str:
    moment: datetime = local(unix)
    return moment.isoformat(timespec="seconds")
