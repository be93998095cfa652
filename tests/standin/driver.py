"""Drives the stand-in for the driver's library: its clock, its processes and its faults.

The library and this module share one mapped file, so that a test changes what a running process sees from outside.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import time
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self, get_args

from .build import build
from .script import Trace

GPU_IS_LOST: Final = 15
FIRST_VERSION: Final = 10
MAX_GPUS: Final = 32
MAX_SLOTS: Final = 1024
MAX_QUERIES: Final = 65536

Feature = Literal[
    "ring",
    "process_utilization",
    "energy",
    "power",
    "temperature",
    "memory",
    "clocks",
    "power_limit",
    "throttle",
    "throttle_new",
    "ecc",
    "process_utilization_zero",
]
FEATURE_BITS: Final[dict[Feature, int]] = {name: 1 << bit for bit, name in enumerate(get_args(Feature))}
"""In the order of nvml/session.h."""


class _Control(ctypes.Structure):
    """`struct control` of nvml/session.h, field by field; each is 8 bytes, and so is written at once."""

    _fields_ = [
        *(
            (name, ctypes.c_int64)
            for name in (
                "epoch_us",
                "zero_boottime_us",
                "frozen",
                "frozen_us",
                "wall_step_us",
                "loaded_us",
                "energy_base_mj",
                "throttle_base_ns",
                "kernel_version",
                "driver_present",
                "driver_generation",
                "garbage",
                "hide_processes",
                "unsupported",
                "calls",
            )
        ),
        ("gpu_error", ctypes.c_int64 * MAX_GPUS),
        ("hang_until_us", ctypes.c_int64 * MAX_GPUS),
        ("ecc_errors", ctypes.c_int64 * 2 * 2 * MAX_GPUS),
        ("pids", ctypes.c_int64 * MAX_SLOTS),
        ("query_count", ctypes.c_int64 * MAX_GPUS),
        ("query_us", ctypes.c_int64 * MAX_QUERIES * MAX_GPUS),
    ]


def boottime_us() -> int:
    """CLOCK_BOOTTIME in microseconds."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


