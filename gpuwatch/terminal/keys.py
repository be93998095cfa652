"""From what a keyboard sends to what was meant. Pure."""

from __future__ import annotations

import re
from typing import Final

QUIT: Final = "quit"
SORT: Final = "sort"
FILTER: Final = "filter"
UP: Final = "up"
DOWN: Final = "down"
PAGE_UP: Final = "page up"
PAGE_DOWN: Final = "page down"
FIRST: Final = "first"
LAST: Final = "last"

_KEYS: Final = {
    b"q": QUIT, b"Q": QUIT, b"s": SORT, b"f": FILTER, b"k": UP, b"j": DOWN, b"g": FIRST, b"G": LAST, b" ": PAGE_DOWN,
    b"\x1b[A": UP, b"\x1bOA": UP, b"\x1b[B": DOWN, b"\x1bOB": DOWN, b"\x1b[5~": PAGE_UP, b"\x1b[6~": PAGE_DOWN,
    b"\x1b[H": FIRST, b"\x1bOH": FIRST, b"\x1b[1~": FIRST, b"\x1b[F": LAST, b"\x1bOF": LAST, b"\x1b[4~": LAST,
}  # fmt: skip
_ONE: Final = re.compile(rb"\x1b[\[O][0-9;]*[A-Za-z~]|.", re.DOTALL)


def parse_keys(sent: bytes) -> list[str]:
    """What was meant by each key; nothing by one that means nothing."""
    return [_KEYS[key] for key in _ONE.findall(sent) if key in _KEYS]
