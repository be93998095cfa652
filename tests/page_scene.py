"""A node on which everything is to be seen at once: for the tests of the live page, and for its pictures."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from examples import snapshot

from gpuwatch.model import (
    DeviceUse,
    DeviceView,
    Drain,
    GpuCondition,
    GpuInfo,
    GpuReading,
    Identity,
    OnDevice,
    Owner,
    Piece,
    Run,
    RunTotal,
    Snapshot,
    States,
    Use,
)
from gpuwatch.model.course import Course
from gpuwatch.model.judgement import IDLE, KEPT_WARM, OK, RESERVED, SNOOZED, STUCK, UNDERUSED, Judged, Judgement
from gpuwatch.units import HOUR, MINUTE

NOW: Final = 1_795_183_440.0
"""Friday, 2026-11-20 14:04 UTC."""
_TOTAL: Final = 80 << 30
ANN, BEN, CAT, DAN = (
    Owner("ann", "vision", "wandb:3k8f3obv"),
    Owner("ben", "nlp", "adhoc:jupyter-lab-tosnhb.1gpt@n7"),
    Owner("cat", "nlp", "slurm:4711"),
    Owner("dan", "rl", "adhoc:rollout.py-tospkb.1gq9@n7"),
)
SERVICE: Final = Owner("cat", "nlp", "docker:llama@n7")
SHORT: Final = Owner("dan", "", "short")
_RUNS: Final = (
    Run(
        ANN,
        Identity(1, 1),
        NOW - 5.3 * HOUR,
        "wandb",
        "vit-l14-lr3e-4",
        "batch",
        "",
        "https://wandb.example/lab/3k8f3obv",
    ),
    Run(BEN, Identity(2, 1), NOW - 4.5 * HOUR, "adhoc", "jupyter-lab", "interactive"),
    Run(CAT, Identity(3, 1), NOW - 9.1 * HOUR, "slurm", "finetune-7b", "batch", "4711"),
    Run(DAN, Identity(4, 1), NOW - 3.7 * HOUR, "adhoc", "rollout.py", "batch"),
    Run(SERVICE, Identity(5, 1), NOW - 78 * HOUR, "docker", "llama", "service"),
)


def judged(verdict: str, seconds: float, reason: str) -> Judgement:
    """For so many seconds, by an idle clock that tells the same."""
    idle = seconds if verdict in (IDLE, RESERVED, SNOOZED) else 0.0
    return Judgement(verdict, NOW - seconds, idle, 0.0 if verdict == OK else seconds, 0.5, 300.0, 1.0, reason)


def device(index: int, use: float, gib: int, watts: float, *, mig: int | None = None) -> DeviceView:
    """A card that answers."""
    info = GpuInfo(f"GPU-{index}{mig or ''}", index, "NVIDIA H100 80GB HBM3", f"0000:{index:02x}:00.0", mig)
    condition = GpuCondition(gib << 30, _TOTAL, 700.0, 61.0)
    reading = GpuReading(info, 5000.0, (Piece(5000.0, use),), {}, {}, 1.0, watts, condition)
    return DeviceView(info, DeviceUse(1.0, 1.0, 0.0, 0.0, States(1.0)), reading, activity_known=True)


_JUDGED: Final[dict[OnDevice, Judgement]] = {
    ("GPU-0", ANN): judged(OK, 0, "94% busy in the last 60 min"),
    ("GPU-1", BEN): judged(IDLE, 3.97 * HOUR, "no minute at 5% or more for 4.0 h"),
    ("GPU-2", CAT): judged(STUCK, 25 * MINUTE, "100% busy at 112 W, as if idle, for 25 min"),
    ("GPU-3", CAT): judged(OK, 0, "88% busy in the last 60 min"),
    ("GPU-6", DAN): judged(UNDERUSED, HOUR, "6.2% busy in the last hour"),
    ("GPU-6", SERVICE): judged(IDLE, 2 * HOUR, "no minute at 5% or more for 2.0 h"),
    ("GPU-7", ANN): judged(
        SNOOZED, 31 * MINUTE, "no minute at 5% or more for 31 min; meant for 89 min more, says ann: labels"
    ),
    ("GPU-8", CAT): judged(RESERVED, 50 * MINUTE, "allocated for 50 min without a process"),
    ("GPU-9", DAN): judged(KEPT_WARM, 2.2 * HOUR, "98% busy, but its SMs under 1% for 2.2 h"),
}


def scene() -> Snapshot:
    """GPUs in use, idle, stuck, lost, free, serviced, shared, snoozed, reserved, kept warm, held by who knows whom."""
    devices = (
        device(0, 0.95, 71, 640),
        device(1, 0.0, 40, 118),
        device(2, 1.0, 58, 112),
        replace(device(3, 0.9, 58, 520), reading=None, problem="GPU is lost"),
        device(4, 0.0, 0, 71),
        replace(device(5, 0.0, 0, 70), drain=Drain(NOW - 1.5 * HOUR, "a new fan", "root")),
        device(6, 0.06, 52, 160),
        device(7, 0.0, 71, 119),
        device(8, 0.0, 0, 70),
        device(9, 0.98, 22, 290),
        replace(device(10, 0.4, 12, 300), strangers=2),
        device(11, 0.3, 9, 250),
    )
    holding = {key: 20 << 30 for key in _JUDGED if key[0] not in ("GPU-3", "GPU-8")}
    return replace(
        snapshot(),
        taken_unix=NOW + 0.25,
        devices=devices,
        holding={**holding, ("GPU-8", CAT): None, ("GPU-11", SHORT): 9 << 30},
        totals={key: RunTotal(Use(9000.0, 5000.0, 1.0)) for key in _JUDGED},
        runs={run.owner: run for run in _RUNS},
        teams={"ann": "seeing", "ben": "reading", "cat": "reading"},
        judged=Judged(_JUDGED),
        strangers_reason="hidepid; give the agent CAP_SYS_PTRACE",
        course=course(len(devices)),
    )


def course(gpus: int) -> Course:
    """An hour and a week with something of everything; nothing is known of the first day."""
    use = {
        f"GPU-{gpu}": tuple(None if gpu == 3 and minute > 48 else _use(gpu, minute) for minute in range(60))
        for gpu in range(gpus)
    }
    hours = tuple(
        States() if hour < 24 else _hour(gpus, hour, seconds=HOUR if hour < 167 else 4 * MINUTE) for hour in range(168)
    )
    people = {"ann": Use(1.9e6, 1.7e6), "ben": Use(6e5, 4e4), "cat": Use(2.4e6, 1.3e6), "dan": Use(5e5, 1e5)}
    return Course(use, NOW // HOUR * HOUR, hours, people)


def _use(gpu: int, minute: int) -> int:
    wave = {0: 94, 1: 0, 2: 100, 3: 88, 6: 6, 9: 98, 10: 40, 11: 30}.get(gpu, 0)
    return max(0, min(100, round(wave + (wave and 5 * math.sin(minute / 3 + gpu)))))


def _hour(gpus: int, hour: int, *, seconds: int) -> States:
    """More at day than by night; a lost GPU on the last day, and a serviced one."""
    level = 0.45 + 0.2 * math.sin((hour - 8) * math.pi / 12)
    out = (1 if hour > 165 else 0) * seconds
    unseen = (1 if 120 < hour < 126 or hour == 167 else 0) * seconds
    rest = gpus * seconds - out - unseen
    return States(level * rest, 0.25 * rest, (0.75 - level) * rest, out)
