"""Who holds which GPU of a fleet now, as a Prometheus server has it. What is not known to be so now is not shown so.

The agents' verdicts are shown, and nothing is judged again.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from gpuwatch.model.identity import Owner
from gpuwatch.model.live import FREE, HELD, UNAVAILABLE, UNKNOWN, Device, Holder, Node
from gpuwatch.report.prometheus.client import Client, Labels, Sample
from gpuwatch.report.prometheus.promql import duration, grouped, upon
from gpuwatch.report.prometheus.runs import INFO, SIMULATED, owner_of
from gpuwatch.units import DAY, MINUTE

LIVE_SECONDS: Final = 2.5 * MINUTE
"""What was read longer ago is not now: a server may scrape every two minutes."""
_LATELY: Final = DAY
"""A node that was there in this time, and is not, is told to be missing."""
_WINDOW: Final = 5 * MINUTE
_TAKEN: Final = 'gpuwatch_last_sample_timestamp_seconds{sensor="gpu"}'
_BUILD: Final = "gpuwatch_build_info"
_GPU: Final = "gpuwatch_gpu_"
_RUN: Final = "gpuwatch_run_gpu_"
_GAUGES: Final = (
    "up|utilization_ratio|memory_used_bytes|memory_total_bytes|power_watts|temperature_celsius|capacity_ratio"
)
_OF_RUNS: Final = "held_seconds_total|busy_seconds_total|memory_bytes|idle_seconds"
_NOTES: Final = {
    FREE: "free", UNAVAILABLE: "unavailable", UNKNOWN: "not known", HELD: "(held by who is not known here)",
}  # fmt: skip

_Place = tuple[str, str]
"""(node, uuid)"""
_Values = dict[str, float]


class _Read(NamedTuple):
    """What the server was asked."""

    infos: Mapping[_Place, Labels]
    gauges: Mapping[_Place, _Values]
    states: Mapping[_Place, _Values]
    runs: Mapping[_Place, Mapping[Owner, _Values]]
    verdicts: Mapping[tuple[_Place, Owner], str]
    names: Mapping[tuple[str, Owner], str]


def read_nodes(client: Client, *, now_unix: float) -> tuple[Node, ...]:
    """The nodes that are there now, or were in the last day, by name. Raises PrometheusError."""
    agents = _ask(client, grouped("max", ("node", "driver"), f"timestamp({_BUILD})"), now_unix, "agents")
    drivers = {sample.labels.get("node", ""): sample.labels.get("driver", "") for sample in agents}
    seen = _seen(client, now_unix)
    read = _read(client, now_unix)
    places: dict[str, list[_Place]] = defaultdict(list)
    for place in read.infos:
        places[place[0]].append(place)
    nodes = []
    for name in sorted({*seen, *drivers}):
        at = seen.get(name)
        if name not in drivers or at is None or now_unix - at > LIVE_SECONDS:
            nodes.append(_silent(name, at, [read.infos[place] for place in places[name]], now_unix))
        else:
            devices = tuple(_device(place, read) for place in places[name])
            nodes.append(Node(name, at, devices, simulated=drivers[name].startswith(SIMULATED)))
    return tuple(nodes)


def _seen(client: Client, now_unix: float) -> Mapping[str, float]:
    """When the GPUs of each node were last read, of those that were there in the last day."""
    past = f"max_over_time({_TAKEN}[{upon(_LATELY)}:{duration(_WINDOW)}])"
    close = f"last_over_time({_TAKEN}[{upon(2 * _WINDOW)}])"
    return {
        **_by_node(client, past, now_unix, "nodes of the last day"),
        **_by_node(client, close, now_unix, "nodes of the last minutes"),
    }


def _read(client: Client, now_unix: float) -> _Read:
    def ask(labels: Iterable[str], expression: str, purpose: str) -> list[Sample]:
        return _ask(client, grouped("max", labels, expression), now_unix, purpose)

    device, run = ("node", "uuid"), ("node", "uuid", "user", "project", "run")
    states: dict[_Place, _Values] = defaultdict(dict)
    moving = f"irate(gpuwatch_gpu_state_seconds_total[{upon(_WINDOW)}])"
    for sample in ask((*device, "state"), moving, "what becomes of the GPUs' time"):
        states[_place(sample)][sample.labels.get("state", "")] = sample.value
    gauges: dict[_Place, _Values] = defaultdict(dict)
    for sample in ask((*device, "__name__"), f'{{__name__=~"{_GPU}({_GAUGES})"}}', "GPUs"):
        gauges[_place(sample)][sample.labels["__name__"].removeprefix(_GPU)] = sample.value
    runs: dict[_Place, dict[Owner, _Values]] = defaultdict(lambda: defaultdict(dict))
    for sample in ask((*run, "__name__"), f'{{__name__=~"{_RUN}({_OF_RUNS})"}}', "runs"):
        runs[_place(sample)][owner_of(sample.labels)][sample.labels["__name__"].removeprefix(_RUN)] = sample.value
    verdicts = ask((*run, "verdict"), "timestamp(gpuwatch_run_verdict)", "verdicts")
    newest = {(_place(s), owner_of(s.labels)): s.labels.get("verdict", "") for s in sorted(verdicts, key=_value)}
    infos = ask((*device, "gpu", "model"), "gpuwatch_gpu_info", "models")
    names = ask(("node", "user", "project", "run", "name"), f'{INFO}{{name!=""}}', "names of runs")
    return _Read(
        infos={_place(sample): sample.labels for sample in infos},
        gauges=gauges,
        states=states,
        runs=runs,
        verdicts=newest,
        names={(s.labels.get("node", ""), owner_of(s.labels)): s.labels.get("name", "") for s in names},
    )


def _ask(client: Client, expression: str, now_unix: float, purpose: str) -> list[Sample]:
    """Without what is infinite: one target that says so must not spoil the whole fleet."""
    return [one for one in client.query(expression, at=now_unix, purpose=purpose) if math.isfinite(one.value)]


def _by_node(client: Client, expression: str, now_unix: float, purpose: str) -> dict[str, float]:
    found = _ask(client, grouped("max", ("node",), expression), now_unix, purpose)
    return {sample.labels.get("node", ""): sample.value for sample in found}


def _place(sample: Sample) -> _Place:
    return sample.labels.get("node", ""), sample.labels.get("uuid", "")


def _value(sample: Sample) -> float:
    return sample.value


def _silent(name: str, last_unix: float | None, infos: Iterable[Labels], now_unix: float) -> Node:
    """A node of which nothing is known now."""
    problem = "no reading" if last_unix is None else f"no reading for {_span(max(0.0, now_unix - last_unix))}"
    devices = tuple(
        Device(info.get("gpu", ""), info.get("uuid", ""), info.get("model", ""), UNKNOWN, problem) for info in infos
    )
    return Node(name, last_unix, devices, problem=problem)


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 2 * MINUTE else f"{seconds / MINUTE:.0f} min"


def _device(place: _Place, read: _Read) -> Device:
    info, gauges = read.infos[place], read.gauges.get(place, {})
    is_up = gauges.get("up") == 1
    holders = tuple(_holders(place, read)) if is_up else ()
    moving = _state(read.states.get(place, {}))
    # One that is repaired does not answer, and is out of service all the same.
    state = HELD if holders else moving if is_up or moving == UNAVAILABLE else UNKNOWN
    note = "" if holders else "does not answer" if state == UNKNOWN and not is_up else _NOTES[state]
    return Device(
        gpu=info.get("gpu", ""),
        uuid=info.get("uuid", ""),
        model=info.get("model", ""),
        state=state,
        note=note,
        capacity=gauges.get("capacity_ratio"),
        utilization_ratio=gauges.get("utilization_ratio"),
        memory_used_bytes=gauges.get("memory_used_bytes"),
        memory_total_bytes=gauges.get("memory_total_bytes"),
        power_watts=gauges.get("power_watts"),
        temperature_celsius=gauges.get("temperature_celsius"),
        holders=holders,
    )


def _state(moving: Mapping[str, float]) -> str:
    """The state that time goes to, between the last two scrapes."""
    most = max(moving, key=lambda state: moving[state], default="")
    if not moving.get(most):
        return UNKNOWN
    return HELD if most in ("active", "idle") else most


def _holders(place: _Place, read: _Read) -> Iterable[Holder]:
    """Those that hold it: only they have a verdict or memory there. The totals of others linger."""
    for owner, values in sorted(read.runs.get(place, {}).items()):
        verdict = read.verdicts.get((place, owner), "")
        if verdict or "memory_bytes" in values:
            yield Holder(
                owner=owner,
                name=read.names.get((place[0], owner), ""),
                held_seconds=values.get("held_seconds_total"),
                busy_seconds=values.get("busy_seconds_total"),
                memory_bytes=values.get("memory_bytes"),
                verdict=verdict,
                idle_seconds=values.get("idle_seconds"),
            )
