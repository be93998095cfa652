"""One device: a GPU or a MIG instance, and what the sampling loop reads of it, in base units."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import pynvml

from gpuwatch.model import CountKey, GpuInfo
from gpuwatch.sense.nvml.calls import Calls
from gpuwatch.sense.nvml.gpm import Gpm
from gpuwatch.sense.nvml.lists import PROCESS_USE, SAMPLE, Entries, function, read_list, read_sized_list
from gpuwatch.sense.nvml.processes import HIGHEST_PID, read_processes
from gpuwatch.units import MEGA, MILLIS, NANOS, PERCENTS

_THROTTLES = {
    74: "power_cap",  # CLOCKS_EVENT_REASON_SW_POWER_CAP
    75: "thermal",  # PERF_POLICY_THERMAL
    76: "sync_boost",  # CLOCKS_EVENT_REASON_SYNC_BOOST
    77: "board_limit",  # PERF_POLICY_BOARD_LIMIT
    79: "reliability",  # PERF_POLICY_RELIABILITY
    269: "sw_thermal",  # CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN
    270: "hw_thermal",  # CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN
    271: "hw_power_brake",  # CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN
}
"""The fields (NVML_FI_DEV_…) in which the driver sums up nanoseconds with lowered clocks, and the reason.

By number: a binding that is too old to name them is to be refused in words, not by an error at import.
"""
_ECC = {
    pynvml.NVML_MEMORY_ERROR_TYPE_CORRECTED: "corrected",
    pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED: "uncorrected",
}


Sample = tuple[int, int]
"""One entry of the driver's utilisation ring: the driver's clock in microseconds, and percent."""
ProcessSample = tuple[int, int, int]
"""One process's SM use as the driver gives it, unchecked: its pid, the driver's clock in microseconds, and percent."""


class Card:
    """A device's readings. What it lacks is asked once and None from then on."""

    def __init__(self, calls: Calls, info: GpuInfo, gpm: Gpm | None) -> None:
        self.info = info
        self.gpm = gpm
        """The GPU's own counters of activity, where it has them."""
        self._calls = calls

    def read_ring(self, since_us: int) -> list[Sample] | None:
        """The driver's utilisation samples newer than `since_us`, or None where it keeps none."""
        samples: list[Sample] | None = self._calls.ask(_list_ring, since_us, empty=[])
        return samples

    def read_rate(self) -> float | None:
        """Utilisation over the driver's last sample period."""
        answer = self._calls.ask(pynvml.nvmlDeviceGetUtilizationRates)
        return None if answer is None or answer.gpu > 100 else answer.gpu / PERCENTS

    def read_process_samples(self, since_us: int) -> list[ProcessSample]:
        """SM use of the processes that were busy since `since_us`, unsorted and unchecked.

        Some drivers for Blackwell say 0 of everybody; there a newer call tells.
        """
        samples = self._read_process_samples(_list_process_use, since_us)
        if samples and not any(sm_percent for _, _, sm_percent in samples):
            return self._read_process_samples(_list_process_use_newer, since_us) or samples
        return samples

    def _read_process_samples(self, call: Callable[..., Any], since_us: int) -> list[ProcessSample]:
        samples = self._calls.ask(call, since_us, empty=()) or ()
        return [(pid, us, sm_percent) for pid, us, sm_percent in samples if 0 < pid <= HIGHEST_PID]

    def tells_process_use(self) -> bool:
        """Whether the driver says how much each process uses: for want of use, `read_process_samples` is empty too."""
        return self._calls.ask(_list_process_use, 0, empty=()) is not None

    def read_processes(self) -> dict[int, int | None] | None:
        """Device memory in bytes by pid of every process with a context; None where there is no such list."""
        return read_processes(self._calls)

    def read_memory(self) -> tuple[int, int] | None:
        """Device memory used and in all, in bytes."""
        return read_memory(self._calls)

    def read_power_watts(self) -> float | None:
        """Power drawn; a 1 s average on Ampere and newer."""
        return _divided(self._calls.ask(pynvml.nvmlDeviceGetPowerUsage), MILLIS)

    def read_power_limit_watts(self) -> float | None:
        """The limit that the driver enforces."""
        return _divided(self._calls.ask(pynvml.nvmlDeviceGetEnforcedPowerLimit), MILLIS)

    def read_energy_joules(self) -> float | None:
        """Energy since the driver was loaded."""
        return _divided(self._calls.ask(pynvml.nvmlDeviceGetTotalEnergyConsumption), MILLIS)

    def read_temperature_celsius(self) -> float | None:
        """The GPU's core temperature."""
        return _divided(self._calls.ask(pynvml.nvmlDeviceGetTemperature, pynvml.NVML_TEMPERATURE_GPU), 1)

    def read_sm_clock_hertz(self) -> float | None:
        """The SM clock."""
        megahertz = self._calls.ask(pynvml.nvmlDeviceGetClockInfo, pynvml.NVML_CLOCK_SM)
        return None if megahertz is None else float(megahertz * MEGA)

    def read_counts(self) -> dict[CountKey, float]:
        """The driver's totals of seconds with lowered clocks since it was loaded, and of memory errors ever."""
        fields = self._calls.ask(pynvml.nvmlDeviceGetFieldValues, list(_THROTTLES), empty=())
        counts = {
            CountKey("throttle", _THROTTLES[field.fieldId]): field.value.ullVal / NANOS
            for field in fields or ()
            if field.nvmlReturn == pynvml.NVML_SUCCESS
        }
        if any(CountKey("throttle", reason) in counts for reason in ("sw_thermal", "hw_thermal")):
            counts.pop(CountKey("throttle", "thermal"), None)  # the same time once more
        for kind, name in _ECC.items():
            errors = self._calls.ask(pynvml.nvmlDeviceGetTotalEccErrors, kind, pynvml.NVML_AGGREGATE_ECC)
            if errors is not None:
                counts[CountKey("ecc", name)] = float(errors)
        return counts


def read_memory(calls: Calls) -> tuple[int, int] | None:
    """Device memory used and in all, in bytes. Version 2 keeps what the driver reserves out of `used`."""
    answer = calls.ask(pynvml.nvmlDeviceGetMemoryInfo, pynvml.nvmlMemory_v2)
    if answer is None:
        answer = calls.ask(_read_memory_v1)
    return None if answer is None else (answer.used, answer.total)


def _divided(value: int | None, by: int) -> float | None:
    return None if value is None else value / by


def _list_ring(handle: Any, since_us: int) -> Entries:
    fill, since, kind = function("nvmlDeviceGetSamples"), ctypes.c_ulonglong(since_us), ctypes.c_int()
    wanted = pynvml.NVML_GPU_UTILIZATION_SAMPLES
    return read_sized_list(SAMPLE, lambda count, room: fill(handle, wanted, since, ctypes.byref(kind), count, room))


def _list_process_use(handle: Any, since_us: int) -> Entries:
    fill, since = function("nvmlDeviceGetProcessUtilization"), ctypes.c_ulonglong(since_us)
    return read_list(PROCESS_USE, lambda count, room: fill(handle, room, count, since))


def _list_process_use_newer(handle: Any, since_us: int) -> Entries:
    entries = pynvml.nvmlDeviceGetProcessesUtilizationInfo(handle, since_us)
    return [(entry.pid, entry.timeStamp, entry.smUtil) for entry in entries]


def _read_memory_v1(handle: Any) -> Any:
    return pynvml.nvmlDeviceGetMemoryInfo(handle)
