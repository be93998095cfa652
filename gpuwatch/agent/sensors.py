"""How each sensor fares: every reading is timed, isolated, and reported as up or down."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from gpuwatch.errors import GpuwatchError
from gpuwatch.model import SensorState

log = logging.getLogger(__name__)
R = TypeVar("R")


class Sensors:
    """The state of all sensors by name."""

    def __init__(self) -> None:
        self.states: dict[str, SensorState] = {}

    def run(self, name: str, read: Callable[[], R], *, unix: float) -> R | None:
        """What `read` returns; None where it fails, which is noted and costs no other sensor."""
        began = time.perf_counter()
        result, problem = None, ""
        try:
            result = read()
        except GpuwatchError as error:
            problem = str(error)
        except Exception as error:  # noqa: BLE001  isolation: one sensor that breaks costs no other
            problem = f"{type(error).__name__}: {error}"
        last = self.states.get(name, SensorState(False, 0.0, 0.0))
        if problem and problem != last.problem:
            log.warning("sensor %s: %s", name, problem)
        elif last.problem and not problem:
            log.info("sensor %s works again", name)
        success = last.success_unix if problem else unix
        self.states[name] = SensorState(not problem, time.perf_counter() - began, success, problem)
        return result
