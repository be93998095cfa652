"""A fleet as a JSON document. Its schema is public: docs/fleet.schema.json. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpuwatch.model.live import Device, Holder, Node


def fleet_document(nodes: Sequence[Node], *, asked_unix: float) -> dict[str, Any]:
    """The document."""
    return {"asked_unix": asked_unix, "nodes": [_node(node) for node in nodes]}


def _node(node: Node) -> dict[str, Any]:
    return {
        "node": node.name,
        "simulated": node.simulated,
        "taken_unix": node.taken_unix,
        "problem": node.problem or None,
        "gpus": [_gpu(device) for device in node.devices],
    }


def _gpu(device: Device) -> dict[str, Any]:
    return {
        "gpu": device.gpu,
        "uuid": device.uuid,
        "model": device.model,
        "capacity": device.capacity,
        "state": device.state,
        "utilization_ratio": device.utilization_ratio,
        "memory_used_bytes": device.memory_used_bytes,
        "memory_total_bytes": device.memory_total_bytes,
        "power_watts": device.power_watts,
        "temperature_celsius": device.temperature_celsius,
        "runs": [_run(holder) for holder in device.holders],
    }


def _run(holder: Holder) -> dict[str, Any]:
    return {
        **holder.owner._asdict(),
        "name": holder.name or None,
        "memory_bytes": holder.memory_bytes,
        "held_seconds": holder.held_seconds,
        "busy_seconds": holder.busy_seconds,
        "verdict": holder.verdict or None,
        "idle_seconds": holder.idle_seconds,
    }
