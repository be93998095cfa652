"""What is mounted where, from /proc/self/mountinfo."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import NamedTuple

PROC = Path("/proc")
_LONGEST_FILE = 1 << 20
_ESCAPE = re.compile(r"\\([0-7]{3})")


class Mount(NamedTuple):
    """One mount. `options` are the file system's and the mount's own; one without a value has an empty one."""

    point: PurePath
    kind: str
    """The file system's type: `ext4`, `nfs4`, `proc`."""
    options: dict[str, str]


def parse_mounts(text: str) -> list[Mount]:
    """The mounts in the order in which they were made: of two on one place, the later one is seen."""
    mounts = []
    for line in text.splitlines():
        head, separator, tail = line.partition(" - ")
        fields, (kind, _, of_file_system) = head.split(" "), [*tail.split(" "), "", "", ""][:3]
        if separator and len(fields) >= 6:
            point = _ESCAPE.sub(lambda code: chr(int(code[1], 8)), fields[4])
            pairs = (option.partition("=") for option in f"{of_file_system},{fields[5]}".split(","))
            mounts.append(Mount(PurePath(point), kind, {name: value for name, _, value in pairs}))
    return mounts


def read_mounts(proc: Path = PROC) -> list[Mount]:
    """The mounts that this process sees. Raises OSError."""
    with (proc / "self/mountinfo").open("rb", buffering=0) as file:
        parts: list[bytes] = []
        while (part := file.read(65536)) and len(parts) * 4096 < _LONGEST_FILE:
            parts.append(part)
    return parse_mounts(b"".join(parts).decode("utf-8", "replace"))


def mount_of(path: PurePath, mounts: Iterable[Mount]) -> Mount | None:
    """The mount that an absolute path without links is on."""
    found = None
    for mount in mounts:
        if path.is_relative_to(mount.point) and (found is None or len(mount.point.parts) >= len(found.point.parts)):
            found = mount
    return found
