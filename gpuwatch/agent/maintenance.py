"""What the operator took out of service: one small file in the state directory, written by the command line.

Who may write there is the operator. The agent reads it each second, and must neither wait for it nor stop over it.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gpuwatch.attribute.text import clean
from gpuwatch.errors import StateError
from gpuwatch.model import Drain

log = logging.getLogger(__name__)

FILE_NAME = "maintenance.json"
NODE = "node"
"""The scope of an entry for all GPUs; any other is a device's uuid."""
LONGEST_BYTES = 1 << 18
_LATEST_UNIX = 1e11
_LOCK_SECONDS = 5.0
_LOCK_POLL_SECONDS = 0.05

Drains = Mapping[str, Drain]
"""By scope."""


def drained(uuid: str, drains: Drains, elsewhere: Drain | None = None) -> Drain | None:
    """Why a device is out of service: by itself, with the node or `elsewhere` (the scheduler), whichever came first."""
    reasons = (drains.get(uuid), drains.get(NODE), elsewhere)
    return min((drain for drain in reasons if drain is not None), key=lambda drain: drain.since_unix, default=None)


def with_entries(drains: Drains, new: Drains) -> dict[str, Drain]:
    """`drains` and `new`: what is out of service already stays so as it is, for the new reason if there is one."""
    merged = dict(drains)
    for scope, drain in new.items():
        old = drains.get(scope, drain)
        merged[scope] = old._replace(reason=drain.reason or old.reason)
    return merged


def parse_drains(content: bytes) -> dict[str, Drain]:
    """The file's content. Raises ValueError that says what is wrong with it."""
    try:
        entries = json.loads(content)
    except RecursionError as error:
        raise ValueError("lists within lists without end") from error
    if not isinstance(entries, list):
        raise ValueError("no list of entries")
    return dict(map(_parse_entry, entries))


def _parse_entry(entry: Any) -> tuple[str, Drain]:
    match entry:
        case {"scope": str(scope), "since_unix": int() | float() as since, "reason": str(reason), "by": str(by)}:
            if scope and scope == clean(scope) and 0 <= since < _LATEST_UNIX:
                return scope, Drain(float(since), clean(reason), clean(by))
    raise ValueError("an entry that is none")


def read_drains(directory: Path) -> dict[str, Drain]:
    """What is out of service; nothing where there is no file. Raises StateError where it cannot be used."""
    path = directory / FILE_NAME
    try:
        return parse_drains(_read(path))
    except FileNotFoundError:
        return {}
    except PermissionError as error:
        raise StateError(f"not permitted to read {path}: try with sudo, or have it open to all") from error
    except OSError as error:
        raise StateError(f"cannot read {path} ({error.strerror}): it must be a plain file") from error
    except ValueError as error:
        raise StateError(f"{path} is damaged ({error}): remove it, and say again what is out of service") from error


def _read(path: Path) -> bytes:
    # To open a FIFO would wait for a writer, and to follow a link could be to open anything.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("no regular file")
        content = os.read(descriptor, LONGEST_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(content) > LONGEST_BYTES:
        raise ValueError(f"over {LONGEST_BYTES >> 10} KiB")
    return content


class MaintenanceFile:
    """The file as the agent sees it: looked at each cycle, read when it has changed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / FILE_NAME
        self._seen: tuple[int, ...] | None = ()
        self._drains: Drains = MappingProxyType({})

    def read(self) -> Drains:
        """What is out of service now. A file that cannot be used is told once, and changes nothing."""
        seen = _stamp(self._path)
        if seen != self._seen:
            self._seen = seen
            try:
                self._drains = MappingProxyType(read_drains(self._directory))
            except StateError as error:
                log.error("%s; until then all stays in or out of service as it is", error)
        return self._drains


def _stamp(path: Path) -> tuple[int, ...] | None:
    """What tells one version of the file from another; None where there is none to be seen."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def change(directory: Path, edit: Callable[[Drains], Drains]) -> Drains:
    """Put what `edit` makes of it in the file's place, which survives a loss of power; what is out of service then.

    Makes the directory where there is none. Raises StateError.
    """
    try:
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        with _locked(directory) as descriptor:
            before = read_drains(directory)
            after = edit(before)
            if after != before:
                _replace(directory / FILE_NAME, _text(after))
                os.fsync(descriptor)  # or the new name may not be there after a loss of power
    except PermissionError as error:
        raise StateError(f"not permitted to write in the state directory {directory}: try with sudo") from error
    except OSError as error:
        raise StateError(f"cannot write in the state directory {directory}: {error.strerror}") from error
    return after


def _text(drains: Drains) -> str:
    entries = [{"scope": scope, **drain._asdict()} for scope, drain in sorted(drains.items())]
    return json.dumps(entries, indent=1, ensure_ascii=False) + "\n"


@contextmanager
def _locked(directory: Path) -> Iterator[int]:
    """One change at a time. The directory itself is locked, so no file is left of another owner than the next one's."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise StateError(f"another process holds a lock on {directory}: try again") from error
                time.sleep(_LOCK_POLL_SECONDS)
        yield descriptor
    finally:
        os.close(descriptor)


def _replace(path: Path, text: str) -> None:
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)  # of one that was killed
    with new.open("x", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o644)  # the agent may run as somebody else
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)
