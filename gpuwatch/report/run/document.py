"""One run as JSON: docs/show.schema.json says what is in it. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from gpuwatch.model.history import RunOnDevice
from gpuwatch.report.document import Price
from gpuwatch.report.formats.fields import hours, money, rounded
from gpuwatch.report.run.figures import Figures, label_of
from gpuwatch.report.run.stretches import IdleStretch
from gpuwatch.report.run.summary import Asked, Summary
from gpuwatch.report.run.timeline import Axis, axis_of, cores_over, use_over

Json = dict[str, object]
_MOST_STEPS = 200


def document(summary: Summary, asked: Asked) -> Json:
    """All that is told of the run."""
    about = summary.about
    axis = axis_of(summary.span, _MOST_STEPS)
    return {
        "run": summary.owner.run,
        "user": summary.owner.user,
        "project": summary.owner.project,
        "name": about.name if about else "",
        "source": about.source if about else "",
        "kind": about.kind if about else "",
        "batch_job": about.batch_job if about else "",
        "url": about.url if about else "",
        "found": asked.meant_by,
        "record": asked.source,
        "simulated": asked.simulated,
        "started": iso(summary.started_unix),
        "first_seen": iso(summary.span.start_unix),
        "last_seen": iso(summary.span.end_unix),
        "still_there": summary.still_there,
        "nodes": summary.nodes,
        **_figures(summary.total, summary.price),
        "memory_peak_bytes": summary.memory_peak.memory_peak_bytes if summary.memory_peak else None,
        "cpu_core_hours": rounded(summary.core_hours),
        "cpu_cores": rounded(summary.cores),
        "gpus": [_gpu(device, figures, summary.price, axis) for device, figures in summary.devices],
        "steps": {
            "start": iso(axis.start_unix),
            "seconds": axis.step_seconds,
            "cpu_cores": _rounded(cores_over(axis, summary.cpu)) if summary.cpu else None,
        },
        "idle_stretches": [_stretch(stretch) for stretch in summary.stretches],
        "advice": [advice._asdict() for advice in summary.advice],
        **({"currency": summary.price.currency} if summary.price else {}),
        **({"questions": [question._asdict() for question in asked.questions]} if asked.questions else {}),
    }


def iso(unix: float) -> str:
    """A moment in UTC, to the second."""
    return datetime.fromtimestamp(int(unix), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _figures(figures: Figures, price: Price | None) -> Json:
    return {
        "held_gpu_hours": hours(figures.held),
        "busy_gpu_hours": hours(figures.busy),
        "idle_gpu_hours": hours(figures.idle),
        "utilization": rounded(figures.utilization),
        "sm_active_ratio": rounded(figures.sm_ratio),
        "energy_kwh": rounded(figures.energy_kwh),
        **money(price, cost=figures.held, idle_cost=figures.idle),
    }


def _gpu(device: RunOnDevice, figures: Figures, price: Price | None, axis: Axis) -> Json:
    return {
        "gpu": label_of(device),
        "uuid": device.uuid,
        "model": device.model,
        "capacity": device.capacity,
        **_figures(figures, price),
        "memory_bytes": device.memory_bytes,
        "memory_peak_bytes": device.memory_peak_bytes or None,
        "use": _rounded(use_over(axis, device.bins)),
    }


def _stretch(stretch: IdleStretch) -> Json:
    return {
        "start": iso(stretch.start_unix),
        "end": iso(stretch.end_unix),
        "gpus": list(stretch.gpus),
        "idle_gpu_hours": hours(stretch.idle),
    }


def _rounded(steps: list[float | None]) -> list[float | None]:
    return [rounded(value) for value in steps]
