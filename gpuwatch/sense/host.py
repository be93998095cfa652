"""CPU, memory and load of this machine, through psutil."""

from __future__ import annotations

import os

import psutil

from gpuwatch.model import HostReading

_MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")


def read_host() -> HostReading:
    """The machine now. Guest time is inside `user`, as the kernel counts it."""
    times = psutil.cpu_times()
    memory = psutil.virtual_memory()
    return HostReading(
        cpu_seconds={mode: getattr(times, mode) for mode in _MODES if hasattr(times, mode)},
        memory_used_bytes=memory.total - memory.available,
        memory_total_bytes=memory.total,
        load1=os.getloadavg()[0],
    )
