"""What the people of the node do, day by day. Pure, without beginning or end, the same for everybody.

Days and hours are of UTC. GPU 0 trains under Weights & Biases, GPUs 1 to 4 under torchrun, on GPU 5 a notebook is left
open, on GPU 6 a service and a bursty run are together, and on GPU 7 a checkpoint is evaluated now and then.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from gpuwatch.demo.cast import MIRA, OMAR, TOMAS, YUKI
from gpuwatch.demo.events import FRIDAY, LOST_FROM, LOST_UNTIL, SATURDAY, SUNDAY, TUESDAY, WEDNESDAY, weekday
from gpuwatch.demo.job import Job, Tracked
from gpuwatch.demo.shape import Bursts, Wave
from gpuwatch.units import DAY, HOUR, MINUTE, base36

LONGEST_DAYS = 7
"""No run is longer."""
_GIB = 1 << 30
_PIDS_PER_RUN = 8
_RUNS_PER_DAY = 16
_RECIPES = "vit-b16 vit-l14 convnext-s swin-t maxvit-s".split()
_RATES = "1e-3 3e-4 1e-4".split()
_EXPLORERS = "rollout.py selfplay.py collect.py".split()


@lru_cache(maxsize=64)
def jobs_of_day(day: int) -> tuple[Job, ...]:
    """The runs that begin on a day, counted from 1970-01-01."""
    return (
        *_tracked_trainings(day),
        *_distributed_trainings(day),
        *_notebooks(day),
        *_services(day),
        *_explorations(day),
        *_evaluations(day),
    )


def _tracked_trainings(day: int) -> Iterator[Job]:
    """One by day on workdays, one by night always."""
    by_day = [] if weekday(day) in (SATURDAY, SUNDAY) else [(8 * HOUR + 35 * MINUTE, 9.3 * HOUR)]
    for number, (offset, seconds) in enumerate([*by_day, (18 * HOUR + 20 * MINUTE, 13.8 * HOUR)]):
        start = day * DAY + offset
        which = 2 * day + number
        name = f"{_RECIPES[which % len(_RECIPES)]}-lr{_RATES[which % len(_RATES)]}-s{which % 89}"
        yield Job(
            person=MIRA,
            command=("python", "train.py", "--config", f"configs/{name}.yaml"),
            gpus=(0,),
            shapes=(Wave(mean=0.95, swing=0.03, period_seconds=41),),
            start=start,
            end=start + seconds,
            pid=_pid(day, number),
            memory_bytes=71 * _GIB,
            cpu_cores=11.5,
            sm_activity=0.82,
            tracked=Tracked(base36((which * 2654435761 + 12345) % 36**8).rjust(8, "x"), name, "vision"),
        )


def _distributed_trainings(day: int) -> Iterator[Job]:
    """Four ranks in the afternoon and by night; over the weekend in one go. They die with a GPU that is lost."""
    for number, (begins, ends) in enumerate(_distributed_plan(weekday(day)), start=4):
        yield Job(
            person=TOMAS,
            command=("python", "-m", "torch.distributed.run", "--nproc-per-node=4", "pretrain.py"),
            worker=("python", "-u", "pretrain.py"),
            gpus=(1, 2, 3, 4),
            # All ranks compute and exchange in step; those that are nearer to the data wait a little less.
            shapes=tuple(Wave(0.62 - 0.013 * rank, 0.11, 7.0, 0.2 * rank) for rank in range(4)),
            start=day * DAY + begins,
            end=day * DAY + ends,
            pid=_pid(day, number),
            memory_bytes=58 * _GIB,
            cpu_cores=26.0,
            sm_activity=0.71,
        )


def _distributed_plan(day_of_week: int) -> list[tuple[int, int]]:
    """Seconds of the day from and until."""
    noon, evening = 11 * HOUR + 20 * MINUTE, 18 * HOUR + 14 * MINUTE
    night = (19 * HOUR + 5 * MINUTE, 34 * HOUR + 23 * MINUTE)
    return {
        WEDNESDAY: [(noon, LOST_FROM), (LOST_UNTIL + 9 * MINUTE, evening), night],
        FRIDAY: [(noon, evening), (night[0], 68 * HOUR + 5 * MINUTE)],
        SATURDAY: [],
        SUNDAY: [(20 * HOUR + 40 * MINUTE, night[1])],
    }.get(day_of_week, [(noon, evening), night])


def _notebooks(day: int) -> Iterator[Job]:
    """Opened in the morning, used for half an hour, left open with 40 GB until somebody wonders."""
    if weekday(day) in (SATURDAY, SUNDAY):
        return
    start = day * DAY + 9 * HOUR + 25 * MINUTE
    yield Job(
        person=YUKI,
        command=("python", "/home/yuki/venv/bin/jupyter-lab", "--no-browser"),
        worker=("python", "-m", "ipykernel_launcher", "-f", "kernel.json"),
        gpus=(5,),
        shapes=(Bursts(0.85, 20, 180, begins=start, ends=start + 33 * MINUTE),),
        start=start,
        end=start + 20.5 * HOUR,
        pid=_pid(day, 8),
        memory_bytes=40 * _GIB,
        cpu_cores=0.2,
        sm_activity=0.35,
    )


def _services(day: int) -> Iterator[Job]:
    """Deployed anew each Tuesday; most asked at 14 o'clock."""
    if weekday(day) == TUESDAY:
        start = day * DAY + 7 * HOUR
        yield Job(
            person=OMAR,
            command=("python", "serve.py", "--port", "8000"),
            gpus=(6,),
            shapes=(Wave(0.16, 0.11, DAY, 14 * HOUR),),
            start=start,
            end=start + 7 * DAY - 2 * MINUTE,
            pid=_pid(day, 9),
            memory_bytes=34 * _GIB,
            cpu_cores=3.0,
            sm_activity=0.55,
        )


def _explorations(day: int) -> Iterator[Job]:
    """Busy for 30 s, then idle for 60 s while an environment steps on the CPU."""
    if weekday(day) == SUNDAY:
        return
    start = day * DAY + 10 * HOUR + 10 * MINUTE
    yield Job(
        person=YUKI,
        command=("python", _EXPLORERS[day % len(_EXPLORERS)], "--envs", "64"),
        gpus=(6,),
        shapes=(Bursts(0.68, 30, 90, begins=start),),
        start=start,
        end=start + (47.5 if weekday(day) == SATURDAY else 23.7) * HOUR,
        pid=_pid(day, 10),
        memory_bytes=14 * _GIB,
        cpu_cores=17.0,
        sm_activity=0.48,
    )


def _evaluations(day: int) -> Iterator[Job]:
    """One process from midnight to midnight, which takes the GPU every ten minutes for the newest checkpoint."""
    for number in range(DAY // (10 * MINUTE)):
        start = day * DAY + (10 * number + 3) * MINUTE
        yield Job(
            person=OMAR,
            command=("python", "evaluate.py", "--watch", "checkpoints"),
            gpus=(7,),
            shapes=(Wave(0.74, 0.15, 23),),
            start=start,
            end=start + (2 + number % 2) * MINUTE,
            launched=day * DAY + 0.5,
            pid=_pid(day, 11),
            memory_bytes=22 * _GIB,
            cpu_cores=1.5,
            sm_activity=0.6,
        )


def _pid(day: int, number: int) -> int:
    """Each run has pids of its own, for over a year."""
    return 20_000 + (day % 400 * _RUNS_PER_DAY + number) * _PIDS_PER_RUN
