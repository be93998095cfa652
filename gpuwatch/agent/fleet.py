"""The GPUs of this node as the agent sees them: opening the driver, reading all of it in bounded time, reopening it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from gpuwatch.errors import DriverUnavailable, LibraryMismatch
from gpuwatch.model import GpuInfo, GpuReading
from gpuwatch.sense import nvml
from gpuwatch.sense.clocks import Clock
from gpuwatch.sense.gpu import GpuSensor
from gpuwatch.sense.lane import Lane

log = logging.getLogger(__name__)

_OPENING_PATIENCE = 10.0
_RETRY_SECONDS = 10.0
"""How often a driver that never answered is tried again; one that has gone is tried at every cycle."""
_FIRST_SEARCH_SECONDS, _LAST_SEARCH_SECONDS = 60.0, 3600.0
"""How soon all GPUs are looked up anew while one is missing; the time doubles from the first to the last."""


class Fleet:
    """All GPUs of the node."""

    def __init__(self, *, patience: float, clock: Clock) -> None:
        self._patience = patience
        self._clock = clock
        self._calls: Lane[str, GpuReading | None] = Lane("gpuwatch-gpu")
        self._opening: Lane[str, nvml.Driver | None] = Lane("gpuwatch-driver")
        self._driver: nvml.Driver | None = None
        self._sensors: dict[str, GpuSensor] = {}
        self._problems: dict[str, str] = {}
        self._gone = ""
        self._to_close = False
        self._try_at = 0.0
        self._search_at = 0.0
        self._search_after = _FIRST_SEARCH_SECONDS
        self.mismatched = False
        """The mapped library cannot match the driver any more: only a fresh process can."""

    @property
    def versions(self) -> tuple[str, str]:
        """Of the driver and of NVML, empty while there is none."""
        return (self._driver.driver_version, self._driver.nvml_version) if self._driver else ("", "")

    @property
    def infos(self) -> Mapping[str, GpuInfo]:
        """The GPUs of the driver by uuid, as last opened."""
        return {uuid: sensor.card.info for uuid, sensor in self._sensors.items()}

    def problem_of(self, uuid: str) -> str:
        """Why the GPU was not read."""
        return self._problems.get(uuid) or self._gone or "the driver does not list it"

    def read(self, since: Mapping[str, float], *, now: float) -> dict[str, GpuReading]:
        """The readings of all GPUs that answer, with their utilisation from `since` by uuid (else from now).

        Raises DriverUnavailable where no GPU can be read at all.
        """
        self._search(since.keys() - self._sensors.keys() or self._problems, now)
        self._open(now)
        calls: dict[str, Callable[[], GpuReading | None]] = {
            uuid: partial(sensor.read, since.get(uuid, now)) for uuid, sensor in self._sensors.items()
        }
        results = self._calls.run(calls, patience=self._patience)
        self._note({uuid: str(result) for uuid, result in results.items() if isinstance(result, Exception)})
        gone = next((result for result in results.values() if isinstance(result, DriverUnavailable)), None)
        if gone is not None:
            self._gone = str(gone)
            self._to_close = True
            raise gone
        return {uuid: result for uuid, result in results.items() if isinstance(result, GpuReading)}

    def glance(self, uuids: Iterable[str]) -> None:
        """Have these GPUs note the use of their processes, between two readings. What goes wrong, the reading tells."""
        if self._driver is not None and not self._to_close:
            calls: dict[str, Callable[[], GpuReading | None]] = {
                uuid: self._sensors[uuid].glance for uuid in uuids if uuid in self._sensors
            }
            self._calls.run(calls, patience=self._patience)

    def close(self) -> None:
        """Let go of the driver."""
        self._close_driver()
        self._calls.close()
        self._opening.close()

    def _search(self, missing: object, now: float) -> None:
        """Have all GPUs looked up anew, now and then, as long as one is missing."""
        if not missing and not (self._driver and self._driver.problems):
            self._search_after = _FIRST_SEARCH_SECONDS
            self._search_at = now + self._search_after
        elif now >= self._search_at and self._driver is not None:
            self._search_after = min(2 * self._search_after, _LAST_SEARCH_SECONDS)
            self._search_at = now + self._search_after
            self._to_close = True

    def _open(self, now: float) -> None:
        if self._to_close:
            self._close_driver()
        if self._driver is not None:
            return
        if self._to_close or now < self._try_at:
            raise DriverUnavailable(self._gone)
        driver = self._call("open", nvml.open_driver)
        if isinstance(driver, nvml.Driver):
            self._take(driver)
        else:
            self._refuse(driver, now)

    def _take(self, driver: nvml.Driver) -> None:
        self._driver = driver
        self._sensors = {card.info.uuid: GpuSensor(card, self._clock) for card in driver.cards}
        self._gone = ""
        log.info("driver %s: %d GPUs", driver.driver_version, len(driver.cards))
        for index, problem in driver.problems:
            log.warning("GPU %d does not answer: %s", index, problem)

    def _refuse(self, error: Exception | None, now: float) -> None:
        self._gone = str(error)
        if not self._sensors:
            self._try_at = now + _RETRY_SECONDS
        self._close_driver()
        self.mismatched = isinstance(error, LibraryMismatch) and nvml.library_is_mapped()
        raise error if isinstance(error, DriverUnavailable) else DriverUnavailable(self._gone)

    def _note(self, problems: dict[str, str]) -> None:
        for uuid in problems.keys() - self._problems.keys():
            log.warning("GPU %d (%s): %s", self.infos[uuid].index, uuid, problems[uuid])
        for uuid in self._problems.keys() - problems.keys() & self._sensors.keys():
            log.info("GPU %d (%s) answers again", self.infos[uuid].index, uuid)
        self._problems = problems

    def _close_driver(self) -> None:
        """Unload the library, unless a call still hangs in it: then later."""
        self._to_close = bool(self._calls.stuck() or self._opening.stuck())
        if not self._to_close:
            self._driver = None
            self._call("close", nvml.close_driver)

    def _call(self, key: str, call: Callable[[], nvml.Driver | None]) -> nvml.Driver | Exception | None:
        return self._opening.run({key: call}, patience=_OPENING_PATIENCE)[key]
