"""Keeping the past that the live page shows, so that no request reads the state: minutes of devices, hours of people.

It goes by what was published: once a minute, by how much the totals have grown since the minute began.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from gpuwatch.agent.ring import Ring
from gpuwatch.errors import DiskRefused
from gpuwatch.model import DeviceUse, Person, Snapshot, States, Use
from gpuwatch.model.course import Course
from gpuwatch.state.store import Store
from gpuwatch.units import HOUR, MINUTE, PERCENTS

log = logging.getLogger(__name__)

_MINUTES: Final = 60
_HOURS: Final = 7 * 24
_NODE: Final = ""
_LEAST_SEEN: Final = MINUTE / 4
"""A minute of which less was seen says nothing."""


class _Totals(NamedTuple):
    """What was published at one moment."""

    unix: float
    devices: Mapping[str, DeviceUse]
    people: Mapping[Person, Use]


class Chronicle:
    """The last hour and week."""

    def __init__(self) -> None:
        # One more minute than is shown: the open one, of which nothing is known yet.
        self._minutes = Ring(MINUTE, _MINUTES + 1, 2)
        """Of a device: busy, and seen."""
        self._hours = Ring(HOUR, _HOURS, 4)
        """Of the node: active, idle, free, unavailable."""
        self._people = Ring(HOUR, _HOURS, 2)
        """Of a user: held, and busy."""
        self._base: _Totals | None = None
        """As the open minute began."""
        self._course = Course()

    def restore(self, store: Store, *, unix: float) -> None:
        """Go on from what the state has at `unix`, before the first cycle."""
        try:
            past = store.read_week(unix=unix)
        except DiskRefused as error:
            log.error("%s; the page has no past before now", error)
            return
        for uuid, start, *amounts in past.minutes:
            self._minutes.add(uuid, start, amounts)
        for start, *amounts in past.hours:
            self._hours.add(_NODE, start, amounts)
        for user, start, *amounts in past.people:
            self._people.add(user, start, amounts)

    def add(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot, with the course of time up to its minute."""
        base = self._base
        if base is None or snapshot.taken_unix // MINUTE != base.unix // MINUTE:
            if base is not None:
                self._close(base, snapshot)
            devices = {device.info.uuid: device.use for device in snapshot.devices}
            self._base = _Totals(snapshot.taken_unix, devices, snapshot.people)
            self._course = self._drawn(snapshot.taken_unix)
        return replace(snapshot, course=self._course)

    def _close(self, base: _Totals, now: Snapshot) -> None:
        """Enter what the totals have grown by, as of the minute that is over."""
        for device in now.devices:
            uuid, use, was = device.info.uuid, device.use, base.devices.get(device.info.uuid)
            if was is None:
                continue
            *grown, _ = (new - old for new, old in zip(use.states, was.states, strict=True))
            self._minutes.add(uuid, base.unix, (use.busy - was.busy, sum(grown)))
            self._hours.add(_NODE, base.unix, [device.info.capacity * seconds for seconds in grown])
        for person, whole in now.people.items():
            then = base.people.get(person, whole)  # of who comes back after a month away, `whole` is all they ever had
            if whole.held != then.held:
                self._people.add(person[0], base.unix, (whole.held - then.held, whole.busy - then.busy))

    def _drawn(self, unix: float) -> Course:
        for ring in (self._minutes, self._hours, self._people):
            ring.advance(unix)
        return Course(
            use={uuid: tuple(_percents(self._minutes.of(uuid)[:-1])) for uuid in self._minutes},
            hour_unix=self._hours.newest_unix,
            hours=tuple(States(*hour) for hour in self._hours.of(_NODE)),
            people={user: _summed(self._people.of(user)) for user in self._people},
        )


def _percents(minutes: list[tuple[float, ...]]) -> Iterator[int | None]:
    for busy, seen in minutes:
        yield min(PERCENTS, round(PERCENTS * busy / seen)) if seen >= _LEAST_SEEN else None


def _summed(hours: list[tuple[float, ...]]) -> Use:
    return Use(*(sum(amounts) for amounts in zip(*hours, strict=True)))
