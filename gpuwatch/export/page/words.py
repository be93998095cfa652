"""How names, times and figures are written on the page. Pure: all names are other people's text, and hostile."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from gpuwatch.units import DAY, HOUR, MINUTE, PERCENTS

_FORBIDDEN: Final = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})
"""Unicode categories: what moves a cursor, changes direction, or is nothing that could be seen."""
_LONGEST_NAME: Final = 80
_LONGEST_LINK: Final = 1000
LONGEST_SENTENCE: Final = 300
"""Characters of what somebody has written to be read."""
_GIB: Final = 2**30


def plain(text: str, longest: int = _LONGEST_NAME) -> str:
    """On one line, without characters that are none to read, and cut; a dash where nothing is left."""
    fits = text.isprintable()  # nearly all texts are, and that is told a hundred times sooner
    kept = (text if fits else "".join(c for c in text if unicodedata.category(c) not in _FORBIDDEN)).strip()
    cut = kept if len(kept) <= longest else f"{kept[: longest - 1]}…"
    return cut or "-"


def web_link(url: str) -> str:
    """A link that may be shown: of the web, and of plain characters; empty for any other."""
    fits = url.startswith(("https://", "http://")) and url.isascii() and url.isprintable() and " " not in url
    return url if fits and len(url) <= _LONGEST_LINK else ""


def span(seconds: float) -> str:
    """A stretch of time in its two largest units: `1 d 2 h`, `1 h 12 min`, `7 min`."""
    days, rest = divmod(max(0, int(seconds)), DAY)
    hours, minutes = rest // HOUR, rest % HOUR // MINUTE
    parts = [(days, "d"), (hours, "h")] if days else [(hours, "h"), (minutes, "min")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 min"


def percent(ratio: float) -> str:
    """`2 %`; `<1 %` of what is not nothing."""
    return "<1 %" if 0 < ratio < 0.005 else f"{ratio * PERCENTS:.0f} %"


def hours(seconds: float) -> str:
    """Of GPUs, without the unit: `1,234`, `56.7`, `<0.1`, `0`."""
    number = seconds / HOUR
    if number <= 0:
        return "0"
    return "<0.1" if number < 0.05 else f"{number:,.0f}" if number >= 99.95 else f"{number:.1f}"


def gibibytes(size: float) -> str:
    """Bytes, without the unit."""
    return f"{size / _GIB:,.0f}" if size == 0 or size >= _GIB / 2 else "<1"


def counted(many: int, what: str) -> str:
    """`1 process`, `2 GPUs`."""
    return f"{many} {what}{'' if many == 1 else 'es' if what.endswith('s') else 's'}"


def local(unix: float) -> datetime:
    """A moment by this machine's calendar."""
    return datetime.fromtimestamp(unix, UTC).astimezone()


def percents(parts: Sequence[float]) -> list[int]:
    """The parts of their sum in whole percents that add up to 100: the largest remainders are rounded up."""
    whole = sum(parts)
    if whole <= 0:
        return [0] * len(parts)
    exact = [part / whole * PERCENTS for part in parts]
    rounded = [int(share) for share in exact]
    by_remainder = sorted(range(len(parts)), key=lambda index: rounded[index] - exact[index])
    for index in by_remainder[: PERCENTS - sum(rounded)]:
        rounded[index] += 1
    return rounded
