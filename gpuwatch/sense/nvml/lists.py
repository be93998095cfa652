"""Lists that the driver fills in, as plain numbers.

nvidia-ml-py asks twice for each, makes an object of every entry and looks each of its fields up in Python: at 64
processes that is the dearest part of a cycle. Here the entries are unpacked from the memory that the driver wrote.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from struct import Struct
from typing import Any

import pynvml

PROCESS = Struct("@IQ8x")
"""Of c_nvmlProcessInfo_v3_t the pid and the bytes."""
PROCESS_USE = Struct("@IQI12x")
"""Of c_nvmlProcessUtilizationSample_t the pid, the microseconds and the percent of the SMs."""
SAMPLE = Struct("@QI4x")
"""Of c_nvmlSample_t the microseconds and the value, which is unsigned."""
_USUAL, _MOST = 32, 65536

Entries = list[tuple[int, ...]]


def function(name: str) -> Any:
    """A function of the opened library. Raises NVMLError where it has none of this name, or where none is open."""
    return pynvml._nvmlGetFunctionPointer(name)


def read_list(entry: Struct, ask: Callable[[Any, Any], int]) -> Entries:
    """A list of which the driver says how much room it wants, if it had too little.

    `ask` is given a reference to the number of entries and room for as many, and returns NVML's code. Raises NVMLError.
    """
    size = _USUAL
    while True:
        count, room = ctypes.c_uint(size), (ctypes.c_char * (size * entry.size))()
        code = ask(ctypes.byref(count), room)
        if code != pynvml.NVML_ERROR_INSUFFICIENT_SIZE or size >= _MOST:
            return _unpack(entry, code, room, count.value)
        size = 2 * max(count.value, size)


def read_sized_list(entry: Struct, ask: Callable[[Any, Any], int]) -> Entries:
    """A list of which the driver says its size first, where it is given no room: it may write past a smaller one."""
    count = ctypes.c_uint(0)
    code, room = ask(ctypes.byref(count), None), (ctypes.c_char * (count.value * entry.size))()
    if code == pynvml.NVML_SUCCESS:
        code = ask(ctypes.byref(count), room)
    return _unpack(entry, code, room, count.value)


def _unpack(entry: Struct, code: int, room: Any, count: int) -> Entries:
    if code != pynvml.NVML_SUCCESS:
        raise pynvml.NVMLError(code)
    return list(entry.iter_unpack(memoryview(room)[: count * entry.size]))