class StandIn:
    """A driver that plays a trace. The trace stands still at its zero until `start` or `freeze`.

    GPUs are named by their index in the trace. Leaving the context ends the faults that would block a caller.
    """

    def __init__(self, folder: Path, trace: Trace, *, without: Collection[str] = (), nodelete: bool = False) -> None:
        """Build the library into `folder`, and write the trace and the control file beside it.

        Raises:
            ValueError: the trace has more GPUs or higher slots than the library has room for.
        """
        slots = {hold.slot for hold in trace.holds} | {burst.slot for burst in trace.bursts}
        if len(trace.gpus) > MAX_GPUS or max(slots, default=0) >= MAX_SLOTS:
            raise ValueError(f"at most {MAX_GPUS} GPUs and {MAX_SLOTS} slots")
        self.folder = folder.resolve()
        self.trace = trace
        self.library = build(self.folder, without=without, nodelete=nodelete)
        self._ordinary = not without and not nodelete
        (self.folder / "trace").write_text(trace.dump())
        self._control = _map_control(self.folder / "control")
        self._control.epoch_us = time.time_ns() // 1000
        self._control.zero_boottime_us = boottime_us()
        self._control.frozen = 1
        self._control.energy_base_mj = 123_456_789_012
        self._control.throttle_base_ns = 987_654_321_000
        self._control.kernel_version = FIRST_VERSION
        self._control.driver_present = 1

    def __enter__(self) -> Self:
        """Nothing more to do: the stand-in is ready when it is made."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let go of hung callers, and of this process's environment."""
        for gpu in range(len(self.trace.gpus)):
            self.release(gpu)
        if os.environ.get("NVML_STANDIN") == str(self.folder):
            del os.environ["NVML_STANDIN"]

    def environment(self) -> dict[str, str]:
        """What a subprocess needs in its environment, besides its own, to find this driver first."""
        paths = [str(self.folder), os.environ.get("LD_LIBRARY_PATH", "")]
        return {"LD_LIBRARY_PATH": ":".join(filter(None, paths)), "NVML_STANDIN": str(self.folder)}

    def preload(self) -> None:
        """Make this the driver of this process, from its next `nvmlInit` on.

        The library stays loaded for as long as the process lives, and each later stand-in goes on with it.

        Raises:
            RuntimeError: this is a variant of the library, for which a process of its own is needed.
        """
        if not self._ordinary:
            raise RuntimeError("run a variant of the library in a subprocess")
        os.environ["NVML_STANDIN"] = str(self.folder)
        ctypes.CDLL(str(self.library), mode=ctypes.RTLD_GLOBAL)

    def start(self, at_boottime_us: int | None = None) -> None:
        """Let the time run, with trace zero now, or at another time of CLOCK_BOOTTIME (microseconds)."""
        now_us = boottime_us()
        zero_us = now_us if at_boottime_us is None else at_boottime_us
        self._control.zero_boottime_us = zero_us
        self._control.epoch_us = time.time_ns() // 1000 - (now_us - zero_us)
        self._control.frozen = 0

    def freeze(self, seconds: float) -> None:
        """Stop the time at a trace time. Later calls drive it on."""
        self._control.frozen_us = round(seconds * 1e6)
        self._control.frozen = 1

    def thaw(self) -> None:
        """Let the time run again, as though it had never been stopped since `start`."""
        self._control.frozen = 0

    def now(self) -> float:
        """The trace time in seconds."""
        return self._now_us() / 1e6

    @property
    def epoch_us(self) -> int:
        """CLOCK_REALTIME at trace zero, in microseconds, by which the driver stamps its samples."""
        return int(self._control.epoch_us)

    @epoch_us.setter
    def epoch_us(self, value: int) -> None:
        self._control.epoch_us = value

    def wall_step(self, seconds: float) -> None:
        """Someone sets the clock: from now on every time stamp is `seconds` later than by the epoch alone."""
        self._control.wall_step_us = round(seconds * 1e6)

    def set_pid(self, slot: int, pid: int) -> None:
        """A process takes the slot. With pid 0 the slot has none: it is in no list, but its work goes on."""
        self._control.pids[slot] = pid

    def hide_processes(self, on: bool = True) -> None:
        """The driver shows no process, neither in the lists nor in the process utilisation."""
        self._control.hide_processes = on

    def lose(self, gpu: int, error: int = GPU_IS_LOST) -> None:
        """Every call on the GPU returns `error`, an nvmlReturn_t."""
        self._control.gpu_error[gpu] = error

    def restore(self, gpu: int) -> None:
        """Undo `lose`."""
        self._control.gpu_error[gpu] = 0

    def hang(self, gpu: int, seconds: float) -> None:
        """Every call on the GPU blocks for `seconds` from now, or until `release`."""
        self._control.hang_until_us[gpu] = boottime_us() + round(seconds * 1e6)

    def release(self, gpu: int) -> None:
        """Undo `hang`: whoever is blocked goes on within 20 ms."""
        self._control.hang_until_us[gpu] = 0

    def driver_gone(self) -> None:
        """The kernel's driver is unloaded: no initialisation works, and none of those made before, ever again."""
        self._control.driver_generation += 1
        self._control.driver_present = 0

    def driver_back(self) -> None:
        """The kernel's driver is loaded again. Its counters begin at 0, but for the aggregate memory errors."""
        self._control.loaded_us = self._now_us()
        self._control.energy_base_mj = 0
        self._control.throttle_base_ns = 0
        for gpu in range(MAX_GPUS):
            volatile, _ = self._control.ecc_errors[gpu]
            volatile[:] = [0, 0]
        self._control.driver_present = 1

    def upgrade(self) -> None:
        """The kernel's driver is of a newer version: only a library loaded after this works with it."""
        self._control.kernel_version += 1

    def garbage(self, on: bool = True) -> None:
        """Utilisation samples come with impossible ones among them."""
        self._control.garbage = on

    def set_ecc(self, gpu: int, *, corrected: int, uncorrected: int) -> None:
        """The memory errors of the GPU's life. What is new of them is also new since the driver was loaded."""
        volatile, aggregate = self._control.ecc_errors[gpu]
        for kind, errors in enumerate((corrected, uncorrected)):
            volatile[kind] = max(0, volatile[kind] + errors - aggregate[kind])
            aggregate[kind] = errors

    def unsupported(self, *features: Feature) -> None:
        """The cards lack these features, and no others.

        Without `throttle_new` they count reduced clocks as cards before Ampere do. With `process_utilization_zero`
        the older of the two calls for it says 0 of every process, as some Blackwell drivers do.
        """
        self._control.unsupported = sum(FEATURE_BITS[feature] for feature in features)

    def queries(self, gpu: int) -> list[float]:
        """The trace times (seconds) at which samples were taken out of the GPU's utilisation ring.

        Raises:
            OverflowError: there were more than the library has room for.
        """
        count = self._control.query_count[gpu]
        if count > MAX_QUERIES:
            raise OverflowError(f"{count} queries of GPU {gpu}")
        return [time_us / 1e6 for time_us in self._control.query_us[gpu][:count]]

    def calls(self) -> int:
        """How many calls of the library there were, but for `nvmlErrorString`."""
        return int(self._control.calls)

    def _now_us(self) -> int:
        if self._control.frozen:
            return int(self._control.frozen_us)
        return boottime_us() - int(self._control.zero_boottime_us)


def _map_control(path: Path) -> _Control:
    """A new control file, all zeros, mapped for as long as the result lives."""
    with path.open("wb+") as file:
        file.truncate(ctypes.sizeof(_Control))
        return _Control.from_buffer(mmap.mmap(file.fileno(), ctypes.sizeof(_Control)))
