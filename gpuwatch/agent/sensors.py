"""How each sensor fares: every reading is timed, isolated, and reported as up or down."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from gpuwatch.model import SensorState

log = logging.getLogger(__name__)
R = TypeVar("R")


class Sensors:
    """The state of all sensors by name."""

    def __init__(self) -> None:
        self.states: dict[str, SensorState] = {}
        self._problems: dict[str, str] = {}

    def run(self, name: str, read: Callable[[], R], *, unix: float) -> R | None:
        """What `read` returns; None where it fails, which is noted and costs no other sensor."""
        began = time.perf_counter()
        try:
            result = read()
        except Exception as error:  # noqa: BLE001  isolation: one sensor that breaks costs no other
            self.states[name] = SensorState(False, time.perf_counter() - began, self._last_success(name))
            self.fail(name, f"{type(error).__name__}: {error}")
            return None
        self.states[name] = SensorState(True, time.perf_counter() - began, unix)
        return result

    def fail(self, name: str, problem: str) -> None:
        """The sensor ran, and yet did not see what it is there to see."""
        if self._problems.get(name) != problem:
            log.warning("sensor %s: %s", name, problem)
            self._problems[name] = problem
        self.states[name] = replace(self.states[name], up=False, problem=problem)

    def _last_success(self, name: str) -> float:
        last = self.states.get(name)
        return last.success_unix if last else 0.0
