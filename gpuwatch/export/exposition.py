"""`/metrics`: the snapshot as Prometheus text or OpenMetrics. The only file that knows prometheus-client.

The names are public; docs/metrics.md lists them. What is not supported is absent, never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.exposition import generate_latest as render_text
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.samples import Sample

from gpuwatch.model import DeviceView, GpuReading, Run, RunOnGpu, Snapshot

Labels = Mapping[str, str]
Rows = Iterable[tuple[Labels, float | None]]

_render_openmetrics: Callable[[CollectorRegistry, str], bytes] = openmetrics.generate_latest

# All names and label names here are plain ASCII identifiers. Told that UTF-8 is allowed, prometheus-client only checks
# that; told otherwise, it rewrites every name character by character, at twice the cost and with the same result.
_ESCAPING = openmetrics.ALLOWUTF8

_GAUGES: tuple[tuple[str, str, Callable[[GpuReading], float | None]], ...] = (
    ("utilization_ratio", "Share of the last sample period with a kernel running.", lambda r: r.utilization_ratio),
    ("memory_used_bytes", "Device memory in use.", lambda r: r.memory_used_bytes),
    ("memory_total_bytes", "Device memory in all.", lambda r: r.memory_total_bytes),
    ("power_watts", "Power drawn now.", lambda r: r.power_watts),
    ("power_limit_watts", "Power limit that the driver enforces.", lambda r: r.power_limit_watts),
    ("temperature_celsius", "Temperature of the GPU core.", lambda r: r.temperature_celsius),
    ("sm_clock_hertz", "Clock of the streaming multiprocessors.", lambda r: r.sm_clock_hertz),
)


def render(snapshot: Snapshot, *, open_metrics: bool) -> tuple[bytes, str]:
    """The exposition of a snapshot, and its content type."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(snapshot))
    if open_metrics:
        return _render_openmetrics(registry, _ESCAPING), openmetrics.CONTENT_TYPE_LATEST
    return render_text(registry, _ESCAPING), CONTENT_TYPE_LATEST


