"""What a harness found: figures beside their limits, and the machine they are of."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple


class Options(NamedTuple):
    """What a harness is told."""

    seed: int
    seconds: float
    """How long a measurement of the cost takes."""


class Figure(NamedTuple):
    """One measured value; with a limit it passes where it is at most that."""

    name: str
    value: float
    unit: str
    limit: float | None = None

    @property
    def verdict(self) -> str:
        """PASS or FAIL; empty for a figure that is only told."""
        if self.limit is None:
            return ""
        return "PASS" if self.value <= self.limit else "FAIL"


def passed(figures: Iterable[Figure]) -> bool:
    """Whether no figure is over its limit."""
    return all(figure.verdict != "FAIL" for figure in figures)


def print_table(title: str, figures: Iterable[Figure]) -> None:
    """The figures, one a line: name, value, unit, limit, verdict."""
    print(f"\n{title}")
    for figure in figures:
        limit = "" if figure.limit is None else f"<= {figure.limit:.6g}"
        row = f"  {figure.name:<66} {figure.value:>12.6g} {figure.unit:<9} {limit:<12} {figure.verdict}"
        print(row.rstrip(), flush=True)


def describe_machine() -> str:
    """CPU model and cores, kernel, Python and whose processes there can be, on one line."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown CPU")
    users = "processes of six users" if os.geteuid() == 0 else "not root: all processes are of one user"
    system = f"Linux {platform.release()}, Python {platform.python_version()}"
    return f"{model}, {len(os.sched_getaffinity(0))} cores, {system}; {users}"
