"""What a process shows of its run: its environment at exec, its cgroup, its terminal, the run files that it has open.

An environment holds secrets: of all its variables only the `ALLOWED` ever leave the function that reads it.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from gpuwatch.attribute.case import Traces
from gpuwatch.attribute.watch import READING_RIGHTS, Watch

ALLOWED = frozenset(
    "GPUWATCH_RUN GPUWATCH_RUN_NAME GPUWATCH_PROJECT GPUWATCH_USER GPUWATCH_EXPECT_IDLE "
    "WANDB_RUN_ID WANDB_PROJECT WANDB_ENTITY WANDB_NAME WANDB_RUN_GROUP WANDB_SWEEP_ID WANDB_USERNAME WANDB_BASE_URL "
    "MLFLOW_RUN_ID MLFLOW_EXPERIMENT_ID "
    "SLURM_JOB_ID SLURM_JOB_NAME SLURM_JOB_USER SLURM_JOB_ACCOUNT SLURM_JOB_PARTITION SLURM_ARRAY_JOB_ID "
    "SLURM_ARRAY_TASK_ID SLURM_STEP_ID SLURM_JOB_GPUS "
    "TORCHELASTIC_RUN_ID MASTER_ADDR MASTER_PORT RANK LOCAL_RANK WORLD_SIZE "
    "RAY_JOB_ID DET_EXPERIMENT_ID DET_TRIAL_ID DET_TASK_ID CLEARML_TASK_ID TRAINING_JOB_NAME "
    "DSTACK_RUN_NAME DSTACK_RUN_ID "
    "LSB_JOBID LSB_JOBNAME PBS_JOBID PBS_JOBNAME _CONDOR_JOB_AD FLUX_JOB_ID "
    "JPY_SESSION_NAME JPY_PARENT_PID".split()
)
"""The variables that identify a run, a job or a launch: all that is ever kept of an environment."""
_ALLOWED_BYTES = frozenset(name.encode() for name in ALLOWED)
_LONGEST_VALUE = 512
_LONGEST_ENVIRONMENT = 1 << 20
_LONGEST_CGROUP = 1 << 16
_CHUNK = 1 << 16
_TERMINAL = 4
"""Place of `tty_nr` among the fields of /proc/PID/stat after the name."""


def parse_environment(data: bytes) -> dict[str, str]:
    """The allowed variables of a /proc/PID/environ, cut to 512 characters; the first of a name, as in getenv(3)."""
    kept: dict[str, str] = {}
    for entry in data.split(b"\0"):
        name, equals, value = entry.partition(b"=")
        if equals and name in _ALLOWED_BYTES:
            text = value[: 4 * _LONGEST_VALUE].decode("utf-8", "replace")[:_LONGEST_VALUE]
            kept.setdefault(name.decode(), text)
    return kept


def parse_cgroup(text: str) -> str:
    """The paths of a /proc/PID/cgroup, one a line and each once, in its order."""
    parts = (line.split(":", 2) for line in text.split("\n"))
    return "\n".join(dict.fromkeys(part[2] for part in parts if len(part) == 3))


def parse_has_terminal(data: bytes) -> bool:
    """Whether a /proc/PID/stat names a controlling terminal. The program's name may hold any byte."""
    fields = data.rpartition(b")")[2].split()
    return len(fields) > _TERMINAL and fields[_TERMINAL] != b"0"


def read_traces(watch: Watch, *, now: float) -> Traces:
    """What the process of `watch` shows now, of which nothing is there once it has ended. Has `watch` look."""
    folder = f"{watch.proc}/{watch.pid}"
    unread: dict[str, str] = {}
    environment = _or_unread("environ", lambda: _read_environment(f"{folder}/environ"), unread)
    cgroup = _or_unread("cgroup", lambda: _read(f"{folder}/cgroup", _LONGEST_CGROUP), unread)
    status = _or_unread("stat", lambda: _read(f"{folder}/stat", _CHUNK), unread)
    watch.look(now)
    if watch.lacks:
        unread["fd"] = watch.lacks
    return Traces(
        environment=parse_environment(environment),
        cgroup=parse_cgroup(cgroup.decode("utf-8", "replace")),
        tracked=watch.tracked,
        has_terminal=parse_has_terminal(status),
        unread=unread,
    )


def _or_unread(what: str, read: Callable[[], bytes], unread: dict[str, str]) -> bytes:
    """What `read` reads; nothing where it may not, which `unread` is told, or where the process has ended."""
    try:
        return read()
    except PermissionError:
        unread[what] = READING_RIGHTS
        return b""
    except OSError:
        return b""


def _read_environment(path: str) -> bytes:
    """As much as is ever looked at, without the entry in which that ends."""
    data = _read(path, _LONGEST_ENVIRONMENT)
    return data if len(data) < _LONGEST_ENVIRONMENT else data.rpartition(b"\0")[0]


def _read(path: str, most: int) -> bytes:
    """The first `most` bytes of a file that the kernel gives in pieces. Raises OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    parts: list[bytes] = []
    try:
        while most and (part := os.read(handle, min(most, _CHUNK))):
            parts.append(part)
            most -= len(part)
    finally:
        os.close(handle)
    return b"".join(parts)
