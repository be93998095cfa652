"""Where this gpuwatch is installed, and whether a service may run it from there. Looks, and writes nothing."""

from __future__ import annotations

import os
import stat
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import gpuwatch
from gpuwatch.errors import ServiceError

HIDDEN = tuple(map(Path, ("/home", "/root", "/run/user", "/tmp", "/var/tmp")))
"""What the service does not see, by ProtectHome and PrivateTmp."""
_RIGHT = "install gpuwatch where only root writes, like `python3 -m venv /opt/gpuwatch`, and run its install-service"


class Installation(NamedTuple):
    """The command, and all that it runs: the interpreter and the package."""

    command: Path
    parts: tuple[Path, ...]


def this_installation() -> Installation:
    """The installation that this process runs from."""
    command = Path(sysconfig.get_path("scripts"), "gpuwatch")
    return Installation(command, (Path(sys.executable), Path(sys.base_prefix), Path(gpuwatch.__file__).parent))


def check_installation(installation: Installation, root: Path) -> Path:
    """The command by the path that it has for a service of the system at `root`.

    What lies in the image at `root` is known there by its path below it; anything else has the same path there as here.
    Raises ServiceError where the service would not find it, or where somebody but root could change what it runs.
    """
    command = _below(installation.command, root)
    if not os.access(root / command.relative_to("/"), os.X_OK):
        raise ServiceError(f"there is no command {root / command.relative_to('/')}: {_RIGHT}")
    for part in (installation.command, *installation.parts):
        for path in (part, part.resolve()):
            inside = _below(path, root)
            for hidden in HIDDEN:
                if inside.is_relative_to(hidden):
                    raise ServiceError(f"{inside} is in {hidden}, which the service does not see: {_RIGHT}")
            if inside != path or root == Path("/"):
                _check_writers(root / step.relative_to("/") for step in (inside, *inside.parents))
    return command


def _below(path: Path, root: Path) -> Path:
    root = root.resolve()
    return Path("/", path.relative_to(root)) if path.is_relative_to(root) else path


def _check_writers(paths: Iterable[Path]) -> None:
    for path in paths:
        about = path.stat()
        if about.st_uid != 0:
            raise ServiceError(f"{path} belongs to uid {about.st_uid}, and the service has rights over all: {_RIGHT}")
        if about.st_mode & stat.S_IWOTH and not about.st_mode & stat.S_ISVTX:
            raise ServiceError(f"anybody can write to {path}, and the service has rights over all: {_RIGHT}")
