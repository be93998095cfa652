"""The rights of this process: what it may see of others by its capabilities, and what it really can.

Another process's environment is opened, and never read.
"""

from __future__ import annotations

import os
import pwd
import resource
from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from gpuwatch.check.finding import Finding, fail, ok, warn
from gpuwatch.sense.sight import DAC_READ_SEARCH, PROC, SYS_PTRACE, Sight, blindness, read_sight

_NEEDED = (SYS_PTRACE, DAC_READ_SEARCH)
_ENOUGH_FILES = 1024
"""A descriptor for each of 512 clients, and for as many processes on the GPUs."""
_MOST_TRIED = 64
_AMBIENT = "--inh-caps=+sys_ptrace,+dac_read_search --ambient-caps=+sys_ptrace,+dac_read_search"
AS_SERVICE = (
    f"setpriv --reuid=gpuwatch --regid=gpuwatch --clear-groups {_AMBIENT} "
    "gpuwatch check --state-dir /var/lib/gpuwatch (while the service runs: its user exists only then)"
)


class Trial(NamedTuple):
    """Programs of other users that were tried, and of how many the thing could be had."""

    tried: int
    environments: int
    descriptors: int


class RightsFacts(NamedTuple):
    """Who this process is and what came of its trials."""

    uid: int
    user: str
    sight: Sight
    others: int
    """Processes of other users that it sees."""
    trial: Trial
    most_files: int
    """The hard limit of open files."""


def read_rights(proc: Path = PROC) -> RightsFacts:
    """The rights of this process. Raises OSError where /proc is not as it should be."""
    uid = os.geteuid()
    others = [path for path in proc.iterdir() if path.name.isdecimal() and _owner(path) not in (uid, None)]
    return RightsFacts(
        uid=uid,
        user=_read_user(uid),
        sight=read_sight(proc),
        others=len(others),
        trial=_try(islice((path for path in others if _is_program(path)), _MOST_TRIED)),
        most_files=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
    )


def judge_rights(facts: RightsFacts) -> list[Finding]:
    """For whom this is judged, and what this user can see of the others."""
    who = "root" if facts.uid == 0 else f"uid {facts.uid}{f' ({facts.user})' if facts.user else ''}"
    held = [name for name in _NEEDED if name in facts.sight.capabilities]
    return [
        ok("user", f"judged as {who}, with {' and '.join(held) or 'neither capability'}", mend=AS_SERVICE),
        _judge_namespace(facts.sight),
        _judge_processes(facts),
        _judge_environments(facts),
        _judge_files(facts.most_files),
    ]


def _judge_namespace(sight: Sight) -> Finding:
    if sight.host_pids:
        return ok("pid-namespace", "the host's")
    lost = "who is on the GPUs: the driver's pids are nobody's here, or another process's"
    mend = "docker run --pid=host, in Kubernetes hostPID: true"
    return fail("pid-namespace", "not the host's", lost=lost, mend=mend)


def _judge_processes(facts: RightsFacts) -> Finding:
    reason = blindness(facts.sight)
    if facts.sight.host_pids and reason:
        reason, _, mend = reason.partition("; ")
        return warn("other-processes", reason, lost="the GPU time of other users is unknown", mend=mend)
    if facts.others:
        return ok("other-processes", f"seen ({facts.others} of other users)")
    return ok("other-processes", "nothing hides them; none of another user runs here now")


def _judge_environments(facts: RightsFacts) -> Finding:
    trial, missing = facts.trial, [name for name in _NEEDED if name not in facts.sight.capabilities]
    if trial.environments and trial.descriptors:
        return ok("other-environments", f"environments and open files can be read (of {trial.tried} programs tried)")
    if not trial.tried and not missing:
        return ok("other-environments", "the capabilities are there; no other user's program runs here to try them on")
    how = f"of none of {trial.tried} programs tried" if trial.tried else "no program of another user was there to try"
    return warn(
        "other-environments",
        f"environments and open files of other users' programs cannot be read: {how}",
        lost="nothing of what was launched from a shell; whatever is recognised by a variable or an open file",
        mend=f"give the agent {' and '.join(missing or _NEEDED)}: by its service, or as in docs/rights.md",
    )


def _judge_files(most: int) -> Finding:
    if most == resource.RLIM_INFINITY or most >= _ENOUGH_FILES:
        return ok("descriptors", "as many as are needed" if most == resource.RLIM_INFINITY else f"up to {most}")
    return warn(
        "descriptors",
        f"at most {most} open files",
        lost="clients are refused, and processes on the GPUs told apart by their start time only, where there are many",
        mend=f"LimitNOFILE=8192 in the unit, or `ulimit -Hn {_ENOUGH_FILES}` as root before the start",
    )


def _try(paths: Iterable[Path]) -> Trial:
    tried = environments = descriptors = 0
    for path in paths:
        tried += 1
        environments += _works(partial(_open, path / "environ"))
        descriptors += _works(partial(os.listdir, path / "fd"))
    return Trial(tried, environments, descriptors)


def _open(path: Path) -> None:
    """The kernel judges the right when it is opened."""
    path.open("rb").close()


def _works(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except OSError:
        return False
    return True


def _owner(path: Path) -> int | None:
    try:
        return path.stat().st_uid
    except OSError:
        return None  # it has ended


def _is_program(path: Path) -> bool:
    """Not a thread of the kernel, which has no environment, nor a process that has ended."""
    try:
        with (path / "cmdline").open("rb", buffering=0) as file:
            return bool(file.read(1))
    except OSError:
        return False


def _read_user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""
