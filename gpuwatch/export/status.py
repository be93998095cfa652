"""`/api/v1/status`: the snapshot as one JSON document. Its schema is public: docs/status.schema.json."""

from __future__ import annotations

from typing import Any

from gpuwatch.model import DeviceView, OnDevice, RunTotal, Snapshot


def status_document(snapshot: Snapshot, *, agent: bool = True) -> dict[str, Any]:
    """The document. `agent` is false where no agent runs and this is a single look, without history."""
    return {
        "node": snapshot.node,
        "version": snapshot.version,
        "agent": agent,
        "taken_unix": snapshot.taken_unix,
        "interval_seconds": snapshot.interval,
        "state_persisted": snapshot.persisted,
        "driver": snapshot.driver or None,
        "sensors": {
            name: {"up": state.up, "success_unix": state.success_unix or None, "problem": state.problem or None}
            for name, state in snapshot.sensors.items()
        },
        "gpus": [_gpu(device, snapshot) for device in snapshot.devices],
        "people": [
            {"user": user, "project": project, **_use(use.held, use.busy, use.joules)}
            for (user, project), use in snapshot.people.items()
        ],
        "host": None
        if snapshot.host is None
        else {
            "load1": snapshot.host.load1,
            "memory_used_bytes": snapshot.host.memory_used_bytes,
            "memory_total_bytes": snapshot.host.memory_total_bytes,
        },
    }


def _gpu(device: DeviceView, snapshot: Snapshot) -> dict[str, Any]:
    reading = device.reading
    return {
        "gpu": device.info.index,
        "uuid": device.info.uuid,
        "model": device.info.model,
        "up": reading is not None,
        "problem": device.problem or None,
        "utilization_ratio": reading and reading.utilization_ratio,
        "memory_used_bytes": reading and reading.condition.memory_used_bytes,
        "memory_total_bytes": reading and reading.condition.memory_total_bytes,
        "power_watts": reading and reading.power_watts,
        "temperature_celsius": reading and reading.condition.temperature_celsius,
        "state_seconds": device.use.states._asdict(),
        "busy_seconds": device.use.busy,
        "unattributed_busy_seconds": device.use.unattributed_busy,
        "energy_joules": device.use.joules if device.energy_known else None,
        "strangers": device.strangers,
        "runs": [_run(key, snapshot) for key in {**snapshot.totals, **snapshot.holding} if key[0] == device.info.uuid],
    }


def _run(key: OnDevice, snapshot: Snapshot) -> dict[str, Any]:
    owner, use = key[1], snapshot.totals.get(key, RunTotal()).use
    run = snapshot.runs.get(owner)
    return {
        **owner._asdict(),
        "name": run.name if run else None,
        "source": run.source if run else None,
        "started_unix": run.started_unix if run else None,
        "holding": key in snapshot.holding,
        "memory_bytes": snapshot.holding.get(key),
        **_use(use.held, use.busy, use.joules),
    }


def _use(held: float, busy: float, joules: float) -> dict[str, float]:
    return {"held_seconds": held, "busy_seconds": busy, "energy_joules": joules}
