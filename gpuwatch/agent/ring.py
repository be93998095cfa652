"""Sums over the newest stretches of time, and nothing older: of fixed size, however long the agent runs. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence

_TYPE = "f"
"""Four bytes a number: seven digits are more than a page shows."""


class Ring:
    """Amounts by key over the newest `count` stretches, each of so many `seconds` and with so many amounts."""

    def __init__(self, seconds: int, count: int, width: int) -> None:
        self._seconds = seconds
        self._count = count
        self._width = width
        self._newest = 0
        self._rows: dict[str, array[float]] = {}

    def __iter__(self) -> Iterator[str]:
        """The keys of which there is anything."""
        return iter(self._rows)

    @property
    def newest_unix(self) -> float:
        """When the newest stretch began."""
        return float(self._newest * self._seconds)

    def advance(self, unix: float) -> None:
        """Have the stretch of `unix` as one of them: the newest, unless the clock was set back a little."""
        number = int(unix // self._seconds)
        if abs(number - self._newest) >= self._count:
            self._rows.clear()
            self._newest = number
        for passed in range(self._newest + 1, number + 1):
            self._empty(passed)
        self._newest = max(self._newest, number)

    def add(self, key: str, unix: float, amounts: Sequence[float]) -> None:
        """Add to the stretch of `unix`."""
        self.advance(unix)
        row = self._rows.setdefault(key, array(_TYPE, [0.0]) * (self._count * self._width))
        for place, amount in enumerate(amounts, self._place(int(unix // self._seconds))):
            row[place] += amount

    def of(self, key: str) -> list[tuple[float, ...]]:
        """The amounts of a key, stretch by stretch, oldest first."""
        row = self._rows.get(key, array(_TYPE, [0.0]) * (self._count * self._width))
        numbers = range(self._newest - self._count + 1, self._newest + 1)
        return [tuple(row[self._place(number) : self._place(number) + self._width]) for number in numbers]

    def _empty(self, number: int) -> None:
        start = self._place(number)
        for row in self._rows.values():
            row[start : start + self._width] = array(_TYPE, [0.0]) * self._width
        self._rows = {key: row for key, row in self._rows.items() if any(row)}

    def _place(self, number: int) -> int:
        return number % self._count * self._width
