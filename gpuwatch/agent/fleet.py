"""The GPUs of this node as the agent sees them: opening the driver, reading all of it in bounded time, reopening it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import NoReturn

from gpuwatch.errors import DriverUnavailable, GpuUnavailable, LibraryMismatch
from gpuwatch.model import GpuInfo, GpuReading
from gpuwatch.sense import nvml
from gpuwatch.sense.clocks import Clock
from gpuwatch.sense.gpu import GpuSensor
from gpuwatch.sense.lane import Lane

log = logging.getLogger(__name__)

_OPENING_PATIENCE = 10.0
_RETRY_SECONDS = 10.0
"""How often a driver or card that never answered is tried again; one that has gone is tried at every cycle."""
_RENEW_SECONDS = 60.0
_REVIEW_SECONDS = 30.0
"""How often it is looked which devices a GPU is: MIG can be switched on, and its instances made anew, at any time."""
_SEARCH_SECONDS = 300.0
"""How often the driver is reopened to look for a GPU that was here and is not listed any more."""


class Fleet:
    """All GPUs of the node."""

    def __init__(self, *, patience: float, clock: Clock) -> None:
        self._patience = patience
        self._clock = clock
        self._calls: Lane[str, GpuReading | None] = Lane("gpuwatch-gpu")
        self._opening: Lane[str, nvml.Driver | None] = Lane("gpuwatch-driver")
        self._cards: Lane[int, tuple[nvml.Card, ...]] = Lane("gpuwatch-card")
        self._driver: nvml.Driver | None = None
        self._sensors: dict[int, tuple[GpuSensor, ...]] = {}
        """By index of the GPU: itself, or its MIG instances."""
        self._by_uuid: Mapping[str, GpuSensor] = {}
        self._infos: Mapping[str, GpuInfo] = {}
        self._problems: dict[str, str] = {}
        """By name of the GPU or the instance."""
        self._failing_since: dict[str, float] = {}
        self._gone = ""
        self._to_close = False
        self._try_at = 0.0
        self._cards_at = 0.0
        self._review_at = 0.0
        self._search_at = 0.0
        self.mismatched = False
        """The mapped library cannot match the driver any more: only a fresh process can."""

    @property
    def versions(self) -> tuple[str, str]:
        """Of the driver and of NVML, empty while there is none."""
        return (self._driver.version, self._driver.nvml_version) if self._driver else ("", "")

    @property
    def infos(self) -> Mapping[str, GpuInfo]:
        """The devices of the driver by uuid, as last opened."""
        return self._infos

    def problem_of(self, gpu: GpuInfo) -> str:
        """Why the device was not read."""
        known = gpu.uuid in self._infos or gpu.index not in self._sensors
        problem = self._problems.get(gpu.name) or self._problems.get(str(gpu.index)) if known else ""
        return problem or self._gone or "the driver does not list it"

    def read(self, since: Mapping[str, float], *, now: float) -> dict[str, GpuReading]:
        """The readings of all GPUs that answer, with their utilisation from `since` by uuid (else from now).

        Raises DriverUnavailable where there is none to read, and GpuUnavailable where none answers.
        """
        self._search(since.keys() - self._infos.keys(), now)
        try:
            return self._read(since, now)
        except DriverUnavailable:
            if not self._to_close:
                raise
            return self._read(since, now)  # the driver of a moment ago is gone; that of now may be there already

    def glance(self, uuids: Iterable[str]) -> None:
        """Have these GPUs note the use of their processes, between two readings. What goes wrong, the reading tells."""
        if self._driver is not None and not self._to_close:
            wanted = set(uuids)
            calls: dict[str, Callable[[], GpuReading | None]] = {
                uuid: sensor.glance for uuid, sensor in self._by_uuid.items() if uuid in wanted
            }
            self._calls.run(calls, patience=self._patience)

    def close(self) -> None:
        """Let go of the driver."""
        self._close_driver()
        for lane in (self._calls, self._opening, self._cards):
            lane.close()

    def _read(self, since: Mapping[str, float], now: float) -> dict[str, GpuReading]:
        self._open(now)
        infos = self._infos
        calls: dict[str, Callable[[], GpuReading | None]] = {
            uuid: partial(sensor.read, since.get(uuid, now)) for uuid, sensor in self._by_uuid.items()
        }
        results = self._calls.run(calls, patience=self._patience)
        stuck = self._calls.stuck()
        for uuid, result in results.items():
            if isinstance(result, DriverUnavailable):
                self._lose_driver(result)
            self._note(infos[uuid].name, result)
            if uuid not in stuck:
                self._renew(infos[uuid], now)
        readings = {uuid: result for uuid, result in results.items() if isinstance(result, GpuReading)}
        if results and not readings:
            raise GpuUnavailable(f"no GPU answers: {'; '.join(sorted({str(result) for result in results.values()}))}")
        return readings

    def _list_devices(self) -> None:
        """After a change of the sensors."""
        self._by_uuid = {sensor.card.info.uuid: sensor for sensors in self._sensors.values() for sensor in sensors}
        self._infos = {uuid: sensor.card.info for uuid, sensor in self._by_uuid.items()}

    def _search(self, missing: Iterable[str], now: float) -> None:
        if not missing or self._problems or self._driver is None:
            self._search_at = now + _SEARCH_SECONDS
        elif now >= self._search_at:
            self._search_at = now + _SEARCH_SECONDS
            self._to_close = True

    def _open(self, now: float) -> None:
        if self._to_close:
            self._close_driver()
        if self._driver is None:
            if self._to_close or now < self._try_at:
                raise DriverUnavailable(self._gone)
            driver = self._call("open", nvml.open_driver)
            if not isinstance(driver, nvml.Driver):
                self._refuse(driver, now)
            self._driver, self._sensors, self._problems, self._gone = driver, {}, {}, ""
            self._list_devices()
            log.info("driver %s: %d GPUs", driver.version, driver.gpus)
            self._cards_at = now
            self._review_at = now + _REVIEW_SECONDS
        indexes = range(self._driver.gpus)
        if now >= self._review_at:
            self._review_at = now + _REVIEW_SECONDS
            self._open_cards([i for i in indexes if i in self._sensors and str(i) not in self._problems])
        missing = [index for index in indexes if index not in self._sensors]
        if missing and now >= self._cards_at:
            self._cards_at = now + _RETRY_SECONDS
            self._open_cards(missing)

    def _open_cards(self, indexes: Iterable[int]) -> None:
        """Open GPUs, each on its own: one that hangs or is lost hides no other. What has not changed goes on."""
        calls = {index: partial(nvml.open_cards, index) for index in indexes}
        results = self._cards.run(calls, patience=self._patience)
        for index, cards in results.items():
            before = self._sensors.get(index)
            if isinstance(cards, Exception):
                if before is None:
                    self._note(str(index), cards)
            elif before is None or [card.info for card in cards] != [sensor.card.info for sensor in before]:
                for name in (str(index), *(sensor.card.info.name for sensor in before or ())):
                    self._note(name, None)
                    self._failing_since.pop(name, None)
                self._sensors[index] = tuple(GpuSensor(card, self._clock) for card in cards)
        self._list_devices()
        if not self._by_uuid:  # no reading will tell
            for cards in results.values():
                if isinstance(cards, DriverUnavailable):
                    self._lose_driver(cards)

    def _renew(self, info: GpuInfo, now: float) -> None:
        """Open a GPU anew that has failed for long: one that was reset wants a new handle."""
        if info.name not in self._problems:
            self._failing_since.pop(info.name, None)
        elif now - self._failing_since.setdefault(info.name, now) > _RENEW_SECONDS:
            del self._failing_since[info.name]
            self._sensors.pop(info.index, None)
            self._list_devices()

    def _lose_driver(self, error: DriverUnavailable) -> NoReturn:
        self._gone = str(error)
        self._to_close = True
        raise error

    def _refuse(self, error: Exception | None, now: float) -> NoReturn:
        self._gone = str(error)
        if not self._sensors:
            self._try_at = now + _RETRY_SECONDS
        self._close_driver()
        self.mismatched = isinstance(error, LibraryMismatch) and nvml.library_is_mapped()
        raise error if isinstance(error, DriverUnavailable) else DriverUnavailable(self._gone)

    def _note(self, name: str, result: object) -> None:
        """Keep, and tell once, what is wrong with a device, or that nothing is any more."""
        problem = str(result) if isinstance(result, Exception) else ""
        if problem and name not in self._problems:
            log.warning("GPU %s: %s", name, problem)
        if problem:
            self._problems[name] = problem
        elif self._problems.pop(name, None):
            log.info("GPU %s answers again", name)

    def _close_driver(self) -> None:
        """Unload the library, unless a call still hangs in it: then later."""
        self._to_close = bool(self._calls.stuck() or self._opening.stuck() or self._cards.stuck())
        if not self._to_close:
            self._driver = None
            self._call("close", nvml.close_driver)

    def _call(self, key: str, call: Callable[[], nvml.Driver | None]) -> nvml.Driver | Exception | None:
        return self._opening.run({key: call}, patience=_OPENING_PATIENCE)[key]
