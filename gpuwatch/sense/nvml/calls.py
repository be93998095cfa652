"""One device's calls, and what NVML's errors mean: absent, empty, or a failure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pynvml

from gpuwatch.errors import DriverUnavailable, GpuUnavailable, LibraryMismatch

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
DRIVER_GONE = frozenset(
    {
        pynvml.NVML_ERROR_UNINITIALIZED,
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED,
        pynvml.NVML_ERROR_LIBRARY_NOT_FOUND,
    }
)


def failure(error: Any) -> DriverUnavailable | GpuUnavailable:
    """An NVMLError as ours."""
    code = error.value
    if code == pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH:
        return LibraryMismatch(
            "the NVML library and the NVIDIA kernel driver are of different versions: reload the driver or reboot"
        )
    if code in DRIVER_GONE:
        return DriverUnavailable(f"the NVIDIA driver does not answer: {error}")
    return GpuUnavailable(str(error))


class Calls:
    """Calls by the handle of a GPU or of a MIG instance. What it lacks is asked once and absent from then on."""

    def __init__(self, handle: Any, *, of_instance: bool = False) -> None:
        self.handle = handle
        self._lacks: set[str] = set()
        self._has: set[str] = set()
        self._of_instance = of_instance

    def ask(self, call: Callable[..., Any], *arguments: Any, empty: Any = None) -> Any:
        """The call's answer; `empty` where there is nothing to say; None where it is absent.

        Raises GpuUnavailable or DriverUnavailable.
        """
        name = call.__name__
        if name in self._lacks:
            return None
        try:
            answer = call(self.handle, *arguments)
        except pynvml.NVMLError as error:
            if error.value in _EMPTY:
                return empty
            if error.value in _ABSENT or self._is_of_whole_gpus(name, error.value):
                self._lacks.add(name)
                return None
            raise failure(error) from error
        self._has.add(name)
        return answer

    def _is_of_whole_gpus(self, name: str, code: int) -> bool:
        """Of an instance, such calls have an invalid argument. Those that worked have one when the instance is gone."""
        return self._of_instance and code == pynvml.NVML_ERROR_INVALID_ARGUMENT and name not in self._has
