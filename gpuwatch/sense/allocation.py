"""Which Slurm job holds which GPU of this node, also where nothing runs on it.

A job's name, account and comment are its user's own text, line breaks included, and Slurm shows them as they are. So
whose a job is is asked in a question of numbers, each of these texts in a question of its own, and NULs, which no such
text can hold, stand between the answers.

Kubernetes would have its place beside this: the kubelet's podresources socket tells which pod holds which device.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Set
from datetime import UTC, datetime

from gpuwatch.errors import SlurmUnavailable
from gpuwatch.model import Allocation
from gpuwatch.sense.hostlist import is_listed
from gpuwatch.sense.inquiry import Inquiry, slurm_environment

CHANGED_SECONDS = 50.0
UNCHANGED_SECONDS = 300.0
"""How often jobs are asked for: while they hold other GPUs than the last answer was for, or somebody is charged for one
that nothing runs on, as the next job may have got the very same by now; else.

The controller copies its whole table of jobs for that, and each node asks.
"""
_SCRIPT = r"""
jobs=$(squeue -h -w "$1" -o '%i %U %S %u' 2>&1) || { printf '%s\n' "$jobs"; exit 1; }
while read -r job rest; do
    case $job in '' | *[!0-9_+]*) continue ;; esac
    gpus=$(scontrol show job -d "$job" 2>/dev/null </dev/null | grep '^ *Nodes=.*[=,]gpu' | head -c 8192)
    [ -n "$gpus" ] || continue
    printf '%s %s\0%s\0' "$job" "$rest" "$gpus"
    squeue -h -j "$job" -o %a 2>/dev/null </dev/null | head -c 512; printf '\0'
    squeue -h -j "$job" -o %j 2>/dev/null </dev/null | head -c 512; printf '\0'
done <<END
$jobs
END
"""
_PARTS = 4
_JOB = re.compile(r"(?P<number>\d{1,10})(?:_(?P<task>\d{1,10})|\+\d{1,10})?", re.ASCII)
_GPUS = re.compile(r"(?:^|,)gpu[^,()]*\(IDX:([\d,-]+)\)", re.ASCII)
_DETAIL = re.compile(r" *Nodes=(\S+) CPU_IDs=\S* Mem=\S* GRES=(\S+)\s*")
_RANGE = re.compile(r"(\d{1,3})(?:-(\d{1,3}))?", re.ASCII)


def parse_gpus(text: str) -> frozenset[int]:
    """Slurm's indices of the GPUs in a list of resources: `gpu:h100:3(IDX:0-1,3),license:1` are 0, 1 and 3.

    Shared ones (`shard`, `mps`) are held by nobody. Slurm counts as its gres.conf does: by /dev/nvidiaN in their order,
    and by instances where there is MIG.
    """
    found: set[int] = set()
    for ranges in _GPUS.findall(text):
        for match in filter(None, map(_RANGE.fullmatch, ranges.split(","))):
            found.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return frozenset(found)


def parse_allocations(text: str, node: str) -> dict[int, Allocation]:
    """By Slurm's index of the GPU, out of what the script gave for `node`, with its times in UTC.

    A GPU that several jobs hold at once is left out. So is a job that names this node twice: somebody wrote a line of
    their own into its name.
    """
    held: dict[int, Allocation] = {}
    contested: set[int] = set()
    parts = text.split("\0")
    for start in range(0, len(parts) - _PARTS, _PARTS):
        head, details, account, name = parts[start : start + _PARTS]
        allocation = _parse_job(head.strip(), account=account.strip(), name=name.strip())
        gpus = _parse_details(details, node)
        if allocation is not None:
            contested |= held.keys() & gpus
            held.update(dict.fromkeys(gpus, allocation))
    return {gpu: allocation for gpu, allocation in held.items() if gpu not in contested}


def _parse_job(head: str, *, account: str, name: str) -> Allocation | None:
    """Out of `4711_3 1000 2026-11-20T10:46:51 ann`; None where it is something else."""
    fields = head.split(" ", 3)
    job = _JOB.fullmatch(fields[0])
    if job is None or len(fields) != 4 or not fields[1].isdecimal():
        return None
    try:
        started = datetime.fromisoformat(fields[2]).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
    number, task, uid = job["number"], job["task"], int(fields[1])
    return Allocation(
        job=number if task is None else f"{number}_{task}",
        array="" if task is None else number,
        uid=uid,
        user=f"uid:{uid}" if fields[3] in ("", fields[1]) else fields[3],
        account="" if account == "(null)" else account,
        name=name,
        started_unix=started,
    )


def _parse_details(details: str, node: str) -> frozenset[int]:
    """Out of the lines `Nodes=n[7-8] CPU_IDs=0 Mem=0 GRES=gpu:h100:2(IDX:0-1)` of one job."""
    lines = filter(None, map(_DETAIL.fullmatch, details.split("\n")))
    own = [line[2] for line in lines if is_listed(node, line[1])]
    return parse_gpus(own[0]) if len(own) == 1 else frozenset()


def find_allocations(node: str) -> SlurmAllocations | None:
    """What asks this machine's Slurm for the jobs on the node that it calls `node`; None where it is not on PATH."""
    if shutil.which("scontrol") is None or shutil.which("squeue") is None:
        return None
    return SlurmAllocations(node, slurm_environment(os.environ))


class SlurmAllocations:
    """The jobs that hold GPUs of one node. Times `now` are seconds of CLOCK_BOOTTIME."""

    def __init__(self, node: str, environment: Mapping[str, str]) -> None:
        self._node = node
        self._inquiry = Inquiry(["/bin/sh", "-c", _SCRIPT, "sh", node], environment, self._take)
        self._asked_for: Set[int] = frozenset()
        self._answered_for: Set[int] = frozenset()
        self._held: Mapping[int, Allocation] = {}

    @property
    def is_asking(self) -> bool:
        """Whether a question is under way."""
        return self._inquiry.is_open

    def read(self, in_use: Set[int], *, now: float, unix: float, reserving: bool = False) -> Mapping[int, Allocation]:
        """What is known now, at once, of the GPUs of these indices: those that jobs hold, as `SlurmNode` was told.

        `reserving` is whether anybody is charged by it.

        Raises SlurmUnavailable while Slurm does not answer and no answer of the last ten minutes is there.
        """
        if not in_use and not self.is_asking:
            self._answered_for, self._held = frozenset(), {}
            return {}
        every = CHANGED_SECONDS if reserving or in_use != self._answered_for else UNCHANGED_SECONDS
        was_asking = self.is_asking
        try:
            self._inquiry.read(now=now, unix=unix, every=every)
        except SlurmUnavailable:
            self._held = {}
            raise
        if self.is_asking and not was_asking:
            self._asked_for = frozenset(in_use)
        return {gpu: allocation for gpu, allocation in self._held.items() if gpu in in_use}

    def close(self) -> None:
        """End the question that is under way."""
        self._inquiry.close()

    def _take(self, text: str, unix: float) -> None:
        self._held, self._answered_for = parse_allocations(text, self._node), self._asked_for
