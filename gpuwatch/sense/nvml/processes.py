"""The processes that hold a context on a device, by kind."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pynvml

from gpuwatch.sense.nvml.calls import Calls

HIGHEST_PID = 2**22
_USUAL_PROCESSES = 32
_MOST_BYTES = 2**48
_NOT_AVAILABLE = pynvml.NVML_VALUE_NOT_AVAILABLE_ulonglong.value
_ProcessList = Sequence[tuple[int, int | None]]


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
            sizes = [known for known in (memory.get(pid), size) if known is not None and known <= _MOST_BYTES]
            memory[pid] = max(sizes, default=None)
    return memory


def _read_list(calls: Calls, versions: Iterable[Callable[[Any], _ProcessList]]) -> _ProcessList | None:
    for call in versions:
        answer: _ProcessList | None = calls.ask(call, empty=())
        if answer is not None:
            return answer
    return None


def _process_list(name: str) -> Callable[[Any], _ProcessList]:
    """A call for one kind of process list, as (pid, bytes).

    nvidia-ml-py's own asks twice and makes an object of each entry: at 64 processes, the dearest part of a cycle.
    """

    def call(handle: Any) -> _ProcessList:
        try:
            function = getattr(pynvml.nvmlLib, name)
        except AttributeError as error:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND) from error
        size = _USUAL_PROCESSES
        while True:
            count, entries = ctypes.c_uint(size), (pynvml.c_nvmlProcessInfo_v3_t * size)()
            code = function(handle, ctypes.byref(count), entries)
            if code != pynvml.NVML_ERROR_INSUFFICIENT_SIZE:
                break
            size = 2 * max(count.value, size)
        if code != pynvml.NVML_SUCCESS:
            raise pynvml.NVMLError(code)
        return [
            (entry.pid, None if entry.usedGpuMemory == _NOT_AVAILABLE else entry.usedGpuMemory)
            for entry in entries[: count.value]
        ]

    call.__name__ = name
    return call


_PROCESS_LISTS = tuple(
    tuple(_process_list(f"nvmlDeviceGet{kind}RunningProcesses_{version}") for version in ("v3", "v2"))
    for kind in ("Compute", "Graphics", "MPSCompute")
)
"""By kind, the newest call first. Both versions fill the same entries."""
