"""The floor under any monitor: a bare loop over the NVML calls that an agent makes, through the same library.

Run as a process of its own, `python floor.py SECONDS`: makes the calls every so many seconds until it is
killed, and does nothing with the answers.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from typing import Any

import pynvml


def main() -> None:
    """Make all calls of one reading every interval."""
    interval = float(sys.argv[1])
    pynvml.nvmlInit()
    handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
    while True:
        since_us = time.time_ns() // 1000 - round(interval * 1e6)
        for handle in handles:
            _read(handle, since_us)
        time.sleep(interval)


def _read(handle: Any, since_us: int) -> None:
    calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
        (pynvml.nvmlDeviceGetSamples, (pynvml.NVML_GPU_UTILIZATION_SAMPLES, since_us)),
        (pynvml.nvmlDeviceGetProcessUtilization, (since_us,)),
        (pynvml.nvmlDeviceGetComputeRunningProcesses_v3, ()),
        (pynvml.nvmlDeviceGetGraphicsRunningProcesses_v3, ()),
        (pynvml.nvmlDeviceGetMPSComputeRunningProcesses_v3, ()),
        (pynvml.nvmlDeviceGetMemoryInfo, (pynvml.nvmlMemory_v2,)),
        (pynvml.nvmlDeviceGetTotalEnergyConsumption, ()),
        (pynvml.nvmlDeviceGetPowerUsage, ()),
        (pynvml.nvmlDeviceGetEnforcedPowerLimit, ()),
        (pynvml.nvmlDeviceGetTemperature, (pynvml.NVML_TEMPERATURE_GPU,)),
        (pynvml.nvmlDeviceGetClockInfo, (pynvml.NVML_CLOCK_SM,)),
    ]
    for call, arguments in calls:
        with contextlib.suppress(pynvml.NVMLError):
            call(handle, *arguments)


if __name__ == "__main__":
    main()
