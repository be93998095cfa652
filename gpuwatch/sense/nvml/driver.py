"""Opening the driver and its cards, and letting go of them."""

from __future__ import annotations

import _ctypes
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pynvml

from gpuwatch.errors import DriverUnavailable
from gpuwatch.model import GpuInfo
from gpuwatch.sense.nvml.calls import DRIVER_GONE, Calls, failure
from gpuwatch.sense.nvml.card import Card, read_memory
from gpuwatch.sense.nvml.gpm import open_gpm

_SONAME = "libnvidia-ml.so.1"


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
    told = failure(error)
    return told if isinstance(told, DriverUnavailable) else DriverUnavailable(str(told))


def open_cards(index: int) -> tuple[Card, ...]:
    """The devices of one GPU of an opened driver: itself or, where MIG is on, its instances, of which it may have none.

    Raises GpuUnavailable or DriverUnavailable.
    """
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        pci = pynvml.nvmlDeviceGetPciInfo(handle).busId
        calls = Calls(handle)
        whole = GpuInfo(
            uuid=pynvml.nvmlDeviceGetUUID(handle),
            index=index,
            model=pynvml.nvmlDeviceGetName(handle),
            pci=pci.decode("ascii", "replace") if isinstance(pci, bytes) else pci,
            minor=calls.ask(pynvml.nvmlDeviceGetMinorNumber),
            memory_bytes=_memory_bytes(calls),
        )
        mode = calls.ask(pynvml.nvmlDeviceGetMigMode)
        if mode is None or mode[0] != pynvml.NVML_DEVICE_MIG_ENABLE:
            return (Card(calls, whole, open_gpm(calls)),)
        return tuple(_open_instances(calls, whole))
    except pynvml.NVMLError as error:
        raise failure(error) from error


def _open_instances(parent: Calls, whole: GpuInfo) -> Iterator[Card]:
    slices = pynvml.nvmlDeviceGetMaxMigDeviceCount(parent.handle)
    asked = ((number, parent.ask(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, number)) for number in range(slices))
    handles = {number: handle for number, handle in asked if handle is not None}
    gpu_instances = {number: pynvml.nvmlDeviceGetGpuInstanceId(handle) for number, handle in handles.items()}
    sharing = Counter(gpu_instances.values())
    for number, handle in handles.items():
        calls = Calls(handle, of_instance=True)
        info = replace(
            whole,
            uuid=pynvml.nvmlDeviceGetUUID(handle),
            model=pynvml.nvmlDeviceGetName(handle),
            mig=number,
            capacity=pynvml.nvmlDeviceGetAttributes_v2(handle).computeInstanceSliceCount / slices,
            memory_bytes=_memory_bytes(calls),
        )
        # The counters are of a GPU instance: of several compute instances in one, they do not tell which was busy.
        alone = sharing[gpu_instances[number]] == 1
        gpm = open_gpm(parent, instance=gpu_instances[number]) if alone else None
        yield Card(calls, info, gpm)


def _memory_bytes(calls: Calls) -> int | None:
    memory = read_memory(calls)
    return None if memory is None else memory[1]


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
        if error.value not in DRIVER_GONE and error.value != pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH:
            raise failure(error) from error
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
