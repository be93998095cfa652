"""The clocks of this machine. Everywhere else time is an argument."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


def read_boottime() -> float:
    """Seconds since boot, suspension included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def read_unix() -> float:
    """Seconds of UTC."""
    return time.time()


def read_boot_id(proc: Path = Path("/proc")) -> str:
    """The kernel's name for this boot; process identities hold no longer than it."""
    return (proc / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


class Clock(NamedTuple):
    """The two clocks of a reader, so that tests can drive them."""

    boottime: Callable[[], float] = read_boottime
    unix: Callable[[], float] = read_unix


SYSTEM_CLOCK = Clock()
