"""The GPUs of this node as the agent sees them: opening the driver, reading all of it in bounded time, reopening it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial

from gpuwatch.errors import DriverUnavailable, GpuwatchError, LibraryMismatch
from gpuwatch.model import GpuInfo, GpuReading
from gpuwatch.sense import nvml
from gpuwatch.sense.clocks import Clock
from gpuwatch.sense.gpu import GpuSensor
from gpuwatch.sense.lane import Lane

log = logging.getLogger(__name__)

_OPENING_PATIENCE = 10.0
_RETRY_SECONDS = 10.0
"""How often a driver that never answered is tried again; one that has gone is tried at every cycle."""


class Fleet:
    """All GPUs of the node. `problem` says why there are none, or why some are missing."""

    def __init__(self, *, patience: float, clock: Clock) -> None:
        self._patience = patience
        self._clock = clock
        self._calls: Lane[str, GpuReading] = Lane("gpuwatch-gpu")
        self._opening: Lane[str, nvml.Driver] = Lane("gpuwatch-driver")
        self._driver: nvml.Driver | None = None
        self._sensors: dict[str, GpuSensor] = {}
        self._problems: dict[str, str] = {}
        self._to_close = False
        self._next_try = 0.0
        self.problem = ""
        self.mismatched = False
        """The mapped library cannot match the driver any more: only a fresh process can."""

    @property
    def versions(self) -> tuple[str, str]:
        """Of the driver and of NVML, empty while there is none."""
        return (self._driver.driver_version, self._driver.nvml_version) if self._driver else ("", "")

    @property
    def infos(self) -> Mapping[str, GpuInfo]:
        """The GPUs of the open driver by uuid."""
        return {uuid: sensor.card.info for uuid, sensor in self._sensors.items()}

    def problem_of(self, uuid: str) -> str:
        """Why the GPU was not read."""
        return self._problems.get(uuid) or self.problem or "the driver does not list it any more"

    def read(self, since: Mapping[str, float], *, now: float) -> dict[str, GpuReading]:
        """The readings of all GPUs that answer, with their utilisation from `since` by uuid (else from now)."""
        if not self._open(now):
            self._problems = {}
            return {}
        calls = {uuid: partial(sensor.read, since.get(uuid, now)) for uuid, sensor in self._sensors.items()}
        results = self._calls.run(calls, patience=self._patience)
        gone = next((result for result in results.values() if isinstance(result, DriverUnavailable)), None)
        if gone is not None:
            self._lose(gone)
        self._note({uuid: str(result) for uuid, result in results.items() if isinstance(result, Exception)})
        return {uuid: result for uuid, result in results.items() if isinstance(result, GpuReading)}

    def close(self) -> None:
        """Let go of the driver."""
        self._close_driver()
        self._calls.close()
        self._opening.close()

    def _open(self, now: float) -> bool:
        if self._to_close:
            self._close_driver()
        if self._driver is not None:
            return True
        if self._to_close or now < self._next_try:
            return False
        result = self._opening.run({"open": nvml.open_driver}, patience=_OPENING_PATIENCE)["open"]
        if isinstance(result, nvml.Driver):
            self._take(result)
            return True
        self._refuse(result, now)
        return False

    def _take(self, driver: nvml.Driver) -> None:
        self._driver = driver
        self._sensors = {card.info.uuid: GpuSensor(card, self._clock) for card in driver.cards}
        self.mismatched = False
        self.problem = "; ".join(f"GPU {index} does not answer: {why}" for index, why in driver.problems)
        log.info("driver %s: %d GPUs", driver.driver_version, len(driver.cards))

    def _refuse(self, error: Exception, now: float) -> None:
        self.problem = str(error) if isinstance(error, GpuwatchError) else f"{type(error).__name__}: {error}"
        if not self._sensors:
            self._next_try = now + _RETRY_SECONDS
        self._to_close = True
        self.mismatched = isinstance(error, LibraryMismatch) and nvml.library_is_mapped()

    def _note(self, problems: dict[str, str]) -> None:
        for uuid in problems.keys() - self._problems.keys():
            log.warning("GPU %d (%s): %s", self.infos[uuid].index, uuid, problems[uuid])
        for uuid in self._problems.keys() - problems.keys():
            log.info("GPU %d (%s) answers again", self.infos[uuid].index, uuid)
        self._problems = problems

    def _lose(self, error: Exception) -> None:
        self.problem = str(error)
        self._to_close = True

    def _close_driver(self) -> None:
        """Unload the library, unless a call still hangs in it: then later."""
        if self._calls.stuck() or self._opening.stuck():
            return
        self._driver = None
        self._to_close = False
        nvml.close_driver()
