"""How figures and other people's text are written in a terminal. Pure."""

from __future__ import annotations

from typing import Final

from rich.cells import cell_len, set_cell_size

from gpuwatch.attribute.text import printable
from gpuwatch.units import DAY, HOUR, MINUTE

NOTHING: Final = "-"
_GIB: Final = 2**30
_LONGEST: Final = 400
"""Characters of a sentence."""


def plain(text: str) -> str:
    """Without what moves a cursor or changes direction."""
    if text.isascii() and text.isprintable():  # most is, and a fleet has thousands of names
        return text.strip()[:_LONGEST]
    return printable(text, _LONGEST)


def breadth(text: str) -> int:
    """How many columns of the terminal it takes."""
    return len(text) if text.isascii() else cell_len(text)


def fitted(text: str, width: int, *, right: bool = False) -> str:
    """In exactly so many columns of the terminal: filled with spaces, or cut, and then with an ellipsis."""
    size = breadth(text)
    if size > width:
        return f"{set_cell_size(text, width - 1)}…" if width > 0 else ""
    space = " " * (width - size)
    return space + text if right else text + space


def percent(ratio: float | None) -> str:
    """A ratio in whole percent."""
    return "?" if ratio is None else f"{ratio:.0%}"


def memory(used: float | None, capacity: float | None) -> str:
    """Bytes of bytes."""
    return "?" if used is None or capacity is None else f"{used / _GIB:.0f}/{capacity / _GIB:.0f} GiB"


def length(seconds: float) -> str:
    """A length of time, in one unit."""
    minutes = int(seconds // MINUTE)
    if minutes < 1:
        return f"{seconds:.0f} s"
    if minutes < 120:
        return f"{minutes} min"
    return f"{seconds / HOUR:.1f} h" if seconds < 2 * DAY else f"{seconds / DAY:.1f} d"


def verdict(name: str) -> str:
    """As people read it."""
    return plain(name).replace("_", " ")


def counted(many: int, what: str) -> str:
    """`1 GPU`, `2 GPUs`."""
    return f"{many} {what}{'' if many == 1 else 's'}"
