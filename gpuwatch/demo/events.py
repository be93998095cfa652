"""What happens to the cards themselves, week by week: one is lost on Wednesday, one is serviced on Thursday. Pure.

Times are seconds of UTC; something lasts from after its first moment up to its last.
"""

from __future__ import annotations

from gpuwatch.units import DAY, HOUR, MINUTE

TUESDAY, WEDNESDAY, THURSDAY, FRIDAY, SATURDAY, SUNDAY = range(1, 7)
"""0 is Monday."""
LOST_FROM, LOST_UNTIL = 14 * HOUR + 7 * MINUTE, 15 * HOUR + 2 * MINUTE
"""Seconds of the day for which a GPU does not answer."""
_LOST_GPU = 3
_SERVICED_GPU = 5
_SERVICED_FROM, _SERVICED_UNTIL = 7 * HOUR, 8 * HOUR + 30 * MINUTE
_EDGES = {WEDNESDAY: (LOST_FROM, LOST_UNTIL), THURSDAY: (_SERVICED_FROM, _SERVICED_UNTIL)}


def weekday(day: int) -> int:
    """Of a day counted from 1970-01-01, which was a Thursday."""
    return (day + THURSDAY) % 7


def is_lost(gpu: int, at: float) -> bool:
    """Whether the GPU does not answer at a moment."""
    day, second = divmod(at, DAY)
    return gpu == _LOST_GPU and weekday(int(day)) == WEDNESDAY and LOST_FROM < second <= LOST_UNTIL


def serviced(at: float) -> tuple[int, float] | None:
    """The GPU that is out of service at a moment, and since when. It is one that nobody holds then."""
    day, second = divmod(at, DAY)
    if weekday(int(day)) == THURSDAY and _SERVICED_FROM < second <= _SERVICED_UNTIL:
        return _SERVICED_GPU, day * DAY + _SERVICED_FROM
    return None


def edges_of_day(day: int) -> tuple[int, ...]:
    """The moments of a day at which a GPU goes or is back."""
    return tuple(day * DAY + second for second in _EDGES.get(weekday(day), ()))
