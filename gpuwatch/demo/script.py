"""The script, to be asked: which runs are on which GPU, and when something turns. Pure; times are seconds of UTC."""

from __future__ import annotations

from functools import lru_cache

from gpuwatch.demo.cast import GPUS
from gpuwatch.demo.events import edges_of_day
from gpuwatch.demo.habits import LONGEST_DAYS, jobs_of_day
from gpuwatch.demo.job import Job
from gpuwatch.units import DAY, HOUR


def turns(start: float, end: float) -> list[float]:
    """The moments after `start` and before `end` at which a run begins or ends, or a GPU goes or is back."""
    moments = {moment for job in jobs_between(start, end) for moment in (job.start, job.end)}
    days = range(int(start // DAY), int(end // DAY) + 1)
    moments |= {edge for day in days for edge in edges_of_day(day)}
    return sorted(moment for moment in moments if start < moment < end)


def jobs_on(gpu: int, start: float, end: float) -> list[Job]:
    """The runs that hold the GPU at any time between `start` and `end`."""
    hours = range(int(start // HOUR), int(end // HOUR) + 1)
    found = {(job.pid, job.start): job for hour in hours for job in _jobs_of_hour(hour)[gpu]}
    return [job for job in found.values() if job.start < end and job.end > start]


def jobs_between(start: float, end: float) -> list[Job]:
    """All runs between `start` and `end`, by the day of their start."""
    days = range(int(start // DAY) - LONGEST_DAYS, int(end // DAY) + 1)
    return [job for day in days for job in jobs_of_day(day) if job.start < end and job.end > start]


@lru_cache(maxsize=8)
def _jobs_of_hour(hour: int) -> tuple[tuple[Job, ...], ...]:
    """By GPU."""
    jobs = jobs_between(hour * HOUR, (hour + 1) * HOUR)
    return tuple(tuple(job for job in jobs if gpu.index in job.gpus) for gpu in GPUS)
