"""What the fleet of `fleet.py` shows from 11:00 to 12:08 of its day besides what it counts. Knows no gpuwatch.

ann's run on n1 is idle, a service runs on n2, and eve's hostile run on n3 is snoozed, and ends at 12:00: its counters
linger for ten minutes more. One of n2's GPUs is lost, a sensor and the disk of n3 fail, and n5 was last seen at 11:10.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fleet import EVE, GPUS, HOSTILE, HOUR, MIDNIGHT, Gpu
from servers import program

FIRST: Final = MIDNIGHT + 11 * HOUR
NOW: Final = MIDNIGHT + 11 * HOUR + 3000
ENDED: Final = MIDNIGHT + 12 * HOUR
AFTER: Final = ENDED + 360
"""The hostile run's gauges are gone for longer than Prometheus looks back, and its counters are not."""
_LAST: Final = ENDED + 480
_SILENT_FROM: Final = FIRST + 600
_ADDRESS: Final = {"n1": "10.0.0.9:9469", "n2": "n2", "n3": "n3", "n5": "n5"}
_Series = Iterator[tuple[str, dict[str, str], float]]


class Holder:
    """Who holds a GPU in that hour."""

    def __init__(self, node: str, gpu: str, owner: tuple[str, str, str], verdict: str) -> None:
        self.on = {"node": node, "gpu": gpu, "uuid": f"GPU-{node}-{gpu}"}
        self.owner = dict(zip(("user", "project", "run"), owner, strict=True))
        self.verdict = verdict


HOLDERS: Final = (
    Holder("n1", "0", ("ann", "vision", "wandb:bad"), "idle"),
    Holder("n2", "1", ("svc", "serving", "docker:llm@n2"), "ok"),
    Holder("n3", "0:1", (EVE, "a{b}|c", HOSTILE), "snoozed"),
)


def write_live_blocks(folder: Path) -> None:
    """More blocks into a server's data."""
    rows: dict[str, list[str]] = {}
    for at in range(FIRST, _LAST, 60):
        for name, labels, value in _shown(at):
            rows.setdefault(name, []).append(f"{name}{{{_written(labels)}}} {value!r} {at}\n")
    text = folder.parent / "live.om"
    with text.open("w", encoding="utf-8") as file:
        for name, lines in sorted(rows.items()):
            file.write(f"# TYPE {name} unknown\n")
            file.writelines(lines)
        file.write("# EOF\n")
    command = [program("promtool"), "tsdb", "create-blocks-from", "openmetrics", str(text), str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def _written(labels: dict[str, str]) -> str:
    target = {"job": "gpuwatch", "instance": _ADDRESS[labels["node"]]}
    scraped = labels if "job" not in labels else {key: text for key, text in labels.items() if key != "node"}
    return ",".join(f'{key}="{_escaped(text)}"' for key, text in {**target, **scraped}.items())


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _shown(at: int) -> _Series:
    seconds = float(at - FIRST)
    for node in ("n1", "n2", "n3"):
        yield from _machine(node, at, seconds)
    if at < _SILENT_FROM:
        yield "gpuwatch_build_info", {"node": "n5", "version": "0", "driver": "570", "nvml": "12"}, 1.0
    for gpu in GPUS:
        yield from _gpu(gpu, seconds)
    for holder in HOLDERS:
        if at < ENDED or holder.verdict != "snoozed":
            yield from _holder(holder, seconds)


def _machine(node: str, at: int, seconds: float) -> _Series:
    on = {"node": node}
    for mode in ("user", "idle"):
        yield "gpuwatch_host_cpu_seconds_total", {**on, "mode": mode}, 8 * seconds
    yield "gpuwatch_host_memory_used_bytes", on, 64e9
    yield "gpuwatch_host_memory_total_bytes", on, 512e9
    for sensor in ("gpu", "runs"):
        fails = (node, sensor) == ("n3", "runs")
        yield "gpuwatch_sensor_up", {**on, "sensor": sensor}, 0.0 if fails else 1.0
        yield "gpuwatch_sensor_duration_seconds", {**on, "sensor": sensor}, 0.002
        yield "gpuwatch_last_sample_timestamp_seconds", {**on, "sensor": sensor}, float(FIRST if fails else at)
    yield "gpuwatch_state_persisted", on, 0.0 if node == "n3" else 1.0
    yield "gpuwatch_notices_total", {**on, "outcome": "sent"}, seconds // 600
    yield "scrape_duration_seconds", {**on, "job": "gpuwatch"}, 0.004


def _gpu(gpu: Gpu, seconds: float) -> _Series:
    on = {"node": gpu.node, "gpu": gpu.gpu, "uuid": gpu.uuid}
    lost = (gpu.node, gpu.gpu) == ("n2", "0")
    yield "gpuwatch_gpu_up", on, 0.0 if lost else 1.0
    if lost:
        return
    yield "gpuwatch_gpu_busy_seconds_total", on, seconds / 4
    yield "gpuwatch_gpu_throttle_seconds_total", {**on, "reason": "power_cap"}, seconds / 10
    yield "gpuwatch_gpu_ecc_errors_total", {**on, "kind": "corrected"}, seconds // 60
    for name, value in {
        "memory_used_bytes": 20e9, "power_watts": 300.0, "power_limit_watts": 700.0, "temperature_celsius": 55.0,
        "sm_clock_hertz": 1.98e9, "sm_active_ratio": 0.2,
    }.items():  # fmt: skip
        yield f"gpuwatch_gpu_{name}", on, value


def _holder(holder: Holder, seconds: float) -> _Series:
    both = {**holder.on, **holder.owner}
    yield "gpuwatch_run_gpu_memory_bytes", both, 20e9
    yield "gpuwatch_run_verdict", {**both, "verdict": holder.verdict}, 1.0
    yield "gpuwatch_run_gpu_idle_seconds", both, 0.0 if holder.verdict == "ok" else 1200 + seconds
    yield "gpuwatch_run_memory_bytes", {"node": holder.on["node"], **holder.owner}, 5e9
