"""One run over its life, device by device: out of its counters, sampled."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

from gpuwatch.model.history import Bin, Filters, RunOnDevice, RunRecord, Window
from gpuwatch.model.identity import Identity, Owner, Run
from gpuwatch.report.prometheus.client import Client, Sample, Track
from gpuwatch.report.prometheus.promql import after, duration, grouped, selector, upon
from gpuwatch.report.prometheus.raw_way import RUNS
from gpuwatch.report.prometheus.runs import INFO, START
from gpuwatch.units import HOUR, MINUTE

_MOST_BINS: Final = 1000
_MOST_POINTS: Final = 10_000
"""A server refuses to give more than 11,000 of a series."""
_DEVICE: Final = ("node", "gpu", "uuid")
_LATE_SECONDS: Final = MINUTE
"""What a scrape and the agent's look may lie apart."""

Device = tuple[str, ...]
Points = Sequence[tuple[float, float]]


class Added(NamedTuple):
    """What a counter added up to a look at it."""

    start_unix: float
    end_unix: float
    value: float
    since_unix: float | None
    """The look before; None for the first."""


class _Life(NamedTuple):
    """When a run was in the record, and how finely it is looked at."""

    window: Window
    step: int


def read_run(client: Client, owner: Owner, *, since: float, until: float) -> RunRecord | None:
    """All of a run, in at most 1,000 bins a device; None where the record does not have it."""
    where = {key: (value,) for key, value in owner._asdict().items()}
    life = _find_life(client, where, Window(since, until))
    if life is None:
        return None
    starts = _read(client, life, "when it began", by=("node",), of="min_over_time({}[{}])", metric=START, where=where)
    began = {key[0]: value for key, value in starts.items()}
    return RunRecord(
        owner,
        _about(client, owner, where, life, min(began.values(), default=0.0)),
        _devices(client, where, life, began),
        _cpu(client, where, life),
    )


def added(points: Points, step: float, began_unix: float | None) -> Iterator[Added]:
    """What a counter of seconds added from look to look. Where it fell, it has begun anew.

    After a while without looks, it is taken to have grown in the last of the steps that it needs for that. Its first
    value counts from the run's start, if the run can have had that much since; else nobody knows when it was.
    """
    previous = None
    for unix, value in points:
        if previous is None:
            fits = began_unix is not None and value <= unix - began_unix + _LATE_SECONDS
            since, new = began_unix, value if fits else None
        else:
            since, new = previous[0], value - previous[1] if value >= previous[1] else value
        if new is not None and since is not None:
            start = max(min(since, unix - 1), unix - step * max(1, math.ceil(new / step)))
            yield Added(start, unix, new, previous and previous[0])
        previous = unix, value


def bins(tracks: Mapping[str, Points], step: float, began_unix: float | None) -> tuple[Bin, ...]:
    """The bins of a device out of the running totals by measure. What was not held has none."""
    looks = {measure: dict(points) for measure, points in tracks.items()}
    made = []
    for start, end, held, since in added(tracks.get("held", ()), step, began_unix):
        busy, joules, sm_active = (
            _grown(looks.get(measure, {}), since, end) for measure in ("busy", "joules", "sm_active")
        )
        one = Bin(start, end - start, held, busy, joules, sm_active)
        if any(one[2:]):
            made.append(one)
    return tuple(made)


def _grown(looks: Mapping[float, float], since: float | None, end: float) -> float:
    """What a total added in the same time as another one, which may have begun later or anew."""
    last, first = looks.get(end, 0.0), 0.0 if since is None else looks.get(since, 0.0)
    return last - first if last >= first else last


def _find_life(client: Client, where: Filters, record: Window) -> _Life | None:
    coarse = max(HOUR, math.ceil(record.seconds / _MOST_POINTS))
    held = selector(RUNS["held"], where)
    tracks = client.query_range(
        f"count(last_over_time({held}[{after(coarse)}]))",
        start=record.end - record.seconds // coarse * coarse,
        end=record.end,
        step=coarse,
        purpose="when the run was there",
    )
    times = [unix for track in tracks for unix, _ in track.points]
    if not times:
        return None
    window = Window(min(times) - coarse, max(times))
    return _Life(window, MINUTE * math.ceil(window.seconds / (_MOST_BINS - 1) / MINUTE))


