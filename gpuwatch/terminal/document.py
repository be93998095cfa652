"""From a status document, as the agent serves it, to the records that terminals show. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gpuwatch.model.identity import Owner
from gpuwatch.model.live import FREE, HELD, UNAVAILABLE, UNKNOWN, Device, Holder, Node
from gpuwatch.terminal.words import length

Document = Mapping[str, Any]
STALE_SECONDS: Final = 30.0
"""A document that is older is told as such: what it says was so, and is not known to be so."""
_STALE_INTERVALS: Final = 5
_UNLISTED: Final = "(the driver does not list processes)"


def parse_node(document: Document, *, now_unix: float) -> Node:
    """The node that a document of docs/status.schema.json is of."""
    devices = tuple(_device(gpu, watched=document["agent"]) for gpu in document["gpus"])
    age = now_unix - document["taken_unix"]
    problem = "" if devices else document["sensors"]["gpu"]["problem"] or "no GPUs"
    if age > max(STALE_SECONDS, _STALE_INTERVALS * document["interval_seconds"]):
        problem = f"no reading for {length(age)}"
        devices = tuple(unread(device, problem) for device in devices)
    return Node(
        name=document["node"],
        taken_unix=document["taken_unix"],
        devices=devices,
        agent=document["agent"],
        simulated=document["simulated"],
        problem=problem,
        hint=_hint(document),
    )


def unread(device: Device, why: str) -> Device:
    """The device, of which nothing is known now."""
    return Device(device.gpu, device.uuid, device.model, UNKNOWN, why, device.capacity)


def _device(gpu: Document, *, watched: bool) -> Device:
    holders = tuple(_holder(run, watched=watched) for run in gpu["runs"] if run["holding"])
    state, note = _state(gpu, held=bool(holders))
    return Device(
        gpu=gpu["gpu"],
        uuid=gpu["uuid"],
        model=gpu["model"],
        state=state,
        note=note,
        capacity=gpu["capacity"],
        utilization_ratio=gpu["utilization_ratio"],
        memory_used_bytes=gpu["memory_used_bytes"],
        memory_total_bytes=gpu["memory_total_bytes"],
        power_watts=gpu["power_watts"],
        temperature_celsius=gpu["temperature_celsius"],
        holders=holders,
    )


def _state(gpu: Document, *, held: bool) -> tuple[str, str]:
    """Its state, and what is to be said of it beside its holders."""
    strangers, drain = gpu["strangers"], gpu["unavailable"]
    unread = f"({strangers} processes that cannot be read)" if strangers else ""
    out_of_service = f"unavailable: {drain['reason'] or 'no reason given'} ({drain['by']})" if drain else ""
    if held:
        return HELD, out_of_service or unread
    if drain:
        return UNAVAILABLE, out_of_service
    if not gpu["up"] or strangers is None:
        return UNKNOWN, gpu["problem"] or _UNLISTED
    return (HELD, unread) if strangers else (FREE, "free")


def _holder(run: Document, *, watched: bool) -> Holder:
    """`watched` is whether somebody has seen it all the time: else what it has held and used is not known."""
    return Holder(
        owner=Owner(run["user"], run["project"], run["run"]),
        name=run["name"] or "",
        held_seconds=run["held_seconds"] if watched else None,
        busy_seconds=run["busy_seconds"] if watched else None,
        memory_bytes=run["memory_bytes"],
        verdict=run["verdict"] or "",
        idle_seconds=run["idle_seconds"] if watched else run["idle_seconds"] or None,
        wasted_seconds=run["wasted_seconds"],
        reason=run["reason"] or "",
    )


def _hint(document: Document) -> str:
    if not any(gpu["strangers"] for gpu in document["gpus"]):
        return ""
    reason = document["strangers_reason"] or "they have just ended, or see `gpuwatch check`"
    return f"Processes cannot be read: {reason}"
