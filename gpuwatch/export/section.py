"""One mapping of the web configuration: its values checked, and what is wrong told in one line. Knows no key itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from gpuwatch.errors import UsageError


class Section:
    """A mapping at `name` ("" is the whole file) of the file at `path`. An absent or blank value is its default."""

    def __init__(
        self, path: Path, name: str, table: object, *, known: Collection[str], refused: Mapping[str, str]
    ) -> None:
        """Keys are `known`, or `refused` for a reason. Raises UsageError for other keys, and where it is no mapping."""
        self._path = path
        self._name = name
        if not isinstance(table, dict | None):
            raise UsageError(f"{path}: {name or 'the configuration'} must be a mapping of {', '.join(known)}")
        self._table: dict[Any, Any] = table or {}
        for key in self._table:
            if key in refused:
                raise UsageError(f"{path}: {self._full(key)} cannot be used: {refused[key]}")
            if key not in known:
                near = get_close_matches(str(key), known, 1)
                hint = f"did you mean {near[0]}?" if near else f"there is: {', '.join(known)}"
                raise UsageError(f"{path}: unknown key {self._full(key)}; {hint}")

    def get(self, key: str) -> object:
        """The value as it stands there."""
        return self._table.get(key)

    def wrong(self, key: str, right: str) -> UsageError:
        """The error for a value that cannot be used."""
        return UsageError(f"{self._path}: {self._full(key)} is {self._table.get(key)!r}, and must be {right}")

    def text(self, key: str) -> str:
        """A string; empty by default."""
        value = self._table.get(key)
        if not isinstance(value, str | None):
            raise self.wrong(key, "a string: put it in quotes")
        return value or ""

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings; empty by default."""
        value = self._table.get(key)
        if not isinstance(value, list | None) or not all(isinstance(item, str) for item in value or []):
            raise self.wrong(key, "a list of strings")
        return tuple(value or [])

    def flag(self, key: str, *, default: bool) -> bool:
        """A boolean."""
        value = self._table.get(key)
        if not isinstance(value, bool | None):
            raise self.wrong(key, "true or false")
        return default if value is None else value

    def choice(self, key: str, choices: Collection[str], *, default: str) -> str:
        """One of `choices`."""
        value = self.text(key) or default
        if value not in choices:
            raise self.wrong(key, f"one of {', '.join(choices)}")
        return value

    def file(self, key: str) -> Path | None:
        """The path of a file; a relative one is relative to the configuration."""
        value = self.text(key)
        if not value.isprintable() or "-----" in value:  # a key pasted where the path of its file is due
            full = self._full(key)
            raise UsageError(f"{self._path}: {full} is not shown here, and must be the path of a file on one line")
        return self._path.parent / value if value else None

    def _full(self, key: object) -> str:
        return f"{self._name}.{key}" if self._name else str(key)
