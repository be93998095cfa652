"""The files of the service: where each belongs, writing one whole or not at all, and putting back what was there."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gpuwatch.errors import GpuwatchError, ServiceError
from gpuwatch.service.unit import NOTIFY_NAME, REPORT_NAME, TIMER_NAME, UNIT_NAME

_MODE = 0o644


@dataclass(frozen=True, slots=True)
class Place:
    """The paths in the system at `root`."""

    root: Path

    @property
    def units(self) -> Path:
        """The folder of the units that an administrator installs."""
        return self.root / "etc/systemd/system"

    @property
    def unit(self) -> Path:
        """The unit of the agent."""
        return self.units / UNIT_NAME

    @property
    def report(self) -> Path:
        """The unit that delivers a report."""
        return self.units / REPORT_NAME

    @property
    def timer(self) -> Path:
        """What starts that each week, once somebody has enabled it."""
        return self.units / TIMER_NAME

    @property
    def notify(self) -> Path:
        """The unit of who tells the fleet's people, once somebody has enabled it."""
        return self.units / NOTIFY_NAME

    @property
    def links(self) -> tuple[Path, Path, Path]:
        """What starts the agent at boot, and the timer and who tells people where they are enabled."""
        return (
            self.units / "multi-user.target.wants" / UNIT_NAME,
            self.units / "timers.target.wants" / TIMER_NAME,
            self.units / "multi-user.target.wants" / NOTIFY_NAME,
        )

    @property
    def drop_ins(self) -> tuple[Path, ...]:
        """The folders in which `systemctl edit` keeps the operator's changes."""
        return tuple(self.units / f"{name}.d" for name in (UNIT_NAME, REPORT_NAME, TIMER_NAME, NOTIFY_NAME))

    @property
    def config(self) -> Path:
        """The configuration."""
        return self.root / "etc/gpuwatch/config.toml"

    @property
    def record(self) -> tuple[Path, ...]:
        """Where systemd keeps the state of services with a dynamic user: links, and the folders that they point to."""
        names = ("gpuwatch", NOTIFY_NAME.removesuffix(".service"))
        return tuple(self.root / "var/lib" / under / name for name in names for under in ("", "private"))


def read_if_there(path: Path) -> bytes | None:
    """The file's content; None where there is none. Raises ServiceError where it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ServiceError(f"cannot read {path}: {error.strerror}") from error


def files_in(folder: Path) -> list[Path]:
    """What is in a folder, by name; nothing where there is no folder."""
    return sorted(folder.iterdir()) if folder.is_dir() else []


def write(path: Path, data: bytes) -> None:
    """Write the file, whole or not at all, with the folders that it needs. Raises OSError."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, _MODE)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def remove(path: Path) -> None:
    """Remove a file, a link (not what it points to) or a folder with all in it; that there is none is no error."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_if_empty(folder: Path) -> None:
    """Remove a folder that has nothing in it. Raises OSError."""
    if folder.is_dir() and not folder.is_symlink() and not files_in(folder):
        folder.rmdir()


@contextmanager
def restoring(paths: Sequence[Path]) -> Iterator[None]:
    """Where what is done inside fails, these files are put back as they were. Raises ServiceError that tells."""
    before = {path: read_if_there(path) for path in paths}
    missing = {path.parent for path in paths if not path.parent.exists()}
    try:
        yield
    except (OSError, GpuwatchError, KeyboardInterrupt) as error:
        left = [str(path) for path, data in before.items() if not _restored(path, data)]
        for folder in missing:
            remove_if_empty(folder)
        rest = f"could not be put back: {', '.join(left)}" if left else "all files are as they were"
        raise ServiceError(f"{error or 'interrupted'}; {rest}") from error


def _restored(path: Path, data: bytes | None) -> bool:
    with suppress(OSError):
        if data is None:
            remove(path)
        elif read_if_there(path) != data:
            write(path, data)
        return True
    return False
