"""A day of a small fleet as a Prometheus server has it, with all that befalls one, and the truth. Knows no gpuwatch.

n1 has two H100 and moves to another address at 09:00; it is not scraped from 13:00 to 13:40. n2 has two A100, is
scraped by two servers, and falls silent at 22:00. n3 has two MIG instances, loses its state at 15:00, and is not
scraped from 17:00 to 18:30. n4 never answers.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from servers import program

MIDNIGHT: Final = 1_789_948_800
"""The day begins: seconds of UTC."""
HOUR: Final = 3600
DAY: Final = 24 * HOUR
FIRST: Final = MIDNIGHT - 2 * HOUR
"""Since when there is a record."""
SCRAPE_SECONDS: Final = 60
LINGER_SECONDS: Final = 600
PAST: Final = 100 * HOUR
"""What everything held already when the record began."""
HOSTILE: Final = 'adhoc:a"b\\c{d}|.*$(x)\n<script>\u2603-k1@n3'
EVE: Final = 'eve"\\'
SILENT_AT: Final = 22 * HOUR
RESET_AT: Final = 15 * HOUR
MOVED_AT: Final = 9 * HOUR
GAPS: Final[Mapping[str, tuple[float, float]]] = {"n1": (13 * HOUR, 13 * HOUR + 2400), "n3": (17 * HOUR, 18.5 * HOUR)}


class Gpu(NamedTuple):
    """A device of the fleet."""

    node: str
    gpu: str
    model: str
    capacity: float = 1.0
    sm_known: bool = False

    @property
    def uuid(self) -> str:
        """Its own."""
        return f"GPU-{self.node}-{self.gpu}"


class Job(NamedTuple):
    """Somebody holds a GPU, from hour to hour of the day, and keeps it busy in part."""

    node: str
    gpu: str
    start: float
    end: float
    user: str
    project: str
    run: str
    busy: float
    kind: str = ""

    @property
    def watts(self) -> float:
        """Drawn on their behalf."""
        return 200 + 400 * self.busy


GPUS: Final = (
    Gpu("n1", "0", "H100", sm_known=True),
    Gpu("n1", "1", "H100", sm_known=True),
    Gpu("n2", "0", "A100"),
    Gpu("n2", "1", "A100"),
    Gpu("n3", "0:1", "H100 MIG 3g", 3 / 7),
    Gpu("n3", "0:2", "H100 MIG 4g", 4 / 7),
)
SHORT_RUNS: Final = 30
JOBS: Final = (
    Job("n1", "0", 1, 5, "ann", "vision", "wandb:good", 0.9),
    Job("n1", "1", 1, 5, "ann", "vision", "wandb:good", 0.9),
    Job("n1", "0", 6, 20, "ann", "vision", "wandb:bad", 0.05),
    Job("n1", "0", 21, 22, "ann", "vision", "wandb:good", 0.9),  # comes back, with its old totals
    Job("n2", "0", -1, 3, "ben", "nlp", "slurm:4711", 0.5),
    *(Job("n2", "0", 5 + i / 10, 5 + i / 10 + 1 / 30, "ben", "", f"wandb:s{i}", 1.0) for i in range(SHORT_RUNS)),
    Job("n2", "0", 9, 9.5, "ben", "", "short", 0.1),
    Job("n2", "1", -2, 22, "svc", "serving", "docker:llm@n2", 0.2, "service"),
    Job("n3", "0:1", 10, 12, EVE, "a{b}|c", HOSTILE, 0.5),
    Job("n3", "0:2", 14, 16, EVE, "a{b}|c", "adhoc:long@n3", 0.5),
)
DRAINED: Final = ("n2", "0", 12, 13)
URLS: Final = {"wandb:bad": 'https://wandb.example/bad?"'}
BATCH_JOBS: Final = {"slurm:4711": "4711"}


def held_seconds(job: Job, start: float, end: float) -> float:
    """Of that stretch, in seconds of the day, how long the job held its GPU."""
    return max(0.0, min(job.end * HOUR, end) - max(job.start * HOUR, start))


def truth(key: Callable[[Job], str], start: float = 0, end: float = DAY) -> dict[str, tuple[float, float, float]]:
    """GPU seconds held and busy, and joules, by any word on a job."""
    capacity = {(gpu.node, gpu.gpu): gpu.capacity for gpu in GPUS}
    found: dict[str, tuple[float, float, float]] = {}
    for job in JOBS:
        seconds = held_seconds(job, start, end)
        whole = seconds * capacity[job.node, job.gpu]
        held, busy, joules = found.get(key(job), (0.0, 0.0, 0.0))
        if seconds:
            found[key(job)] = held + whole, busy + whole * job.busy, joules + seconds * job.watts
    return found


def write_blocks(folder: Path) -> None:
    """The day as blocks of a server, in `folder`."""
    text = folder.with_suffix(".om")
    with text.open("w", encoding="utf-8") as file:
        for name, rows in sorted(_by_family().items()):
            file.write(f"# TYPE {name} unknown\n")
            file.writelines(rows)
        file.write("# EOF\n")
    command = [program("promtool"), "tsdb", "create-blocks-from", "openmetrics", str(text), str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def _by_family() -> dict[str, list[str]]:
    rows: dict[str, list[str]] = {}
    for node, delay in (("n1", 3), ("n2", 11), ("n3", 23)):
        for at in range(FIRST + delay, MIDNIGHT + DAY, SCRAPE_SECONDS):
            for instance in _scrapers(node, at - MIDNIGHT):
                for name, labels, value in _scrape(node, at - MIDNIGHT):
                    shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in {**labels, **instance}.items())
                    rows.setdefault(name, []).append(f"{name}{{{shown}}} {value!r} {at}\n")
    rows["up"] = [f'up{{job="gpuwatch",instance="n4"}} 0 {at}\n' for at in range(FIRST, MIDNIGHT + DAY, SCRAPE_SECONDS)]
    return rows


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _scrapers(node: str, at: float) -> Iterator[dict[str, str]]:
    """What a server adds to the labels: none where nobody scrapes the node."""
    gap = GAPS.get(node, (0, 0))
    if gap[0] <= at < gap[1] or (node == "n2" and at >= SILENT_AT):
        return
    if node == "n2":
        yield from ({"job": "gpuwatch", "instance": node, "replica": replica} for replica in "ab")
        return
    if node != "n1" or at < MOVED_AT + 2 * SCRAPE_SECONDS:
        yield {"job": "gpuwatch", "instance": node}
    if node == "n1" and at >= MOVED_AT:
        yield {"job": "gpuwatch", "instance": "10.0.0.9:9469"}


_Series = Iterator[tuple[str, dict[str, str], float]]


def _scrape(node: str, at: float) -> _Series:
    """What the node's agent shows."""
    origin = RESET_AT if node == "n3" and at >= RESET_AT else FIRST - MIDNIGHT
    past = 0.0 if node == "n3" and at >= RESET_AT else PAST
    yield "gpuwatch_build_info", {"node": node, "version": "1", "driver": "570", "nvml": "12"}, 1.0
    for gpu in GPUS:
        if gpu.node == node:
            yield from _device(gpu, origin, at, past)
    yield from _people(node, origin, at, past)