class _Collector:
    """Hands the families of one snapshot to prometheus-client."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._node = {"node": snapshot.node}
        self._gpus = {
            device.info.uuid: {**self._node, "gpu": str(device.info.index), "uuid": device.info.uuid}
            for device in snapshot.devices
        }

    def collect(self) -> Iterator[Metric]:
        """All families that have a sample."""
        families = chain(
            self._agent(),
            self._gpu_facts(),
            self._gpu_totals(),
            self._runs_on_gpus(),
            self._runs(),
            self._people(),
            self._host(),
        )
        return (family for family in families if family.samples)

    def _agent(self) -> Iterator[Metric]:
        snapshot = self._snapshot
        build = {**self._node, "version": snapshot.version, "driver": snapshot.driver, "nvml": snapshot.nvml}
        yield _info("gpuwatch_build", "Versions of gpuwatch, the driver and NVML.", [(build, 1)])
        sensors = [({**self._node, "sensor": name}, state) for name, state in snapshot.sensors.items()]
        yield _gauge(
            "gpuwatch_sensor_up", "Whether the sensor's last reading worked.", [(at, float(s.up)) for at, s in sensors]
        )
        yield _gauge(
            "gpuwatch_sensor_duration_seconds",
            "How long the sensor's last reading took.",
            [(at, s.duration_seconds) for at, s in sensors],
        )
        yield _gauge(
            "gpuwatch_last_sample_timestamp_seconds",
            "When the sensor's last good reading was made.",
            [(at, s.success_unix or None) for at, s in sensors],
        )
        yield _gauge(
            "gpuwatch_state_persisted",
            "Whether the totals shown are on disk.",
            [(self._node, float(snapshot.persisted))],
        )

    def _gpu_facts(self) -> Iterator[Metric]:
        devices = self._snapshot.devices
        yield _info(
            "gpuwatch_gpu",
            "Model and place of a GPU.",
            [({**self._gpus[d.info.uuid], "model": d.info.model, "pci": d.info.pci}, 1) for d in devices],
        )
        yield _gauge(
            "gpuwatch_gpu_up", "Whether the GPU answers.", self._by_gpu(lambda d: float(d.reading is not None))
        )
        for suffix, text, value in _GAUGES:
            rows = [(self._gpus[d.info.uuid], value(d.reading)) for d in devices if d.reading is not None]
            yield _gauge(f"gpuwatch_gpu_{suffix}", text, rows)

    def _gpu_totals(self) -> Iterator[Metric]:
        yield _counter("gpuwatch_gpu_busy_seconds", "Time with a kernel running.", self._by_gpu(lambda d: d.use.busy))
        yield _counter(
            "gpuwatch_gpu_energy_joules",
            "Energy drawn.",
            self._by_gpu(lambda d: d.use.joules if d.energy_known else None),
        )
        yield _counter(
            "gpuwatch_gpu_unattributed_busy_seconds",
            "Busy time of processes that nobody is known to own.",
            self._by_gpu(lambda d: d.use.unattributed_busy),
        )
        yield _counter(
            "gpuwatch_gpu_unattributed_energy_joules",
            "Energy that nobody is charged with: of free and unknown time, and of unknown processes.",
            self._by_gpu(lambda d: d.use.unattributed_joules if d.energy_known else None),
        )
        yield _counter(
            "gpuwatch_gpu_state_seconds",
            "Time by state: active, idle (held, not busy), free, unavailable, unknown. They sum to the elapsed time.",
            [
                ({**self._gpus[d.info.uuid], "state": state}, seconds)
                for d in self._snapshot.devices
                for state, seconds in d.use.states._asdict().items()
            ],
        )

    def _by_gpu(self, value: Callable[[DeviceView], float | None]) -> Rows:
        return [(self._gpus[device.info.uuid], value(device)) for device in self._snapshot.devices]

    def _runs_on_gpus(self) -> Iterator[Metric]:
        energy = {device.info.uuid: device.energy_known for device in self._snapshot.devices}
        rows: list[tuple[Labels, RunOnGpu, bool]] = [
            ({**self._gpus[uuid], **owner._asdict()}, there, energy[uuid])
            for (uuid, owner), there in self._snapshot.on_gpu.items()
            if uuid in self._gpus
        ]
        yield _counter(
            "gpuwatch_run_gpu_held_seconds",
            "Time a run held the GPU, divided among those who held it together.",
            [(at, r.use.held) for at, r, _ in rows],
        )
        yield _counter(
            "gpuwatch_run_gpu_busy_seconds", "Time a run kept the GPU busy.", [(at, r.use.busy) for at, r, _ in rows]
        )
        yield _counter(
            "gpuwatch_run_gpu_energy_joules",
            "Energy charged to a run.",
            [(at, r.use.joules if known else None) for at, r, known in rows],
        )
        yield _gauge(
            "gpuwatch_run_gpu_memory_bytes", "Device memory of a run.", [(at, r.memory_bytes) for at, r, _ in rows]
        )
        yield _gauge(
            "gpuwatch_run_gpu_memory_peak_bytes",
            "The most device memory a run had at any reading.",
            [(at, r.memory_peak_bytes if r.holding else None) for at, r, _ in rows],
        )

    def _runs(self) -> Iterator[Metric]:
        rows = [({**self._node, **owner._asdict()}, view) for owner, view in self._snapshot.runs.items()]
        yield _counter(
            "gpuwatch_run_cpu_seconds", "CPU time of a run's process tree.", [(at, v.cpu_seconds) for at, v in rows]
        )
        yield _gauge(
            "gpuwatch_run_memory_bytes", "Resident memory of a run's tree.", [(at, v.memory_bytes) for at, v in rows]
        )
        yield _gauge(
            "gpuwatch_run_start_time_seconds",
            "When a run began.",
            [(at, v.run.started_unix if v.run else None) for at, v in rows],
        )
        yield _info("gpuwatch_run", "What is known of a run.", [(_about(at, v.run), 1) for at, v in rows if v.run])

    def _people(self) -> Iterator[Metric]:
        rows = [
            ({**self._node, "user": user, "project": project}, use)
            for (user, project), use in self._snapshot.people.items()
        ]
        yield _counter(
            "gpuwatch_user_gpu_held_seconds", "GPU time a user held, by project.", [(at, u.held) for at, u in rows]
        )
        yield _counter("gpuwatch_user_gpu_busy_seconds", "GPU time a user kept busy.", [(at, u.busy) for at, u in rows])
        yield _counter(
            "gpuwatch_user_gpu_energy_joules", "Energy charged to a user.", [(at, u.joules) for at, u in rows]
        )

    def _host(self) -> Iterator[Metric]:
        host = self._snapshot.host
        if host is None:
            return
        yield _counter(
            "gpuwatch_host_cpu_seconds",
            "CPU time of this machine by mode.",
            [({**self._node, "mode": mode}, seconds) for mode, seconds in host.cpu_seconds.items()],
        )
        yield _gauge("gpuwatch_host_memory_used_bytes", "Memory in use.", [(self._node, host.memory_used_bytes)])
        yield _gauge("gpuwatch_host_memory_total_bytes", "Memory in all.", [(self._node, host.memory_total_bytes)])
        yield _gauge("gpuwatch_host_load1", "Load average over one minute.", [(self._node, host.load1)])


def _about(at: Labels, run: Run) -> Labels:
    about = {"source": run.source, "kind": run.kind, "name": run.name, "batch_job": run.batch_job, "url": run.url}
    return {**at, **about}


def _family(name: str, text: str, kind: str, suffix: str, rows: Rows) -> Metric:
    metric = Metric(name, text, kind)
    metric.samples = [Sample(name + suffix, dict(labels), value) for labels, value in rows if value is not None]
    return metric


def _counter(name: str, text: str, rows: Rows) -> Metric:
    return _family(name, text, "counter", "_total", rows)


def _gauge(name: str, text: str, rows: Rows) -> Metric:
    return _family(name, text, "gauge", "", rows)


def _info(name: str, text: str, rows: Rows) -> Metric:
    return _family(name, text, "info", "_info", rows)
