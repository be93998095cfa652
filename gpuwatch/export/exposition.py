"""`/metrics`: the snapshot as Prometheus text or OpenMetrics. The only file that knows prometheus-client.

The names are public; docs/metrics.md lists them. What is not supported is absent, never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.exposition import generate_latest as render_text
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from gpuwatch.model import DeviceView, GpuReading, Run, Snapshot

Labels = dict[str, str]
Rows = Iterable[tuple[Labels, float | None]]
Gauges = tuple[tuple[str, str, Callable[[GpuReading], float | None]], ...]

_render_openmetrics: Callable[[CollectorRegistry, str], bytes] = openmetrics.generate_latest

# All names and label names here are plain ASCII identifiers. Told that UTF-8 is allowed, prometheus-client only checks
# that; told otherwise, it rewrites every name character by character, at twice the cost and with the same result.
_ESCAPING = openmetrics.ALLOWUTF8

_STEADY_GAUGES: Gauges = (
    ("memory_total_bytes", "Device memory in all.", lambda r: r.condition.memory_total_bytes),
    ("power_limit_watts", "Power limit that the driver enforces.", lambda r: r.condition.power_limit_watts),
)
_MOVING_GAUGES: Gauges = (
    ("utilization_ratio", "Share of the last sample period with a kernel running.", lambda r: r.utilization_ratio),
    ("memory_used_bytes", "Device memory in use.", lambda r: r.condition.memory_used_bytes),
    ("power_watts", "Power drawn now.", lambda r: r.power_watts),
    ("temperature_celsius", "Temperature of the GPU core.", lambda r: r.condition.temperature_celsius),
    ("sm_clock_hertz", "Clock of the streaming multiprocessors.", lambda r: r.condition.sm_clock_hertz),
)
_END = b"# EOF\n"


class Exposition:
    """Renders snapshots, one after another.

    prometheus-client's rendering is the most expensive thing that a scrape does. Families that change seldom (what
    things are, how much memory they have) are kept rendered, group by group, while their samples stay the same.
    """

    def __init__(self) -> None:
        self._steady: dict[tuple[str, bool], tuple[list[list[Sample]], bytes]] = {}

    def render(self, snapshot: Snapshot, *, open_metrics: bool) -> tuple[bytes, str]:
        """The exposition of a snapshot, and its content type."""
        families = _Families(snapshot)
        steady = [self._render_steady(name, of, open_metrics) for name, of in families.steady().items()]
        moving = _render(list(families.moving()), open_metrics)
        content_type = openmetrics.CONTENT_TYPE_LATEST if open_metrics else CONTENT_TYPE_LATEST
        return b"".join([*steady, moving]), content_type

    def _render_steady(self, name: str, families: Iterable[Metric], open_metrics: bool) -> bytes:
        families = list(families)
        samples = [family.samples for family in families]
        known, body = self._steady.get((name, open_metrics), (None, b""))
        if known != samples:
            body = _render(families, open_metrics).removesuffix(_END)
            self._steady[name, open_metrics] = (samples, body)
        return body


def _render(families: list[Metric], open_metrics: bool) -> bytes:
    families = [family for family in families if family.samples]
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(families))
    return (_render_openmetrics if open_metrics else render_text)(registry, _ESCAPING)


class _Collector(Collector):
    """Hands families to prometheus-client."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        """The families."""
        return self._families


class _Families:
    """The families of one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._node = {"node": snapshot.node}
        self._gpus = {
            device.info.uuid: {**self._node, "gpu": str(device.info.index), "uuid": device.info.uuid}
            for device in snapshot.devices
        }
        self._on_gpu = {
            (uuid, owner): {**self._gpus[uuid], **owner._asdict()}
            for uuid, owner in snapshot.totals
            if uuid in self._gpus
        }
        self._owners = {owner: {**self._node, **owner._asdict()} for _, owner in self._on_gpu}

    def steady(self) -> dict[str, Iterator[Metric]]:
        """Those that change seldom, in groups that change together."""
        return {
            "things": chain(self._what_things_are(), self._gauges(_STEADY_GAUGES)),
            "memory": self._memory_of_runs(),
            "trees": self._trees(),
        }

    def moving(self) -> Iterator[Metric]:
        """Those that change all the time."""
        return chain(
            self._agent(),
            self._gauges(_MOVING_GAUGES),
            self._gpu_totals(),
            self._run_totals(),
            self._people(),
            self._host(),
        )

    def _what_things_are(self) -> Iterator[Metric]:
        snapshot = self._snapshot
        build = {**self._node, "version": snapshot.version, "driver": snapshot.driver, "nvml": snapshot.nvml}
        yield _info("gpuwatch_build", "Versions of gpuwatch, the driver and NVML.", [(build, 1)])
        yield _info(
            "gpuwatch_gpu",
            "Model and place of a GPU.",
            [({**self._gpus[d.info.uuid], "model": d.info.model, "pci": d.info.pci}, 1) for d in snapshot.devices],
        )
        known = [(at, run) for owner, at in self._owners.items() if (run := snapshot.runs.get(owner))]
        yield _info("gpuwatch_run", "What is known of a run.", [(_about(at, run), 1) for at, run in known])
        yield _gauge(
            "gpuwatch_run_start_time_seconds", "When a run began.", [(at, run.started_unix) for at, run in known]
        )

    def _memory_of_runs(self) -> Iterator[Metric]:
        holding = [(key, at) for key, at in self._on_gpu.items() if key in self._snapshot.holding]
        yield _gauge(
            "gpuwatch_run_gpu_memory_bytes",
            "Device memory of a run.",
            [(at, self._snapshot.holding[key]) for key, at in holding],
        )
        yield _gauge(
            "gpuwatch_run_gpu_memory_peak_bytes",
            "The most device memory a run had at any reading.",
            [(at, self._snapshot.totals[key].memory_peak_bytes or None) for key, at in holding],
        )

    def _agent(self) -> Iterator[Metric]:
        snapshot = self._snapshot
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

    def _gauges(self, gauges: Gauges) -> Iterator[Metric]:
        read = [(self._gpus[d.info.uuid], d.reading) for d in self._snapshot.devices if d.reading is not None]
        for suffix, text, value in gauges:
            yield _gauge(f"gpuwatch_gpu_{suffix}", text, [(at, value(reading)) for at, reading in read])

    def _gpu_totals(self) -> Iterator[Metric]:
        yield _gauge(
            "gpuwatch_gpu_up", "Whether the GPU answers.", self._by_gpu(lambda d: float(d.reading is not None))
        )
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

    def _run_totals(self) -> Iterator[Metric]:
        energy = {device.info.uuid: device.energy_known for device in self._snapshot.devices}
        rows = [(at, self._snapshot.totals[key].use, energy[key[0]]) for key, at in self._on_gpu.items()]
        yield _counter(
            "gpuwatch_run_gpu_held_seconds",
            "Time a run held the GPU, divided among those who held it together.",
            [(at, use.held) for at, use, _ in rows],
        )
        yield _counter(
            "gpuwatch_run_gpu_busy_seconds", "Time a run kept the GPU busy.", [(at, use.busy) for at, use, _ in rows]
        )
        yield _counter(
            "gpuwatch_run_gpu_energy_joules",
            "Energy charged to a run.",
            [(at, use.joules if metered else None) for at, use, metered in rows],
        )

    def _trees(self) -> Iterator[Metric]:
        snapshot = self._snapshot
        here = {owner for _, owner in snapshot.holding}
        yield _counter(
            "gpuwatch_run_cpu_seconds",
            "CPU time of a run's process tree.",
            [(at, snapshot.cpu_seconds.get(owner)) for owner, at in self._owners.items()],
        )
        yield _gauge(
            "gpuwatch_run_memory_bytes",
            "Resident memory of a run's tree.",
            [(at, snapshot.memory_bytes.get(owner) if owner in here else None) for owner, at in self._owners.items()],
        )

    def _people(self) -> Iterator[Metric]:
        rows = [
            ({**self._node, "user": user, "project": project}, use)
            for (user, project), use in self._snapshot.people.items()
        ]
        yield _counter(
            "gpuwatch_user_gpu_held_seconds", "GPU time a user held, by project.", [(at, u.held) for at, u in rows]
        )
        yield _counter("gpuwatch_user_gpu_busy_seconds", "GPU time a user kept busy.", [(at, u.busy) for at, u in rows])
        metered = any(device.energy_known for device in self._snapshot.devices)
        yield _counter(
            "gpuwatch_user_gpu_energy_joules",
            "Energy charged to a user.",
            [(at, u.joules if metered else None) for at, u in rows],
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
    name += suffix
    metric.samples = [Sample(name, labels, value) for labels, value in rows if value is not None]
    return metric


def _counter(name: str, text: str, rows: Rows) -> Metric:
    return _family(name, text, "counter", "_total", rows)


def _gauge(name: str, text: str, rows: Rows) -> Metric:
    return _family(name, text, "gauge", "", rows)


def _info(name: str, text: str, rows: Rows) -> Metric:
    return _family(name, text, "info", "_info", rows)
