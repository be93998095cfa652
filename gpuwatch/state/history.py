"""The record of one node, as its state has it: what reports ask (`gpuwatch.model.history.Source`).

A bin is in a window if it begins there. So a window's edge means the first bin that begins at or after it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from gpuwatch.model.history import Extent, Filters, Fleet, Question, RunRecord, Usage, Values, Window, WorstRun
from gpuwatch.model.identity import Owner
from gpuwatch.state import charges, run
from gpuwatch.state.readonly import Reader
from gpuwatch.state.saved import MISSED_SECONDS
from gpuwatch.units import DAY, HOUR, MINUTE


class History:
    """What a state has of the past, seen at `now_unix`. Raises StateError, from any method, where it cannot be read."""

    def __init__(self, reader: Reader, *, now_unix: float) -> None:
        self.reader = reader
        self._now_unix = now_unix
        ends = reader.ask(
            "since when there are days only, hours, and minutes",
            f"SELECT (SELECT max(start) + {DAY} FROM device_day), (SELECT max(start) + {HOUR} FROM device_hour)",
            {},
        )
        self._days_until, self._hours_until = (-math.inf if end is None else end for end in ends[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the state."""
        self.reader.close()

    @property
    def name(self) -> str:
        """Where it is."""
        return f"the record of {self.reader.node} in {self.reader.directory}"

    @property
    def simulated(self) -> bool:
        """A demo made it."""
        return self.reader.simulated

    @property
    def asked(self) -> Sequence[Question]:
        """All SQL that was run so far."""
        return self.reader.asked

    def extent(self, window: Window) -> Extent:
        """What it has of the window."""
        start, end = self._edge(window.start), self._edge(window.end)
        first, newest = self.reader.ask("the extent", "SELECT min(first_unix), max(used_unix) FROM device", {})[0]
        if first is None:
            return Extent(None, None, (), ())
        bins = self.reader.ask("the newest bins before the end", charges.last_bins(), {"start": 0, "end": end})
        began, seconds = max((row for row in bins if row[0] is not None), default=(first, 0))
        last = min(began + seconds, max(began, newest), window.end)
        nodes = (self.reader.node,) if first < end and last >= start - MISSED_SECONDS else ()
        return Extent(first, last if first < end else None, nodes, nodes if began < start else ())

    def usage(self, window: Window, by: Sequence[str], where: Filters) -> dict[Values, Usage]:
        """The use of GPUs in the window, divided by some of KEYS. With no key it is one row, of ()."""
        rows = self.reader.ask(_purpose("usage", by), charges.usage(by, where), self._values(window, where))
        return {row[: len(by)]: Usage(*row[len(by) :]) for row in rows}

    def fleet(self, window: Window, by: Sequence[str], where: Filters) -> dict[Values, Fleet]:
        """What became of all GPUs' time in the window, divided and filtered by some of DEVICE_KEYS."""
        rows = self.reader.ask(_purpose("all GPU time", by), charges.fleet(by, where), self._values(window, where))
        return {row[: len(by)]: Fleet(*row[len(by) :]) for row in rows}

    def worst_runs(self, window: Window, by: Sequence[str], where: Filters) -> dict[Values, WorstRun]:
        """Of each division the run with the most idle time in the window; those without any are left out."""
        rows = self.reader.ask(_purpose("worst run", by), charges.worst_runs(by, where), self._values(window, where))
        return {row[:-7]: WorstRun(Owner(*row[-7:-4]), *row[-4:-1]) for row in rows}

    def find_runs(self, text: str) -> list[Owner]:
        """The runs of this name, else of this name without its source, else of this batch job, else called so.

        The newest is first.
        """
        return run.find_runs(self.reader, text)

    def read_run(self, owner: Owner) -> RunRecord | None:
        """All that there is of a run."""
        return run.read_run(self.reader, owner)

    def _values(self, window: Window, where: Filters) -> dict[str, str | float]:
        return {
            "start": self._edge(window.start),
            "end": self._edge(window.end),
            "now": self._now_unix,
            "node": self.reader.node,
            **charges.values_of(where),
        }

    def _edge(self, unix: float) -> int:
        """The first moment from `unix` on at which a bin can begin: that of a minute, or long ago of an hour or day."""
        seconds = DAY if unix < self._days_until else HOUR if unix < self._hours_until else MINUTE
        return math.ceil(unix / seconds) * seconds


def open_history(directory: Path, *, node: str, now_unix: float) -> History:
    """The record in a state directory, of a node called `node` where the record itself does not say.

    Raises StateError where there is none, or none that can be read.
    """
    reader = Reader(directory, node=node)
    try:
        return History(reader, now_unix=now_unix)
    except BaseException:
        reader.close()
        raise


def _purpose(what: str, by: Sequence[str]) -> str:
    return f"{what} by {', '.join(by)}" if by else f"{what} in all"
