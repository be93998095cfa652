"""A report as JSON, for programs: docs/report.schema.json describes it."""

from __future__ import annotations

import json
from typing import Any

from gpuwatch.model.history import Fleet, Question, Window, WorstRun
from gpuwatch.report.document import Report, Row
from gpuwatch.report.formats.fields import fleet_fields, hours, money, row_fields
from gpuwatch.report.headline import headline, shares
from gpuwatch.report.period import Period


def render_json(report: Report, *, explain: bool) -> str:
    """The document, with all questions that were asked for it where somebody wants it to `explain` itself."""
    return json.dumps(document_of(report, explain=explain), indent=2) + "\n"


def document_of(report: Report, *, explain: bool) -> dict[str, Any]:
    """The document as dicts and lists. Names are as they are: whoever shows them escapes them."""
    document = {
        **_times(report.period, report.period.window),
        "period": report.period.label,
        "time_zone": str(report.period.zone),
        "complete": report.period.complete,
        "by": list(report.by),
        "where": {key: list(values) for key, values in report.where.items()},
        "source": report.source,
        "simulated": report.simulated,
        "names": report.names,
        "headline": headline(report),
        "notes": list(report.notes),
        **fleet_fields(report),
        "nodes": len(report.nodes),
        "missing_nodes": list(report.missing),
        "previous": _previous(report.period, report.before),
        "total": _total(report),
        "rows": [_row(row, report) for row in report.rows],
        "services": [_row(row, report) for row in report.services],
    }
    if report.notices is not None:
        document["notices"] = report.notices._asdict()
    if report.price is not None:
        document |= {"currency": report.price.currency, "gpu_hour": report.price.gpu_hour}
    return document | ({"questions": [_question(one) for one in report.questions]} if explain else {})


def _times(period: Period, window: Window) -> dict[str, str]:
    start, end = (period.local(unix).isoformat(timespec="seconds") for unix in window)
    return {"start": start, "end": end}


def _previous(period: Period, fleet: Fleet | None) -> dict[str, Any] | None:
    if fleet is None:
        return None
    return {
        **_times(period, period.before),
        "period": period.before_label,
        "capacity_gpu_hours": hours(fleet.capacity),
        "busy_gpu_hours": hours(fleet.active),
        "percents": {share.state: share.percent for share in shares(fleet)},
    }


def _total(report: Report) -> dict[str, Any]:
    use = report.total
    return {
        "held_gpu_hours": hours(use.held),
        "busy_gpu_hours": hours(use.busy),
        "idle_gpu_hours": hours(use.idle),
        **money(report.price, idle_cost=use.idle),
        "runs": use.runs,
    }


def _row(row: Row, report: Report) -> dict[str, Any]:
    return {**row_fields(row, report), "worst_run": None if row.worst is None else _worst(row.worst)}


def _worst(run: WorstRun) -> dict[str, Any]:
    return {**run.owner._asdict(), "held_gpu_hours": hours(run.held), "busy_gpu_hours": hours(run.busy), "url": run.url}


def _question(one: Question) -> dict[str, Any]:
    return {"purpose": one.purpose, "text": one.text, "seconds": round(one.seconds, 4)}