def _device(gpu: Gpu, origin: float, at: float, past: float) -> _Series:
    labels = {"node": gpu.node, "gpu": gpu.gpu, "uuid": gpu.uuid}
    yield "gpuwatch_gpu_info", {**labels, "model": gpu.model, "pci": "0"}, 1.0
    yield "gpuwatch_gpu_capacity_ratio", labels, gpu.capacity
    yield "gpuwatch_gpu_memory_total_bytes", labels, 80e9
    jobs = [job for job in JOBS if (job.node, job.gpu) == (gpu.node, gpu.gpu)]
    held, busy = 0.0, 0.0
    for job in jobs:
        held, busy = held + held_seconds(job, origin, at), busy + job.busy * held_seconds(job, origin, at)
    drained = 0.0
    if (gpu.node, gpu.gpu) == DRAINED[:2]:
        drained = max(0.0, min(DRAINED[3] * HOUR, at) - max(DRAINED[2] * HOUR, origin))
    states = {"active": busy, "idle": held - busy, "free": at - origin - held - drained, "unavailable": drained}
    for state, seconds in {**states, "unknown": 0.0}.items():
        yield "gpuwatch_gpu_state_seconds_total", {**labels, "state": state}, seconds + past
    yield "gpuwatch_gpu_unattributed_busy_seconds_total", labels, past + 0.001 * (at - origin)
    drawn = sum(job.watts * held_seconds(job, origin, at) for job in jobs)
    yield "gpuwatch_gpu_energy_joules_total", labels, past + drawn + 100 * (at - origin)
    yield from _runs(gpu, labels, jobs, origin, at)


