"""The state directory: can totals be kept there, and will they last? Writes nothing and takes no lock."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import NamedTuple

from gpuwatch.check.finding import Finding, fail, ok, warn
from gpuwatch.sense.mounts import Mount, mount_of, read_mounts
from gpuwatch.state.file import FILE_NAME
from gpuwatch.units import MEGA

PROC = Path("/proc")
_ENOUGH_BYTES = 100 * MEGA
"""Three times what 90 days take: docs/figures.md."""
_PASSING = {"tmpfs", "ramfs", "overlay", "rootfs", "squashfs"}
"""In memory, or a container's: gone with a reboot or with the container."""
_ELSEWHERE = "gpuwatch agent --state-dir DIR, with a directory on a local disk"
_REMOTE = {
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "lustre",
    "gpfs",
    "beegfs",
    "ceph",
    "9p",
    "afs",
    "glusterfs",
    "pvfs2",
    "wekafs",
}


class DiskFacts(NamedTuple):
    """The directory, or the nearest one above it that is there."""

    directory: Path
    nearest: Path
    is_directory: bool
    writable: bool
    """This user may make files there, and write the state file if it is there."""
    owner: int
    mount: Mount | None
    free_bytes: int

    @property
    def exists(self) -> bool:
        """The directory itself is there."""
        return self.nearest == self.directory


def read_disk(directory: Path, proc: Path = PROC) -> DiskFacts:
    """The directory as this process finds it. Raises OSError where not even a parent can be looked at."""
    directory = directory.absolute()
    nearest = next(path for path in (directory, *directory.parents) if _is_there(path))
    about, file = nearest.stat(), directory / FILE_NAME
    space, may_enter = os.statvfs(nearest), _may(nearest, os.W_OK | os.X_OK)
    return DiskFacts(
        directory=directory,
        nearest=nearest,
        is_directory=nearest.is_dir(),
        writable=may_enter and (not _is_there(file) or _may(file, os.R_OK | os.W_OK)),
        owner=about.st_uid,
        mount=mount_of(nearest.resolve(), read_mounts(proc)),
        free_bytes=space.f_bavail * space.f_frsize,
    )


def judge_disk(facts: DiskFacts, *, uid: int) -> list[Finding]:
    """One finding: what is worst about the directory."""
    return [_judge_use(facts, uid) or _judge_lasting(facts)]


def _judge_use(facts: DiskFacts, uid: int) -> Finding | None:
    """What keeps the agent from using the directory at all."""
    where, lost = str(facts.directory), "the agent does not start"
    if not facts.is_directory:
        return fail("state", f"{facts.nearest} is no directory", lost=lost, mend=_ELSEWHERE)
    if facts.mount and "ro" in facts.mount.options:
        lost = "all totals start at 0 with each start of the agent"
        return fail("state", f"{where} is on a read-only {facts.mount.kind}", lost=lost, mend=_ELSEWHERE)
    if not facts.writable:
        found = f"uid {uid} cannot write {where}: {facts.nearest} is uid {facts.owner}'s"
        mend = f"install -d -o {uid} {shlex.quote(where)} && chown -R {uid} {shlex.quote(where)}"
        return fail("state", found, lost=lost, mend=mend)
    return None


def _judge_lasting(facts: DiskFacts) -> Finding:
    """How long what is kept there lasts."""
    where, kind = str(facts.directory), facts.mount.kind if facts.mount else "an unknown file system"
    free = f"{facts.free_bytes / MEGA:.0f} MB free"
    if kind in _PASSING:
        lost = "totals end with the next reboot, or with the container"
        return warn("state", f"{where} is on {kind}", lost=lost, mend=_ELSEWHERE)
    if kind in _REMOTE or kind.startswith("fuse"):
        lost = "safety: SQLite's log does not work over a network, and a hang there stops the agent"
        return warn("state", f"{where} is on {kind}", lost=lost, mend=_ELSEWHERE)
    if facts.free_bytes < _ENOUGH_BYTES:
        mend = f"free {_ENOUGH_BYTES // MEGA} MB there, or {_ELSEWHERE}"
        return warn("state", f"{where}: {free}", lost="totals, once the disk is full", mend=mend)
    return ok("state", f"{where}{'' if facts.exists else ' can be made'} on {kind}, {free}")


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return False
    return True


def _may(path: Path, how: int) -> bool:
    return os.access(path, how, effective_ids=True)
