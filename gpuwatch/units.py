"""How many of the units in which drivers and kernels speak make one of those used everywhere else (s, J, W, B, Hz).

And how numbers are written in the names of runs.
"""

MILLIS = 1000
MICROS = 1_000_000
NANOS = 1_000_000_000
PERCENTS = 100
MEGA = 1_000_000
"""Hertz in a megahertz."""
MINUTE = 60
HOUR = 3600
DAY = 86400

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def base36(number: int) -> str:
    """A non-negative number in base 36."""
    digits = ""
    while number:
        number, digit = divmod(number, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits or "0"
