"""The families of runs and people. From a snapshot to rows, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

from gpuwatch.export.family import Family, Labels, Places, counter, gauge, info
from gpuwatch.model import Run, Snapshot


def what_runs_are(snapshot: Snapshot, at: Places) -> Iterator[Family]:
    """Names, sources and starts."""
    known = [(to, run) for owner, to in at.owners.items() if (run := snapshot.runs.get(owner))]
    yield info("gpuwatch_run", "What is known of a run.", [_about(to, run) for to, run in known])
    yield gauge("gpuwatch_run_start_time_seconds", "When a run began.", [(to, run.started_unix) for to, run in known])


def memory_of_runs(snapshot: Snapshot, at: Places) -> Iterator[Family]:
    """Device memory of the runs that hold a GPU."""
    holding = [(key, to) for key, to in at.on_gpu.items() if key in snapshot.holding]
    yield gauge(
        "gpuwatch_run_gpu_memory_bytes",
        "Device memory of a run.",
        [(to, snapshot.holding[key]) for key, to in holding],
    )
    yield gauge(
        "gpuwatch_run_gpu_memory_peak_bytes",
        "The most device memory a run had at any reading.",
        [(to, snapshot.totals[key].memory_peak_bytes or None) for key, to in holding],
    )


def trees(snapshot: Snapshot, at: Places) -> Iterator[Family]:
    """CPU and memory of the process trees of runs."""
    here = {owner for _, owner in snapshot.holding}
    yield counter(
        "gpuwatch_run_cpu_seconds",
        "CPU time of a run's process tree.",
        [(to, snapshot.cpu_seconds.get(owner)) for owner, to in at.owners.items()],
    )
    yield gauge(
        "gpuwatch_run_memory_bytes",
        "Resident memory of a run's tree.",
        [(to, snapshot.memory_bytes.get(owner) if owner in here else None) for owner, to in at.owners.items()],
    )


def run_totals(snapshot: Snapshot, at: Places) -> Iterator[Family]:
    """What runs did on each GPU in all."""
    devices = {device.info.uuid: device for device in snapshot.devices}
    rows = [(to, snapshot.totals[key], devices[key[0]]) for key, to in at.on_gpu.items()]
    yield counter(
        "gpuwatch_run_gpu_held_seconds",
        "Time a run held the GPU, divided among those who held it together.",
        [(to, total.use.held) for to, total, _ in rows],
    )
    yield counter(
        "gpuwatch_run_gpu_busy_seconds",
        "Time a run kept the GPU busy.",
        [(to, total.use.busy if on.busy_known else None) for to, total, on in rows],
    )
    yield counter(
        "gpuwatch_run_gpu_energy_joules",
        "Energy charged to a run.",
        [(to, total.use.joules if on.energy_known else None) for to, total, on in rows],
    )
    yield counter(
        "gpuwatch_run_gpu_sm_active_seconds",
        "Time of all SMs that a run kept at work, by GPM.",
        [(to, total.sm_active if on.activity_known or total.sm_active else None) for to, total, on in rows],
    )


def verdicts(snapshot: Snapshot, at: Places) -> Iterator[Family]:
    """What is thought of runs, and whether somebody is to be told."""
    judged = [(at.on_gpu[key], judgement) for key, judgement in snapshot.judgements.items() if key in at.on_gpu]
    yield gauge(
        "gpuwatch_run_verdict",
        "What is thought of a run's use of the GPU: the one verdict that holds.",
        [({**to, "verdict": judgement.verdict}, 1.0) for to, judgement in judged],
    )
    yield gauge(
        "gpuwatch_run_gpu_idle_seconds",
        "Seen time since the last minute in which a run used the GPU.",
        [(to, judgement.idle_seconds) for to, judgement in judged],
    )
    yield gauge(
        "gpuwatch_run_notice_due",
        "The owner of the run is to be told.",
        [
            ({**at.owners[owner], "verdict": verdict}, 1.0)
            for owner, verdict in snapshot.due.items()
            if owner in at.owners
        ],
    )
    yield counter(
        "gpuwatch_notices",
        "Notices to owners of runs, by what became of them.",
        [({**at.node, "outcome": outcome}, count) for outcome, count in (snapshot.notices or {}).items()],
    )


def people(snapshot: Snapshot, at: Places) -> Iterator[Family]:
    """The roll-up."""
    rows = [({**at.node, "user": user, "project": project}, use) for (user, project), use in snapshot.people.items()]
    yield counter(
        "gpuwatch_user_gpu_held_seconds", "GPU time a user held, by project.", [(to, u.held) for to, u in rows]
    )
    yield counter("gpuwatch_user_gpu_busy_seconds", "GPU time a user kept busy.", [(to, u.busy) for to, u in rows])
    metered = any(device.energy_known for device in snapshot.devices)
    yield counter(
        "gpuwatch_user_gpu_energy_joules",
        "Energy charged to a user.",
        [(to, u.joules if metered else None) for to, u in rows],
    )


def _about(at: Labels, run: Run) -> Labels:
    return {
        **at,
        "source": run.source,
        "kind": run.kind,
        "name": run.name,
        "batch_job": run.batch_job,
        "url": run.url,
        "group": run.group,
    }
