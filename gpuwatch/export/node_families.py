"""The families of the node: its agent, its GPUs, its host. From a snapshot to rows, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gpuwatch.export.family import Family, Places, Row, counter, gauge, info
from gpuwatch.model import Activity, DeviceView, GpuReading, Snapshot

_Gauges = tuple[tuple[str, str, Callable[[GpuReading], float | None]], ...]

_STEADY_GAUGES: _Gauges = (
    ("memory_total_bytes", "Device memory in all.", lambda r: r.condition.memory_total_bytes),
    ("power_limit_watts", "Power limit that the driver enforces.", lambda r: r.condition.power_limit_watts),
)
_MOVING_GAUGES: _Gauges = (
    ("utilization_ratio", "Share of the last sample period with a kernel running.", lambda r: r.utilization_ratio),
    ("memory_used_bytes", "Device memory in use.", lambda r: r.condition.memory_used_bytes),
    ("power_watts", "Power drawn now.", lambda r: r.power_watts),
    ("temperature_celsius", "Temperature of the GPU core.", lambda r: r.condition.temperature_celsius),
    ("sm_clock_hertz", "Clock of the streaming multiprocessors.", lambda r: r.condition.sm_clock_hertz),
    ("sm_active_ratio", "Mean share of time in which SMs had work, by GPM.", lambda r: _activity(r).sm),
    ("tensor_active_ratio", "Share of time in which tensor cores worked, by GPM.", lambda r: _activity(r).tensor),
    ("dram_active_ratio", "Share of the memory bandwidth that was used, by GPM.", lambda r: _activity(r).dram),
)
_NO_ACTIVITY = Activity(0.0, 0.0, None, None, None, None)


def _activity(reading: GpuReading) -> Activity:
    return reading.condition.activity or _NO_ACTIVITY


def what_things_are(snapshot: Snapshot, at: Places) -> Iterator[Family]:
    """Versions, models, sizes: what seldom changes."""
    build = {**at.node, "version": snapshot.version, "driver": snapshot.driver, "nvml": snapshot.nvml}
    yield info("gpuwatch_build", "Versions of gpuwatch, the driver and NVML.", [build])
    yield info(
        "gpuwatch_gpu",
        "Model and place of a GPU.",
        [{**at.gpus[d.info.uuid], "model": d.info.model, "pci": d.info.pci} for d in snapshot.devices],
    )
    yield gauge(
        "gpuwatch_gpu_capacity_ratio",
        "The device's part of a whole GPU: below 1 for a MIG instance.",
        _by_gpu(snapshot, at, lambda d: d.info.capacity),
    )
    yield from _gauges(snapshot, at, _STEADY_GAUGES)


def agent(snapshot: Snapshot, at: Places) -> Iterator[Family]:
    """How the sensors and the state fare."""
    sensors = [({**at.node, "sensor": name}, state) for name, state in snapshot.sensors.items()]
    yield gauge(
        "gpuwatch_sensor_up", "Whether the sensor's last reading worked.", [(to, float(s.up)) for to, s in sensors]
    )
    yield gauge(
        "gpuwatch_sensor_duration_seconds",
        "How long the sensor's last reading took.",
        [(to, s.duration_seconds) for to, s in sensors],
    )
    yield gauge(
        "gpuwatch_last_sample_timestamp_seconds",
        "When the sensor's last good reading was made.",
        [(to, s.success_unix or None) for to, s in sensors],
    )
    yield gauge(
        "gpuwatch_state_persisted", "Whether the totals shown are on disk.", [(at.node, float(snapshot.persisted))]
    )


def gpu_gauges(snapshot: Snapshot, at: Places) -> Iterator[Family]:
    """What GPUs are at now."""
    return _gauges(snapshot, at, _MOVING_GAUGES)


def gpu_totals(snapshot: Snapshot, at: Places) -> Iterator[Family]:
    """What GPUs did in all."""
    yield gauge(
        "gpuwatch_gpu_up", "Whether the GPU answers.", _by_gpu(snapshot, at, lambda d: float(d.reading is not None))
    )
    yield counter(
        "gpuwatch_gpu_busy_seconds",
        "Time with a kernel running.",
        _by_gpu(snapshot, at, lambda d: d.use.busy if d.busy_known else None),
    )
    yield counter(
        "gpuwatch_gpu_energy_joules",
        "Energy drawn.",
        _by_gpu(snapshot, at, lambda d: d.use.joules if d.energy_known else None),
    )
    yield counter(
        "gpuwatch_gpu_unattributed_busy_seconds",
        "Busy time of processes that nobody is known to own.",
        _by_gpu(snapshot, at, lambda d: d.use.unattributed_busy if d.busy_known else None),
    )
    yield counter(
        "gpuwatch_gpu_unattributed_energy_joules",
        "Energy that nobody is charged with: of free and unknown time, and of unknown processes.",
        _by_gpu(snapshot, at, lambda d: d.use.unattributed_joules if d.energy_known else None),
    )
    yield counter(
        "gpuwatch_gpu_state_seconds",
        "Time by state: active, idle (held, not busy), free, unavailable, unknown. They sum to the elapsed time.",
        [
            ({**at.gpus[d.info.uuid], "state": state}, seconds)
            for d in snapshot.devices
            for state, seconds in d.use.states._asdict().items()
        ],
    )


def gpu_counts(snapshot: Snapshot, at: Places) -> Iterator[Family]:
    """What the driver counts: throttled time and memory errors."""
    yield counter(
        "gpuwatch_gpu_throttle_seconds",
        "Time with lowered clocks, by reason. Several can hold at once.",
        _counts(snapshot, at, "throttle", "reason"),
    )
    yield counter(
        "gpuwatch_gpu_ecc_errors",
        "Memory errors of the card since it was made, corrected and uncorrected.",
        _counts(snapshot, at, "ecc", "kind"),
    )


def host(snapshot: Snapshot, at: Places) -> Iterator[Family]:
    """CPU, memory and load of the machine."""
    seen = snapshot.host
    if seen is None:
        return
    yield counter(
        "gpuwatch_host_cpu_seconds",
        "CPU time of this machine by mode.",
        [({**at.node, "mode": mode}, seconds) for mode, seconds in seen.cpu_seconds.items()],
    )
    yield gauge("gpuwatch_host_memory_used_bytes", "Memory in use.", [(at.node, seen.memory_used_bytes)])
    yield gauge("gpuwatch_host_memory_total_bytes", "Memory in all.", [(at.node, seen.memory_total_bytes)])
    yield gauge("gpuwatch_host_load1", "Load average over one minute.", [(at.node, seen.load1)])


def _gauges(snapshot: Snapshot, at: Places, gauges: _Gauges) -> Iterator[Family]:
    read = [(at.gpus[d.info.uuid], d.reading) for d in snapshot.devices if d.reading is not None]
    for suffix, text, value in gauges:
        yield gauge(f"gpuwatch_gpu_{suffix}", text, [(to, value(reading)) for to, reading in read])


def _by_gpu(snapshot: Snapshot, at: Places, value: Callable[[DeviceView], float | None]) -> list[Row]:
    return [(at.gpus[device.info.uuid], value(device)) for device in snapshot.devices]


def _counts(snapshot: Snapshot, at: Places, what: str, label: str) -> list[Row]:
    return [
        ({**at.gpus[d.info.uuid], label: key.which}, count.total)
        for d in snapshot.devices
        for key, count in sorted(d.counts.items())
        if key.what == what
    ]
