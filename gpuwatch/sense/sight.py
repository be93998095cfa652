"""What this process may see of other users' processes, and why it may not: capabilities, `hidepid`, PID namespace."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from gpuwatch.sense.mounts import Mount, mount_of, read_mounts

PROC = Path("/proc")
SYS_PTRACE = "CAP_SYS_PTRACE"
DAC_READ_SEARCH = "CAP_DAC_READ_SEARCH"
_NUMBERS = {DAC_READ_SEARCH: 2, SYS_PTRACE: 19}
"""Source: linux/capability.h."""
_HOST_PIDS = "pid:[4026531836]"
"""The kernel gives the first PID namespace this number: PROC_PID_INIT_INO of linux/proc_ns.h."""


class Sight(NamedTuple):
    """What stands between this process and those of other users."""

    host_pids: bool
    """It is in the host's PID namespace, so it knows processes by the pids that the driver tells."""
    hidden: bool
    """`/proc` is mounted with `hidepid`, and this process is not in the group that this spares."""
    capabilities: frozenset[str]
    """In effect, of the two that matter here."""


def parse_capabilities(status: str) -> frozenset[str]:
    """Those of the two capabilities that a /proc/PID/status shows in effect."""
    for line in status.splitlines():
        if line.startswith("CapEff:"):
            bits = int(line.removeprefix("CapEff:"), 16)
            return frozenset(name for name, number in _NUMBERS.items() if bits >> number & 1)
    return frozenset()


def hides_others(mount: Mount | None, groups: Collection[int]) -> bool:
    """Whether a mount of /proc hides other users' processes from a process of these groups."""
    if mount is None or mount.options.get("hidepid", "0") in ("0", "off"):
        return False
    spared = mount.options.get("gid", "0")
    return not (spared.isdecimal() and int(spared) in groups)


def read_sight(proc: Path = PROC) -> Sight:
    """The sight of this process. Raises OSError where /proc is not as it should be."""
    groups = {os.getegid(), *os.getgroups()}
    return Sight(
        host_pids=os.readlink(proc / "self/ns/pid") == _HOST_PIDS,
        hidden=hides_others(mount_of(proc, read_mounts(proc)), groups),
        capabilities=parse_capabilities((proc / "self/status").read_text(encoding="utf-8", errors="replace")),
    )


def blindness(sight: Sight) -> str:
    """Why processes on the GPUs cannot be seen, and what mends it; empty where no right is missing for that."""
    if not sight.host_pids:
        return (
            "the agent is not in the host's PID namespace, whose pids the driver tells; "
            "run it there: docker run --pid=host, Kubernetes hostPID: true"
        )
    if sight.hidden and SYS_PTRACE not in sight.capabilities:
        return (
            "/proc hides the processes of other users (hidepid); give the agent CAP_SYS_PTRACE, "
            "or the group of the mount option gid="
        )
    return ""
