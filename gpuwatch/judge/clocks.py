"""How long something has gone on in a run on one device: three running clocks, and the last hour. Pure.

They go on minute by minute, and only by time that was seen: what is unknown is neither idle nor proof of work.
"""

from __future__ import annotations

from array import array
from typing import Final, NamedTuple

from gpuwatch.judge.limits import STUCK_FROM, UNDERUSED_OVER, WARM_BELOW
from gpuwatch.units import HOUR, MINUTE

_TRUE_DIGITS: Final = 9
"""Of a ratio: totals are differenced, and what is exactly at a limit must not fall below it by the noise of that."""
_FURTHEST_BACK: Final = 2 * HOUR // MINUTE
"""Minutes: an hour of seen time that reaches back further is no last hour."""
_MILLION: Final = 1_000_000
_ROW: Final = 5
"""Numbers."""


class Charge(NamedTuple):
    """What a run was charged on a device in a minute: seconds and joules of that device.

    A busy minute without joules, or without SM-active seconds, is one of a device that does not tell them.
    """

    held: float
    busy: float
    joules: float = 0.0
    sm_active: float = 0.0


class Stretch(NamedTuple):
    """Time in which something went on, as far as it was seen."""

    since_unix: float
    seen: float = 0.0
    """Seconds in which the device was seen and the run was on it, alone or not."""
    held: float = 0.0
    """Of them those that the run was charged: all, where nobody else was on the device."""
    busy: float = 0.0
    joules: float = 0.0

    def plus(self, more: Stretch) -> Stretch:
        """Both, as one that began when this one did."""
        _, seen, held, busy, joules = more
        return Stretch(self.since_unix, self.seen + seen, self.held + held, self.busy + busy, self.joules + joules)

    @property
    def use(self) -> float | None:
        """Busy by held; None of a stretch of nothing."""
        return round(self.busy / self.held, _TRUE_DIGITS) if self.held > 0 else None

    @property
    def watts(self) -> float | None:
        """Mean power of the device; None where it is not told."""
        return self.joules / self.held if self.held > 0 and self.joules > 0 else None


class Clocks:
    """What is known of one run on one device."""

    __slots__ = ("hour", "idle", "minute", "seen", "stuck", "warm")

    def __init__(self, idle: Stretch, minute: int) -> None:
        self.seen = idle.seen
        """Seconds in all."""
        self.idle = idle
        """Since the last minute at or over the limit of activity."""
        self.stuck = Stretch(idle.since_unix)
        """Since the last minute in which it did not look busy, or the device drew the power of one that computes."""
        self.warm = Stretch(idle.since_unix)
        """Since it first looked busy after the last minute in which the SMs had work, or did not tell."""
        self.hour = Hour()
        self.minute = minute
        """The last one in which the run was seen (unix time by 60)."""

    def add(
        self, minute: int, seen: float, charge: Charge, *, idle_below: float, computing_watts: float | None
    ) -> None:
        """Go on by a minute that is over, in which the run was seen for so many seconds.

        `computing_watts` is what a device draws at least that computes; None where that is unknown.
        """
        end = (minute + 1.0) * MINUTE
        piece = Stretch(end - seen, seen, charge.held, charge.busy, charge.joules)
        activity, watts, sm = piece.use or 0.0, piece.watts, charge.sm_active / charge.held
        looks_idle = activity < idle_below
        looks_stuck = (
            activity >= STUCK_FROM and watts is not None and computing_watts is not None and watts < computing_watts
        )
        # A stretch of being kept warm does not begin with idle time: the first minute of work after it would end up in
        # a run that has been kept warm for long.
        looks_warm = sm < WARM_BELOW and (self.warm.seen > 0 if looks_idle else sm > 0)
        anew = Stretch(end)
        self.idle = self.idle.plus(piece) if looks_idle else anew
        self.stuck = self.stuck.plus(piece) if looks_stuck else anew
        self.warm = self.warm.plus(piece) if looks_warm else anew
        self.hour.add(minute, piece)
        self.seen += seen
        self.minute = minute


class Hour:
    """The newest minutes that make an hour of seen time, or what there is of it."""

    __slots__ = ("_before", "_rows")

    def __init__(self) -> None:
        # Numbers in a row, as the agent keeps this of every run on every device: a tenth of what records would take.
        self._rows = array("q")
        """Of each minute its number, and the running totals at its end: seconds seen, held and busy, and joules.

        In whole millionths: the difference of two is exact, however long they have been running.
        """
        self._before = array("q", (0, 0, 0, 0))
        """The running totals at the beginning of the first of them."""

    def add(self, minute: int, piece: Stretch) -> None:
        """Add the newest minute, and let go of what is too old; of what is still to come, too, if a clock was set."""
        rows = self._rows
        while rows and rows[-_ROW] >= minute:
            del rows[-_ROW:]
        seen, held, busy, joules = rows[1 - _ROW :] or self._before
        rows.extend(
            (
                minute,
                seen + round(piece.seen * _MILLION),
                held + round(piece.held * _MILLION),
                busy + round(piece.busy * _MILLION),
                joules + round(piece.joules * _MILLION),
            )
        )
        while rows[0] <= minute - _FURTHEST_BACK or rows[1 - _ROW] - rows[1] >= UNDERUSED_OVER * _MILLION:
            self._before = rows[1:_ROW]
            del rows[:_ROW]

    def total(self) -> Stretch | None:
        """All of it, as one stretch; None before there is any."""
        if not self._rows:
            return None
        was_seen, was_held, was_busy, had_joules = self._before
        seen, held, busy, joules = self._rows[1 - _ROW :]
        minute, first = self._rows[:2]
        return Stretch(
            (minute + 1.0) * MINUTE - (first - was_seen) / _MILLION,
            (seen - was_seen) / _MILLION,
            (held - was_held) / _MILLION,
            (busy - was_busy) / _MILLION,
            (joules - had_joules) / _MILLION,
        )