def _read(
    client: Client, life: _Life, purpose: str, *, by: tuple[str, ...], of: str, metric: str, where: Filters
) -> dict[Device, float]:
    """One value of the whole life, by labels."""
    inner = of.format(selector(metric, where), upon(life.window.seconds))
    operator = "min" if of.startswith("min") else "max"
    found = client.query(grouped(operator, by, inner), at=life.window.end, purpose=purpose)
    return {_key(sample, by): sample.value for sample in found}


def _totals(client: Client, where: Filters, life: _Life, metric: str, by: tuple[str, ...]) -> list[Track]:
    return client.query_range(
        grouped("max", by, f"last_over_time({selector(metric, where)}[{after(life.step)}])"),
        start=life.window.start,
        end=life.window.end,
        step=life.step,
        purpose="its running totals",
    )


def _devices(client: Client, where: Filters, life: _Life, began: Mapping[str, float]) -> tuple[RunOnDevice, ...]:
    tracks: dict[Device, dict[str, Points]] = defaultdict(dict)
    for measure, metric in RUNS.items():
        for track in _totals(client, where, life, metric, _DEVICE):
            tracks[_key(track, _DEVICE)][measure] = track.points
    at = {"node": sorted({key[0] for key in tracks}), "uuid": sorted({key[2] for key in tracks})}
    last, most = "last_over_time({}[{}])", "max_over_time({}[{}])"
    read = partial(_read, client, life)
    peaks = read("its peaks", by=_DEVICE, of=most, metric="gpuwatch_run_gpu_memory_peak_bytes", where=where)
    sizes = read("memory of GPUs", by=_DEVICE, of=last, metric="gpuwatch_gpu_memory_total_bytes", where=at)
    parts = read("parts of GPUs", by=_DEVICE, of=last, metric="gpuwatch_gpu_capacity_ratio", where=at)
    infos = read("models of GPUs", by=(*_DEVICE, "model"), of=last, metric="gpuwatch_gpu_info", where=at)
    models = {key[:-1]: key[-1] for key in sorted(infos)}
    return tuple(
        RunOnDevice(
            node=key[0],
            gpu=key[1],
            uuid=key[2],
            model=models.get(key, ""),
            capacity=parts.get(key, 1.0),
            memory_bytes=_whole(sizes.get(key)),
            memory_peak_bytes=_whole(peaks.get(key)),
            sm_known="sm_active" in tracks[key],
            bins=bins(tracks[key], life.step, began.get(key[0])),
        )
        for key in sorted(tracks)
    )


def _cpu(client: Client, where: Filters, life: _Life) -> tuple[tuple[float, float, float], ...]:
    """Of all nodes together, where they were looked at in the same steps. How old the first value is, nobody knows."""
    total: dict[tuple[float, float], float] = defaultdict(float)
    for track in _totals(client, where, life, "gpuwatch_run_cpu_seconds_total", ("node",)):
        for start, end, seconds, _ in added(track.points, life.step, None):
            total[start, end - start] += seconds
    return tuple((start, seconds, value) for (start, seconds), value in sorted(total.items()))


def _about(client: Client, owner: Owner, where: Filters, life: _Life, began_unix: float) -> Run | None:
    """As its newest info says."""
    labels = ("source", "name", "kind", "batch_job", "url", "group")
    info = f"timestamp({selector(INFO, where)})[{upon(life.window.seconds)}:{duration(life.step)}]"
    found = client.query(
        grouped("max", labels, f"max_over_time({info})"), at=life.window.end, purpose="what is known of it"
    )
    if not found:
        return None
    newest = max(found, key=lambda sample: sample.value).labels
    return Run(owner, Identity(0, 0), began_unix, **{label: newest.get(label, "") for label in labels})


def _key(series: Sample | Track, by: tuple[str, ...]) -> Device:
    return tuple(series.labels.get(label, "") for label in by)


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)
