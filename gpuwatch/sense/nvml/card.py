"""NVML through `nvidia-ml-py`: the only file that opens the library.

It turns NVML's calls into plain numbers in base units and NVML's errors into three answers: absent (the card or driver
lacks it, remembered and not asked again), empty (nothing to say now), or a failure that the caller must act on.
It keeps no time and interprets nothing.
"""

from __future__ import annotations

import _ctypes
import ctypes
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pynvml

from gpuwatch.errors import DriverUnavailable, GpuUnavailable, LibraryMismatch
from gpuwatch.model import GpuInfo
from gpuwatch.units import MEGA, MILLIS, PERCENTS

_SONAME = "libnvidia-ml.so.1"
_ABSENT = frozenset(
    {
        pynvml.NVML_ERROR_NOT_SUPPORTED,
        pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
        pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH,
        pynvml.NVML_ERROR_NO_PERMISSION,
    }
)
# SUCCESS is raised as an error where a sizing call finds nothing; INSUFFICIENT_SIZE where a list grew in between.
_EMPTY = frozenset({pynvml.NVML_ERROR_NOT_FOUND, pynvml.NVML_SUCCESS, pynvml.NVML_ERROR_INSUFFICIENT_SIZE})
_DRIVER_GONE = frozenset(
    {
        pynvml.NVML_ERROR_UNINITIALIZED,
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED,
        pynvml.NVML_ERROR_LIBRARY_NOT_FOUND,
    }
)
_USUAL_PROCESSES = 32
_HIGHEST_PID = 2**22
_MOST_BYTES = 2**48
_NOT_AVAILABLE = pynvml.NVML_VALUE_NOT_AVAILABLE_ulonglong.value
_ProcessList = Sequence[tuple[int, int | None]]


class Sample(NamedTuple):
    """One entry of the driver's utilisation ring: the driver's clock in microseconds, and percent."""

    driver_us: int
    percent: int


class ProcessSample(NamedTuple):
    """One process's SM use as the driver gives it, unchecked: the driver's clock in microseconds, and percent."""

    pid: int
    driver_us: int
    sm_percent: int


def _failure(error: Any) -> DriverUnavailable | GpuUnavailable:
    code = error.value
    if code == pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH:
        return LibraryMismatch(
            "the NVML library and the NVIDIA kernel driver are of different versions: reload the driver or reboot"
        )
    if code in _DRIVER_GONE:
        return DriverUnavailable(f"the NVIDIA driver does not answer: {error}")
    return GpuUnavailable(str(error))


class Card:
    """One GPU's calls. What it lacks is asked once and absent from then on."""

    def __init__(self, handle: Any, info: GpuInfo) -> None:
        self.info = info
        self._handle = handle
        self._lacks: set[str] = set()

    def _ask(self, call: Callable[..., Any], *arguments: Any, empty: Any = None) -> Any:
        """The call's answer; `empty` where there is nothing to say; None where it is absent on this card."""
        name = call.__name__
        if name in self._lacks:
            return None
        try:
            return call(self._handle, *arguments)
        except pynvml.NVMLError as error:
            if error.value in _EMPTY:
                return empty
            if error.value in _ABSENT:
                self._lacks.add(name)
                return None
            raise _failure(error) from error

    def read_ring(self, since_us: int) -> list[Sample] | None:
        """The driver's utilisation samples newer than `since_us`, or None where it keeps none."""
        answer = self._ask(pynvml.nvmlDeviceGetSamples, pynvml.NVML_GPU_UTILIZATION_SAMPLES, since_us, empty=(0, ()))
        if answer is None:
            return None
        return [Sample(sample.timeStamp, sample.sampleValue.uiVal) for sample in answer[1]]

    def read_rate(self) -> float | None:
        """Utilisation over the driver's last sample period."""
        answer = self._ask(pynvml.nvmlDeviceGetUtilizationRates)
        return None if answer is None or answer.gpu > 100 else answer.gpu / PERCENTS

    def read_process_samples(self, since_us: int) -> list[ProcessSample]:
        """SM use of the processes that were busy since `since_us`, unsorted and unchecked."""
        answer = self._ask(pynvml.nvmlDeviceGetProcessUtilization, since_us, empty=())
        return [
            ProcessSample(entry.pid, entry.timeStamp, entry.smUtil)
            for entry in answer or ()
            if 0 < entry.pid <= _HIGHEST_PID
        ]

    def read_processes(self) -> dict[int, int | None] | None:
        """Device memory in bytes by pid, of compute, graphics and MPS processes; None where there is no such list.

        Impossible pids and sizes are garbage.
        """
        lists = [found for calls in _PROCESS_LISTS if (found := self._read_process_list(calls)) is not None]
        if not lists:
            return None
        memory: dict[int, int | None] = {}
        for pid, size in (entry for entries in lists for entry in entries):
            if 0 < pid <= _HIGHEST_PID:
                sizes = [known for known in (memory.get(pid), size) if known is not None and known <= _MOST_BYTES]
                memory[pid] = max(sizes, default=None)
        return memory

    def _read_process_list(self, calls: Iterable[Callable[[Any], _ProcessList]]) -> _ProcessList | None:
        for call in calls:
            answer: _ProcessList | None = self._ask(call, empty=())
            if answer is not None:
                return answer
        return None

    def read_memory(self) -> tuple[int, int] | None:
        """Device memory used and in all, in bytes. Version 2 keeps what the driver reserves out of `used`."""
        answer = self._ask(pynvml.nvmlDeviceGetMemoryInfo, pynvml.nvmlMemory_v2)
        if answer is None:
            answer = self._ask(_read_memory_v1)
        return None if answer is None else (answer.used, answer.total)

    def read_power_watts(self) -> float | None:
        """Power drawn; a 1 s average on Ampere and newer."""
        return _divided(self._ask(pynvml.nvmlDeviceGetPowerUsage), MILLIS)

    def read_power_limit_watts(self) -> float | None:
        """The limit that the driver enforces."""
        return _divided(self._ask(pynvml.nvmlDeviceGetEnforcedPowerLimit), MILLIS)

    def read_energy_joules(self) -> float | None:
        """Energy since the driver was loaded."""
        return _divided(self._ask(pynvml.nvmlDeviceGetTotalEnergyConsumption), MILLIS)

    def read_temperature_celsius(self) -> float | None:
        """The GPU's core temperature."""
        return _divided(self._ask(pynvml.nvmlDeviceGetTemperature, pynvml.NVML_TEMPERATURE_GPU), 1)

    def read_sm_clock_hertz(self) -> float | None:
        """The SM clock."""
        megahertz = self._ask(pynvml.nvmlDeviceGetClockInfo, pynvml.NVML_CLOCK_SM)
        return None if megahertz is None else float(megahertz * MEGA)


