"""The clock: is it set, is it kept by a time server, and does the kernel name this boot?"""

from __future__ import annotations

import ctypes
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from gpuwatch.check.finding import Finding, fail, ok, warn
from gpuwatch.sense.clocks import read_boot_id

_TIMEX_BYTES = 512
"""More than a `struct timex` has on any machine (208 on 64 bits); all zeros only asks."""
_TIME_ERROR = 5
"""What adjtimex returns while the clock is not synchronised. Source: adjtimex(2)."""
_EARLIEST_UNIX = 1_735_689_600
"""2025-01-01: no agent is older."""


class ClockFacts(NamedTuple):
    """`synchronised` is None where the kernel does not say; an empty `boot_id` could not be read."""

    unix: float
    synchronised: bool | None
    boot_id: str


def read_clock(unix: float, proc: Path = Path("/proc")) -> ClockFacts:
    """The clock, which shows `unix` (seconds of UTC) now."""
    try:
        boot_id = read_boot_id(proc)
    except OSError:
        boot_id = ""
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    return ClockFacts(unix, None if state < 0 else state != _TIME_ERROR, boot_id)


def judge_clock(facts: ClockFacts) -> list[Finding]:
    """One finding: what is worst about the clock."""
    mend = "timedatectl set-ntp true, or apt install chrony"
    if not facts.boot_id:
        lost = "the agent does not start: it cannot tell this boot from the last"
        return [
            fail("clock", "/proc/sys/kernel/random/boot_id cannot be read", lost=lost, mend="mount -t proc proc /proc")
        ]
    if facts.unix < _EARLIEST_UNIX:
        day = datetime.fromtimestamp(max(0.0, facts.unix), UTC).date()
        return [fail("clock", f"it shows {day}", lost="the dates of all that is recorded", mend=mend)]
    if facts.synchronised is None:
        return [ok("clock", "set; the kernel does not say whether a time server keeps it")]
    if not facts.synchronised:
        lost = "dates agree with those of other nodes only by chance; Prometheus may refuse samples"
        return [warn("clock", "no time server keeps it", lost=lost, mend=mend)]
    return [ok("clock", "kept by a time server")]
