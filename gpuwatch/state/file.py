"""The file itself: its place, its lock, its settings, and what happens to a damaged one."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

from gpuwatch.errors import DiskRefused, StateError
from gpuwatch.state.migrations import migrate

FILE_NAME = "gpuwatch.sqlite3"
SYSTEM_DIRECTORY = Path("/var/lib/gpuwatch")
_LOCK_NAME = "lock"
_MARK_NAME = "SIMULATED"
_DISK_TROUBLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
_COMPANIONS = ("", "-wal", "-shm")


def default_directory() -> Path:
    """`/var/lib/gpuwatch` for root, the user's own state folder for anybody else. Raises StateError without a home."""
    if os.geteuid() == 0:
        return SYSTEM_DIRECTORY
    try:
        return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "gpuwatch"
    except RuntimeError as error:
        raise StateError("this user has no home to keep totals in; name a directory with --state-dir") from error


def lock_directory(directory: Path) -> FileIO:
    """Make the directory and take it for this process; keep the returned file open for as long.

    Raises StateError where it cannot be made or another agent has it.
    """
    try:
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        lock = (directory / _LOCK_NAME).open("ab+", buffering=0)
    except OSError as error:
        raise _refusal(directory, error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.seek(0)
        holder = lock.read(20).decode("ascii", "replace").strip() or "unknown"
        lock.close()
        raise StateError(
            f"another agent (pid {holder}) uses the state directory {directory}: stop it, or name another --state-dir"
        ) from error
    with suppress(OSError):  # who holds it is only told; a full disk must not matter here
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n".encode("ascii"))
    return lock


def is_simulated(directory: Path) -> bool:
    """Whether the totals there are a demo's. Raises OSError where that cannot be seen."""
    return (directory / _MARK_NAME).exists()


def keep_apart(directory: Path, *, simulated: bool) -> None:
    """See that real and simulated totals never meet in a directory: that of simulated ones is marked.

    Raises StateError where it has those of the other kind, or cannot be marked.
    """
    mark = directory / _MARK_NAME
    try:
        if not simulated and mark.exists():
            raise StateError(f"the totals in {directory} are simulated, by `gpuwatch demo`: name another --state-dir")
        if simulated and not mark.exists():
            if (directory / FILE_NAME).exists():
                raise StateError(
                    f"the totals in {directory} are real, and not for a demo: name another --state-dir, or none"
                )
            mark.write_text("The totals here are simulated: `gpuwatch demo` made them.\n", encoding="utf-8")
    except OSError as error:
        raise _refusal(directory, error) from error


def _refusal(directory: Path, error: OSError) -> StateError:
    kind = DiskRefused if error.errno in _DISK_TROUBLE else StateError
    return kind(f"cannot use the state directory {directory}: {error.strerror}; name a writable one with --state-dir")


def open_file(
    path: Path, *, unix: float, durable: bool = True, migrations: Sequence[tuple[str, str]] | None = None
) -> sqlite3.Connection:
    """The state file, or one of another shape, made or brought up to date.

    What is committed survives a loss of power if it is `durable`.

    Raises sqlite3.DatabaseError where it is damaged, its subclass OperationalError where the disk refuses.
    """
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'OFF'}")
        connection.execute("PRAGMA cache_size = -512")
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        migrate(connection, unix=unix, migrations=migrations)
    except BaseException:
        connection.close()
        raise
    return connection


def set_aside(path: Path, *, unix: float) -> Path:
    """Rename a damaged file, and what belongs to it, out of the way; the new name. Nothing is overwritten."""
    stamp = datetime.fromtimestamp(unix, UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.damaged-{stamp}-{number}")
    for companion in _COMPANIONS:
        part = path.with_name(path.name + companion)
        if part.exists():
            part.rename(aside.with_name(aside.name + companion))
    return aside
