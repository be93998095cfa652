"""How figures are written for people: hours, shares that add up, money, energy, stretches of time. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from gpuwatch.units import DAY, HOUR, MINUTE

JOULES_IN_KWH: Final = 3_600_000
_THREE_FIGURES: Final = 99.95
"""From here on a number has three figures before its point."""


def written_number(number: float, digits: int | None = None) -> str:
    """With separators, and with so many digits after the point: `1,234`, `56.7`, `<0.1`, `0`.

    Without `digits` it is one under 100, and none from there on.
    """
    if number <= 0:
        return "0"
    places = digits_for(number, _THREE_FIGURES) if digits is None else digits
    least = 10.0**-places
    return f"<{least:.{places}f}" if number < least / 2 else f"{number:,.{places}f}"


def digits_for(largest: float, whole_from: float) -> int:
    """Digits after the point for numbers up to this one, all of which are to have as many."""
    return 0 if largest >= whole_from else 1


def written_hours(seconds: float, digits: int | None = None) -> str:
    """Hours of a GPU, without the unit."""
    return written_number(seconds / HOUR, digits)


def written_energy(joules: float, digits: int | None = None) -> str:
    """In kWh, without the unit."""
    return written_number(joules / JOULES_IN_KWH, digits)


def written_share(ratio: float | None) -> str:
    """In percent, as a typesetter has it: `41 %`; nothing where it is not known."""
    if ratio is None:
        return ""
    return "<1 %" if 0 < ratio < 0.005 else f"{ratio:.0%}".replace("%", " %")


def written_times(ratio: float | None) -> str:
    """How many times as much: `2.4x`; nothing where it is not known."""
    if ratio is None:
        return ""
    return ">100x" if ratio > 100 else f"{ratio:.1f}x"


def written_money(amount: float, currency: str) -> str:
    """With what stands before it; cents only where they are most of it."""
    return f"{currency}{amount:,.0f}" if amount >= 10 or amount == 0 else f"{currency}{max(amount, 0.01):,.2f}"


def written_duration(seconds: float) -> str:
    """In the two largest units: `4 d 3 h`, `5 h 20 min`, `7 min`."""
    minutes = int(seconds // MINUTE)
    days, hours = divmod(minutes * MINUTE // HOUR, DAY // HOUR)
    if days:
        return f"{days} d {hours} h" if hours else f"{days} d"
    minutes %= HOUR // MINUTE
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{minutes} min"


def percents(parts: Sequence[float]) -> list[int]:
    """The parts of their sum in whole percents that add up to 100: the largest remainders are rounded up.

    All are 0 where the sum is.
    """
    whole = sum(parts)
    if whole <= 0:
        return [0] * len(parts)
    exact = [part / whole * 100 for part in parts]
    rounded = [math.floor(share) for share in exact]
    missing = 100 - sum(rounded)
    by_remainder = sorted(range(len(parts)), key=lambda index: rounded[index] - exact[index])
    for index in by_remainder[:missing]:
        rounded[index] += 1
    return rounded
