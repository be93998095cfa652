"""The time zone of a report: the one that is named, else the machine's."""

from __future__ import annotations

from datetime import UTC, tzinfo
from difflib import get_close_matches
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

from gpuwatch.errors import UsageError

_LOCALTIME = Path("/etc/localtime")
_FOLDER = "zoneinfo/"


def read_zone(name: str | None, *, local: str = "", localtime: Path = _LOCALTIME) -> tzinfo:
    """The zone called `name` (of the IANA database); without one `local`, the value of TZ, then /etc/localtime.

    Raises UsageError for a name that is none. A TZ that is no name of a zone, and a machine that has none, are UTC.
    """
    if name is not None:
        if (zone := _named(name)) is None:
            raise UsageError(f"--tz {name!r} is no time zone that this machine knows; {_hint(name)}")
        return zone
    if local:
        return _named(local.removeprefix(":")) or UTC
    return _read_local(localtime)


def _named(name: str) -> tzinfo | None:
    if name.upper() in ("UTC", "Z"):
        return UTC  # also where the machine has no database of zones
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return None


def _read_local(localtime: Path) -> tzinfo:
    """The zone that a file like /etc/localtime is, by its name where it is a link."""
    _, found, name = str(localtime.resolve()).partition(_FOLDER)
    if found and (zone := _named(name)) is not None:
        return zone
    try:
        with localtime.open("rb") as file:
            return ZoneInfo.from_file(file, key="local")
    except (OSError, ValueError):
        return UTC


def _hint(name: str) -> str:
    last = {zone.rpartition("/")[2].lower(): zone for zone in sorted(available_timezones())}
    close = get_close_matches(name.rpartition("/")[2].lower(), last, n=1)
    return f"did you mean {last[close[0]]}?" if close else "name one like Europe/Berlin or UTC"
