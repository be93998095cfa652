"""What Grafana does with a dashboard, as far as queries go: reads it, puts in what is chosen, and asks. Pure.

Formats and the shape of variables are those of Grafana's own code: `sceneInterpolator` and `formatRegistry` of
`@grafana/scenes` 9.2.2, `escapeRegex` of `@grafana/data`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

ALL: Final = "$__all"
Choice = str | Sequence[str]
_VARIABLE = re.compile(r"\$(\w+)|\$\{(\w+)(?:\.([^:^}]+))?(?::([^}]+))?\}")
_SPECIAL = re.compile(r"[\\^$*+?.()|\[\]{}/]")


class Span(NamedTuple):
    """The time shown, and the distance of points in a graph. All in seconds."""

    start: int
    end: int
    step: int

    def variables(self) -> dict[str, Choice]:
        """What Grafana sets by itself. Scrapes are 60 s apart: four of them are `$__rate_interval` at least."""
        seconds = self.end - self.start
        return {
            "__range": f"{seconds}s", "__range_s": str(seconds), "__range_ms": str(1000 * seconds),
            "__interval": f"{self.step}s", "__interval_ms": str(1000 * self.step),
            "__rate_interval": f"{max(self.step + 60, 240)}s",
        }  # fmt: skip


class Query(NamedTuple):
    """One of a panel, or of an annotation."""

    dashboard: str
    panel: str
    ref: str
    expression: str
    instant: bool
    table: bool
    at_least: int
    """The shortest step of the panel, in seconds; 0 where it has none."""

    def __str__(self) -> str:
        """Where it is found."""
        return f"{self.dashboard}: {self.panel} {self.ref}"


def panels(dashboard: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Those that show something."""
    for panel in dashboard["panels"]:
        yield from panel["panels"] if panel["type"] == "row" else (panel,)


def rows(dashboard: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Headings."""
    yield from (panel for panel in dashboard["panels"] if panel["type"] == "row")


def queries(dashboard: Mapping[str, Any]) -> Iterator[Query]:
    """All that a dashboard asks, but for its variables."""
    for panel in panels(dashboard):
        for target in panel["targets"]:
            yield Query(
                dashboard["title"], panel["title"], target["refId"], target["expr"], target.get("instant", False),
                target.get("format") == "table", _seconds(panel.get("interval", "0s")),
            )  # fmt: skip
    for note in dashboard["annotations"].get("list", ()):
        yield Query(dashboard["title"], note["name"], "", note["expr"], False, False, 60)


def variables(dashboard: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """What can be chosen, by name."""
    return {variable["name"]: variable for variable in dashboard["templating"]["list"]}


def used(text: str) -> set[str]:
    """The variables that a text names."""
    return {match[1] or match[2] for match in _VARIABLE.finditer(text)}


def interpolated(text: str, chosen: Mapping[str, Choice], custom_all: Mapping[str, str]) -> str:
    """A text with what is chosen. Raises KeyError for a variable that there is not: Grafana would leave it there."""

    def put(match: re.Match[str]) -> str:
        name, form = match[1] or match[2], match[4] or ""
        value = chosen[name]
        if ALL in ([value] if isinstance(value, str) else value):
            return custom_all[name]
        return _formatted(value, form)

    return _VARIABLE.sub(put, text)


def _formatted(value: Choice, form: str) -> str:
    if form == "regex":
        escaped = [_SPECIAL.sub(r"\\\g<0>", text) for text in ([value] if isinstance(value, str) else value)]
        return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"
    assert form == "", f"the format {form} is not played here"
    assert isinstance(value, str), f"{value} would be written as Grafana's version has it"
    return value


def _seconds(text: str) -> int:
    return int(text[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[text[-1]]
