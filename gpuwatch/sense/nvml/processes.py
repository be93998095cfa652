"""The processes that hold a context on a device, by kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from gpuwatch.sense.nvml.calls import Calls
from gpuwatch.sense.nvml.lists import PROCESS, Entries, function, read_list

HIGHEST_PID = 2**22
_MOST_BYTES = 2**48
"""More than any card has, and less than what stands for a size that the driver won't say."""


def read_processes(calls: Calls) -> dict[int, int | None] | None:
    """Device memory in bytes by pid, of compute, graphics and MPS processes; None where there is no such list.

    Impossible pids and sizes are garbage.
    """
    lists = [found for versions in _PROCESS_LISTS if (found := _read_list(calls, versions)) is not None]
    if not lists:
        return None
    memory: dict[int, int | None] = {}
    for pid, size in (entry for entries in lists for entry in entries):
        if 0 < pid <= HIGHEST_PID:
            known = memory.setdefault(pid, None)
            if size <= _MOST_BYTES and (known is None or size > known):
                memory[pid] = size
    return memory


def _read_list(calls: Calls, versions: Iterable[Callable[[Any], Entries]]) -> Entries | None:
    for call in versions:
        answer: Entries | None = calls.ask(call, empty=())
        if answer is not None:
            return answer
    return None


def _process_list(name: str) -> Callable[[Any], Entries]:
    """A call for one kind of process list, as (pid, bytes)."""

    def call(handle: Any) -> Entries:
        fill = function(name)
        return read_list(PROCESS, lambda count, room: fill(handle, count, room))

    call.__name__ = name
    return call


_PROCESS_LISTS = tuple(
    tuple(_process_list(f"nvmlDeviceGet{kind}RunningProcesses_{version}") for version in ("v3", "v2"))
    for kind in ("Compute", "Graphics", "MPSCompute")
)
"""By kind, the newest call first. Both versions fill the same entries."""
