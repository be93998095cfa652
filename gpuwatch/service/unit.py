"""The text of the units: the packaged ones, with this installation in them. Nothing is written here."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files
from pathlib import Path

from gpuwatch.errors import ServiceError

UNIT_NAME = "gpuwatch.service"
REPORT_NAME = "gpuwatch-report.service"
TIMER_NAME = "gpuwatch-report.timer"
NOTIFY_NAME = "gpuwatch-notify.service"
_PACKAGED_COMMAND = "ExecStart=/usr/bin/env gpuwatch "
_DIGEST = re.compile(r"^ConfigSha256=([0-9a-f]{64})$", re.MULTILINE)
_PLAIN_PATH = re.compile(r"/[\w./+@:-]+", re.ASCII)


def read_packaged_unit(name: str) -> str:
    """A unit as it is shipped."""
    return files("gpuwatch.service").joinpath(name).read_text(encoding="utf-8")


def unit_of(packaged: str, *, command: Path, version: str, config_sha256: str) -> str:
    """The unit of the agent that `command` is.

    systemd leaves a section alone whose name begins with `X-`. There the unit says which version wrote it, so that an
    update of the package changes it, and what was written as the configuration, so that an edited one is known.
    Raises ServiceError where the path has characters that mean something in a unit.
    """
    note = f"\n[X-Gpuwatch]\nVersion={version}\n"
    return started_by(packaged, command) + note + (f"ConfigSha256={config_sha256}\n" if config_sha256 else "")


def started_by(packaged: str, command: Path) -> str:
    """A unit that starts `command` where the packaged one starts gpuwatch. Raises ServiceError as `unit_of` does."""
    if not _PLAIN_PATH.fullmatch(str(command)):
        raise ServiceError(f"the path {str(command)!r} cannot stand in a unit: install gpuwatch at a plain one")
    if packaged.count(_PACKAGED_COMMAND) != 1:
        raise ServiceError("a packaged unit is not as it was shipped: install gpuwatch again")
    return packaged.replace(_PACKAGED_COMMAND, f"ExecStart={command} ")


def parse_config_sha256(unit: str) -> str:
    """The digest of the configuration that was written with this unit; empty where none was."""
    match = _DIGEST.search(unit)
    return match[1] if match else ""


def sha256(data: bytes) -> str:
    """The digest as the unit notes it."""
    return hashlib.sha256(data).hexdigest()
