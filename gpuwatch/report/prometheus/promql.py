"""PromQL as text: what people called their programs goes in as it is, and nothing of it is read as PromQL. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gpuwatch.model.history import Filters, Values
from gpuwatch.report.prometheus.client import Labels

NO_SINGLE_RUN: Final = ("short", "overflow")
"""What stands in the label `run` where many runs are charged together."""
SINGLE_RUNS: Final = f'run!~"{"|".join(NO_SINGLE_RUN)}"'
OWNER: Final = ("user", "project", "run")
_SPECIAL: Final = frozenset(r"\.+*?()|[]{}^$")


def quoted(text: str) -> str:
    """A string of PromQL."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def literally(text: str) -> str:
    """A regular expression of RE2 that matches this text alone."""
    return "".join(f"\\{c}" if c in _SPECIAL else c for c in text)


def selector(metric: str, where: Filters, *more: str) -> str:
    """The series of a metric with any of the values of each label. `more` are matchers as they are."""
    matchers = [*(_matcher(label, values) for label, values in sorted(where.items())), *more]
    return f"{metric}{{{','.join(matchers)}}}" if matchers else metric


def _matcher(label: str, values: Iterable[str]) -> str:
    first, *others = values
    if not others:
        return f"{label}={quoted(first)}"
    return f"{label}=~{quoted('|'.join(map(literally, (first, *others))))}"


def grouped(operator: str, labels: Iterable[str], expression: str) -> str:
    """An aggregation by labels."""
    by = ", ".join(sorted(labels))
    return f"{operator} by ({by}) ({expression})" if by else f"{operator}({expression})"


def duration(seconds: float) -> str:
    """Exact to the millisecond."""
    return f"{round(seconds * 1000)}ms"


def after(seconds: float) -> str:
    """The window that ends now, without its first moment: a server before 3.0 would take that for a part of it too."""
    return f"{round(seconds * 1000) - 1}ms"


def upon(seconds: float) -> str:
    """The window that ends now, with its first moment: a server from 3.0 on would leave that out."""
    return f"{round(seconds * 1000) + 1}ms"


def labels_of(keys: Iterable[str]) -> frozenset[str]:
    """The labels that tell these keys: `gpu` is NODE/INDEX."""
    return frozenset(label for key in keys for label in (("node", "gpu") if key == "gpu" else (key,)))


def values_of(labels: Labels, keys: Iterable[str]) -> Values:
    """The values of the keys; one that a series does not have is empty."""
    return tuple(_value(labels, key) for key in keys)


def _value(labels: Labels, key: str) -> str:
    return f"{labels.get('node', '')}/{labels.get('gpu', '')}" if key == "gpu" else labels.get(key, "")


def passes(labels: Labels, where: Filters) -> bool:
    """Whether a series is among those that the filters let through."""
    return all(_value(labels, key) in values for key, values in where.items())


def pushed(where: Filters, known: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """What of the filters the server can look up, in series that have the `known` labels."""
    return {key: tuple(values) for key, values in where.items() if key in known and key != "gpu" and values}
