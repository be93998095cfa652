"""How names and figures are written in messages. Pure: all names are other people's text, and hostile."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Final

from gpuwatch.units import DAY, HOUR, MINUTE

_FORBIDDEN: Final = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})
"""Unicode categories: what moves a cursor, changes direction, or is nothing that could be seen."""
_LONGEST_NAME: Final = 80
_LONGEST_LINK: Final = 1000
_GIB: Final = 2**30


def plain(text: str, longest: int = _LONGEST_NAME) -> str:
    """On one line, without characters that are none to read, and cut; a dash where nothing is left."""
    kept = "".join(c for c in text if unicodedata.category(c) not in _FORBIDDEN).strip()
    return cut(kept, longest) or "-"


def cut(text: str, longest: int) -> str:
    """At most so many characters, the last of which tells that there were more."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def web_link(url: str) -> str:
    """A link that may be shown: of the web, and of plain characters; empty for any other."""
    fits = url.startswith(("https://", "http://")) and url.isascii() and url.isprintable() and " " not in url
    return url if fits and len(url) <= _LONGEST_LINK else ""


def moment(unix: float, zone: tzinfo | None) -> str:
    """`Fri 20 Nov 13:02 UTC`, in a zone, or in the system's."""
    return f"{datetime.fromtimestamp(unix, UTC).astimezone(zone):%a %d %b %H:%M %Z}".strip()


def clock(unix: float, zone: tzinfo | None) -> str:
    """`13:02`."""
    return f"{datetime.fromtimestamp(unix, UTC).astimezone(zone):%H:%M}"


def span(seconds: float) -> str:
    """A stretch of time in the two largest units: `1 d 2 h`, `1 h 12 min`, `7 min`."""
    days, rest = divmod(max(0, int(seconds)), DAY)
    hours, minutes = rest // HOUR, rest % HOUR // MINUTE
    parts = [(days, "d"), (hours, "h")] if days else [(hours, "h"), (minutes, "min")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 min"


def gpu_hours(seconds: float) -> str:
    """Of device time, with its unit."""
    return f"{seconds / HOUR:,.1f} GPU-hours"


def percent(ratio: float) -> str:
    """`2 %`; `<1 %` of what is not nothing."""
    return "<1 %" if 0 < ratio < 0.005 else f"{ratio * 100:.0f} %"


def gibibytes(size: float) -> str:
    """Bytes, with the unit."""
    return f"{size / _GIB:,.0f} GiB" if size == 0 or size >= _GIB / 2 else "<1 GiB"


def counted(many: int, what: str) -> str:
    """`1 GPU`, `2 GPUs`."""
    return f"{many} {what}{'' if many == 1 else 's'}"


def listed(items: Sequence[str], most: int) -> str:
    """`a, b and 3 more`."""
    shown = ", ".join(items[:most])
    return shown if len(items) <= most else f"{shown} and {len(items) - most} more"


def by_number(gpus: Iterable[str]) -> list[str]:
    """The indices of GPUs, and of MIG instances (`3:1`), each once and in order."""
    return sorted(set(gpus), key=lambda gpu: [int(part) if part.isdecimal() else -1 for part in gpu.split(":")])