def _divided(value: int | None, by: int) -> float | None:
    return None if value is None else value / by


def _read_memory_v1(handle: Any) -> Any:
    return pynvml.nvmlDeviceGetMemoryInfo(handle)


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


class Driver(NamedTuple):
    """An opened driver: its version, NVML's, and how many cards it has. They are opened one by one."""

    version: str
    nvml_version: str
    gpus: int


def open_driver() -> Driver:
    """Load and initialise NVML.

    Raises DriverUnavailable (LibraryMismatch among it) where there is nothing to open, with the reason.
    """
    _refuse_impostor()
    try:
        pynvml.nvmlInit()
        return Driver(
            pynvml.nvmlSystemGetDriverVersion(), pynvml.nvmlSystemGetNVMLVersion(), pynvml.nvmlDeviceGetCount()
        )
    except pynvml.NVMLError as error:
        raise _opening_failure(error) from error


def _opening_failure(error: Any) -> DriverUnavailable:
    if error.value == pynvml.NVML_ERROR_LIBRARY_NOT_FOUND:
        return DriverUnavailable(f"no NVIDIA driver is installed here: {_SONAME} was not found")
    failure = _failure(error)
    return failure if isinstance(failure, DriverUnavailable) else DriverUnavailable(str(failure))


def open_card(index: int) -> Card:
    """One card of an opened driver. Raises GpuUnavailable or DriverUnavailable."""
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        pci = pynvml.nvmlDeviceGetPciInfo(handle).busId
        info = GpuInfo(
            uuid=pynvml.nvmlDeviceGetUUID(handle),
            index=index,
            model=pynvml.nvmlDeviceGetName(handle),
            pci=pci.decode("ascii", "replace") if isinstance(pci, bytes) else pci,
        )
    except pynvml.NVMLError as error:
        raise _failure(error) from error
    return Card(handle, info)


def close_driver() -> None:
    """End the session with the driver and unload the library, so that the next opening finds the library of then.

    `nvmlShutdown` alone keeps the old library mapped, and nvidia-ml-py keeps its function pointers: after a driver
    upgrade that pair can never match again. No thread may be inside a call. Check `library_is_mapped()` afterwards.
    """
    library = pynvml.nvmlLib
    if library is None:
        return
    try:
        pynvml.nvmlShutdown()
    except pynvml.NVMLError as error:
        if error.value not in _DRIVER_GONE and error.value != pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH:
            raise _failure(error) from error
    pynvml.nvmlLib = None
    pynvml._nvmlGetFunctionPointer_cache.clear()
    _ctypes.dlclose(library._handle)


def library_is_mapped(proc: Path = Path("/proc")) -> bool:
    """Whether an NVML library is still in this process: then only a fresh process gets a new one."""
    return "libnvidia-ml" in (proc / "self/maps").read_text(encoding="utf-8", errors="replace")


def _refuse_impostor() -> None:
    if hasattr(pynvml, "__path__") or not hasattr(pynvml, "nvmlDeviceGetProcessesUtilizationInfo"):
        raise DriverUnavailable(
            "the installed module pynvml is not the one of nvidia-ml-py: "
            "run `pip uninstall pynvml` and `pip install --force-reinstall nvidia-ml-py`"
        )