def _runs(gpu: Gpu, labels: dict[str, str], jobs: list[Job], origin: float, at: float) -> _Series:
    for run in {job.run for job in jobs}:
        own = [job for job in jobs if job.run == run and job.start * HOUR <= at]
        now = [job for job in own if at < job.end * HOUR + LINGER_SECONDS]
        if not now:
            continue
        owner = {"node": gpu.node, "user": own[0].user, "project": own[0].project, "run": run}
        held = sum(held_seconds(job, origin, at) for job in own)
        busy = sum(held_seconds(job, origin, at) * job.busy for job in own)
        yield "gpuwatch_run_gpu_held_seconds_total", {**labels, **owner}, held
        yield "gpuwatch_run_gpu_busy_seconds_total", {**labels, **owner}, busy
        joules = sum(held_seconds(job, origin, at) * job.watts for job in own)
        yield "gpuwatch_run_gpu_energy_joules_total", {**labels, **owner}, joules
        if gpu.sm_known:
            yield "gpuwatch_run_gpu_sm_active_seconds_total", {**labels, **owner}, busy / 2
        if any(job.end * HOUR > at for job in now):
            yield "gpuwatch_run_gpu_memory_peak_bytes", {**labels, **owner}, 11e9
        if gpu.gpu in ("0", "0:1", "0:2") or run == "docker:llm@n2":
            yield from _about(owner, run, now[-1], held)


def _about(owner: dict[str, str], run: str, job: Job, held: float) -> _Series:
    yield "gpuwatch_run_cpu_seconds_total", owner, 2 * held
    if run == "short":
        return
    yield "gpuwatch_run_start_time_seconds", owner, MIDNIGHT + job.start * HOUR
    about = {"source": run.partition(":")[0], "kind": job.kind, "name": f"name of {run}"}
    more = {"batch_job": BATCH_JOBS.get(run, ""), "url": URLS.get(run, "")}
    yield "gpuwatch_run_info", {**owner, **about, **more}, 1.0


def _people(node: str, origin: float, at: float, past: float) -> _Series:
    for user, project in {(job.user, job.project) for job in JOBS if job.node == node}:
        own = [job for job in JOBS if (job.node, job.user, job.project) == (node, user, project)]
        first = min(job.start for job in own) * HOUR
        if at < first:
            continue
        had = past if first < 0 else 0.0
        sums = [had, had, had]
        for job in own:
            seconds = held_seconds(job, origin, at)
            part = seconds * next(gpu.capacity for gpu in GPUS if (gpu.node, gpu.gpu) == (job.node, job.gpu))
            sums = [sums[0] + part, sums[1] + part * job.busy, sums[2] + seconds * job.watts]
        to = {"node": node, "user": user, "project": project}
        for what, value in zip(("held_seconds", "busy_seconds", "energy_joules"), sums, strict=True):
            new = at - first < SCRAPE_SECONDS and had == 0
            yield f"gpuwatch_user_gpu_{what}_total", to, 0.0 if new else value
