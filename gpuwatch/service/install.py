"""Putting the service on a machine or into an image, and taking it away: each safe to repeat."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from gpuwatch.errors import ServiceError
from gpuwatch.service.place import Place, files_in, read_if_there, remove, remove_if_empty, restoring, write
from gpuwatch.service.systemctl import Systemctl
from gpuwatch.service.unit import (
    NOTIFY_NAME,
    REPORT_NAME,
    TIMER_NAME,
    UNIT_NAME,
    parse_config_sha256,
    read_packaged_unit,
    sha256,
    started_by,
    unit_of,
)


class Removal(NamedTuple):
    """What was taken away, and what was not because it is somebody's data."""

    removed: list[Path]
    kept: list[Path]


def install(place: Place, systemctl: Systemctl, *, command: Path, version: str, config: str) -> list[Path]:
    """Write the units that start `command`, and `config` where there is no configuration; have the agent start at boot.

    The timer of the weekly report, and who tells the fleet's people, are written and not enabled: one host has them.

    Returns what was written: nothing where all was there already. Raises ServiceError, and leaves things as they were.
    """
    before = read_if_there(place.unit)
    wanted: dict[Path, bytes] = {}
    digest = parse_config_sha256(before.decode("utf-8", "replace")) if before else ""
    if not os.path.lexists(place.config):
        wanted[place.config] = config.encode()
        digest = sha256(wanted[place.config])
    units = {
        place.unit: unit_of(read_packaged_unit(UNIT_NAME), command=command, version=version, config_sha256=digest),
        place.report: started_by(read_packaged_unit(REPORT_NAME), command),
        place.timer: read_packaged_unit(TIMER_NAME),
        place.notify: started_by(read_packaged_unit(NOTIFY_NAME), command),
    }
    wanted |= {path: unit.encode() for path, unit in units.items() if unit.encode() != read_if_there(path)}
    try:
        with restoring(list(wanted)):
            for path, data in wanted.items():
                write(path, data)
            systemctl.reload()
            systemctl.enable()
    except ServiceError:
        with suppress(ServiceError):  # what went wrong first is told
            systemctl.reload()
        raise
    return list(wanted)


def start(systemctl: Systemctl, *, anew: bool) -> str:
    """Start the installed service and wait until it serves; what it says of itself. Raises ServiceError."""
    try:
        systemctl.start(anew=anew)
        state = systemctl.show("ActiveState")
    except ServiceError as error:
        raise ServiceError(
            f"{UNIT_NAME} is installed, and does not start: {error}; `journalctl -u gpuwatch` says why, "
            "`gpuwatch uninstall-service` takes it away"
        ) from error
    if state != "active":
        raise ServiceError(f"{UNIT_NAME} is installed, and {state}: `journalctl -u gpuwatch` says why")
    return systemctl.show("StatusText")


def uninstall(place: Place, systemctl: Systemctl, *, purge: bool) -> Removal:
    """Stop the service, and take away all that `install` wrote.

    An edited configuration, drop-ins and the record are somebody's data, and go only with `purge`. Raises ServiceError.
    """
    unit = read_if_there(place.unit)
    ours, theirs = _sorted(place, unit or b"")
    removed = [path for path in ([*theirs, *ours] if purge else ours) if os.path.lexists(path)]
    kept = [path for path in theirs if os.path.lexists(path) and not purge]
    there = [path.name for path in (place.timer, place.report, place.notify, place.unit) if path.exists()]
    systemctl.stop(there)
    systemctl.disable(there)
    try:
        for path in removed:
            remove(path)
        for folder in (*place.drop_ins, place.config.parent):
            remove_if_empty(folder)
    except OSError as error:
        left = ", ".join(str(path) for path in removed if os.path.lexists(path))
        raise ServiceError(f"{error}; the service is stopped, and still there: {left or 'an empty folder'}") from error
    systemctl.reload()
    return Removal(removed, kept)


def _sorted(place: Place, unit: bytes) -> tuple[list[Path], list[Path]]:
    """What is ours to remove, the unit last because it notes what the rest was; and what is somebody's data."""
    written = parse_config_sha256(unit.decode("utf-8", "replace"))
    config = read_if_there(place.config)
    ours = [place.config] if config is not None and sha256(config) == written else []
    theirs = [path for folder in (place.config.parent, *place.drop_ins) for path in files_in(folder)]
    ours += [*place.links, place.timer, place.report, place.notify, place.unit]
    return ours, [path for path in (*theirs, *place.record) if path not in ours]
