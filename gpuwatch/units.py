"""How many of the units in which drivers and kernels speak make one of those used everywhere else (s, J, W, B, Hz).

And how numbers are written in the names of runs, and lengths of time by people.
"""

import re

MILLIS = 1000
MICROS = 1_000_000
NANOS = 1_000_000_000
PERCENTS = 100
MEGA = 1_000_000
"""Hertz in a megahertz."""
MINUTE = 60
HOUR = 3600
DAY = 86400

_LENGTH = re.compile(r"([0-9]{1,5})\s?([mhd])", re.ASCII)
_LENGTHS = {"m": MINUTE, "h": HOUR, "d": DAY}
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def base36(number: int) -> str:
    """A non-negative number in base 36."""
    digits = ""
    while number:
        number, digit = divmod(number, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits or "0"


def parse_duration(text: str) -> int:
    """The seconds of `30m`, `2h` or `14d`. Raises ValueError that says what would be right."""
    match = _LENGTH.fullmatch(text.strip())
    if match is None or not int(match[1]):
        raise ValueError("a length of time is a number with m, h or d behind it, like 30m, 2h or 14d")
    return int(match[1]) * _LENGTHS[match[2]]
