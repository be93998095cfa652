"""The runs on this node as alerts see them, out of a snapshot, and of which of them somebody is to be told. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from gpuwatch.alert.push import Push, due
from gpuwatch.alert.subject import subjects, wasted_by
from gpuwatch.model import GpuInfo, OnDevice, Owner, Snapshot, Use
from gpuwatch.model.judgement import IDLE, STUCK, Held, Judgement, RunNow


def runs_now(snapshot: Snapshot) -> tuple[RunNow, ...]:
    """The runs that are on a device, by owner, with what is thought of them."""
    infos = {device.info.uuid: device.info for device in snapshot.devices}
    held: dict[Owner, list[Held]] = {}
    for (uuid, owner), judgement in sorted(snapshot.judgements.items(), key=_owner_first):
        if uuid in infos and owner in snapshot.runs:
            info, memory = infos[uuid], snapshot.holding.get((uuid, owner))
            held.setdefault(owner, []).append(Held(info.name, uuid, info.model, info.capacity, memory, judgement))
    totals: dict[Owner, Use] = {}
    for (uuid, owner), total in snapshot.totals.items():
        if owner in held and uuid in infos:
            totals[owner] = totals.get(owner, Use()).plus(_of_whole_gpus(total.use, infos[uuid]))
    return tuple(_run_now(snapshot, owner, devices, totals.get(owner, Use())) for owner, devices in held.items())


def due_now(runs: Iterable[RunNow], push: Push) -> dict[Owner, str]:
    """The runs whose owner is to be told now by what is known on this node, with the verdict that it is for."""
    found = {}
    for subject in subjects(runs):
        if due(subject, push).due:
            for run in subject.runs:
                verdicts = {device.judgement.verdict for device in wasted_by(run)}
                if verdicts:
                    found[run.owner] = STUCK if STUCK in verdicts else IDLE
    return found


def _run_now(snapshot: Snapshot, owner: Owner, devices: list[Held], total: Use) -> RunNow:
    run, judged = snapshot.runs[owner], snapshot.judged
    return RunNow(
        node=snapshot.node,
        owner=owner,
        kind=run.kind,
        name=run.name,
        url=run.url,
        batch_job=run.batch_job,
        group=run.group,
        started_unix=run.started_unix,
        held_gpu_seconds=total.held,
        busy_gpu_seconds=total.busy,
        cpu_cores=judged.cpu_cores.get(owner),
        devices=tuple(devices),
        quiet=owner in judged.quiet,
        push_after_seconds=judged.push_after.get(owner),
    )


def _owner_first(item: tuple[OnDevice, Judgement]) -> tuple[Owner, str]:
    (uuid, owner), _ = item
    return owner, uuid


def _of_whole_gpus(use: Use, info: GpuInfo) -> Use:
    return Use(use.held * info.capacity, use.busy * info.capacity, use.joules)
