"""`/api/v1/status`: the snapshot as one JSON document. Its schema is public: docs/status.schema.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gpuwatch.model import DeviceView, OnDevice, RunTotal, Snapshot
from gpuwatch.model.judgement import Judgement


def status_document(snapshot: Snapshot, *, agent: bool = True) -> dict[str, Any]:
    """The document. `agent` is false where no agent runs and this is a single look, without history."""
    judgements = snapshot.judgements
    return {
        "node": snapshot.node,
        "version": snapshot.version,
        "agent": agent,
        "simulated": snapshot.simulated,
        "taken_unix": snapshot.taken_unix,
        "interval_seconds": snapshot.interval,
        "state_persisted": snapshot.persisted,
        "notices_problem": snapshot.notices_problem or None,
        "driver": snapshot.driver or None,
        "sensors": {
            name: {"up": state.up, "success_unix": state.success_unix or None, "problem": state.problem or None}
            for name, state in snapshot.sensors.items()
        },
        "strangers_reason": snapshot.strangers_reason or None,
        "gpus": [_gpu(device, snapshot, judgements) for device in snapshot.devices],
        "people": [
            {
                "user": user,
                "project": project,
                "team": snapshot.teams.get(user),
                "held_seconds": use.held,
                "busy_seconds": use.busy,
                "energy_joules": use.joules,
            }
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


def _gpu(device: DeviceView, snapshot: Snapshot, judgements: Mapping[OnDevice, Judgement]) -> dict[str, Any]:
    reading = device.reading
    activity = reading and reading.condition.activity
    return {
        "gpu": device.info.name,
        "uuid": device.info.uuid,
        "model": device.info.model,
        "capacity": device.info.capacity,
        "unavailable": device.drain and device.drain._asdict(),
        "up": reading is not None,
        "problem": device.problem or None,
        "utilization_ratio": reading and reading.utilization_ratio,
        "memory_used_bytes": reading and reading.condition.memory_used_bytes,
        "memory_total_bytes": reading and reading.condition.memory_total_bytes,
        "power_watts": reading and reading.power_watts,
        "temperature_celsius": reading and reading.condition.temperature_celsius,
        "sm_active_ratio": activity and activity.sm,
        "state_seconds": device.use.states._asdict(),
        "busy_seconds": device.use.busy if device.busy_known else None,
        "unattributed_busy_seconds": device.use.unattributed_busy if device.busy_known else None,
        "energy_joules": device.use.joules if device.energy_known else None,
        "strangers": device.strangers,
        "runs": [
            _run(key, device, snapshot, judgements.get(key))
            for key in {**snapshot.totals, **snapshot.holding}
            if key[0] == device.info.uuid
        ],
    }


def _run(key: OnDevice, device: DeviceView, snapshot: Snapshot, judgement: Judgement | None) -> dict[str, Any]:
    owner, total = key[1], snapshot.totals.get(key, RunTotal())
    run = snapshot.runs.get(owner)
    return {
        **owner._asdict(),
        "name": run.name if run else None,
        "source": run.source if run else None,
        "started_unix": run.started_unix if run else None,
        "holding": key in snapshot.holding,
        "memory_bytes": snapshot.holding.get(key),
        "memory_peak_bytes": total.memory_peak_bytes or None,
        "held_seconds": total.use.held,
        "busy_seconds": total.use.busy if device.busy_known else None,
        "energy_joules": total.use.joules if device.energy_known else None,
        "sm_active_seconds": total.sm_active if device.activity_known or total.sm_active else None,
        "verdict": judgement and judgement.verdict,
        "idle_seconds": judgement and judgement.idle_seconds,
        "wasted_seconds": judgement and judgement.wasted_seconds,
        "reason": judgement and judgement.reason,
    }
