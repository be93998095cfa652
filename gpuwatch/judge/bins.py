"""What runs did on devices minute by minute, as far as judgement looks back. Pure: minutes are handed in.

All that is known is a function of the minutes alone, so it is rebuilt from the record after a restart. Nothing is kept
of a run that was not on a device in a minute in which the device was seen, nor of one that was not seen for a day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from gpuwatch.judge.clocks import Charge, Clocks, Stretch
from gpuwatch.judge.limits import IDLE_POWER, STUCK_POWER, UNUSED_BELOW, Limits
from gpuwatch.model import DeviceUse, OnDevice, Owner, RunTotal
from gpuwatch.units import DAY, MINUTE

LimitsOf = Callable[[Owner], Limits]
_WELL_SEEN: Final = MINUTE / 2
"""Seconds of a minute: a device that was seen for so long shows who is on it, and what it draws."""
_LEAST_HELD: Final = 0.1
"""Seconds: who has less of a minute, on a device that another keeps busy, has nothing to waste."""
_MILLISECONDS: Final = 3
"""Digits."""
_FORGOTTEN_AFTER: Final = DAY // MINUTE
_NO_RUN: Final = RunTotal()
_NO_USE: Final = DeviceUse()


class DeviceMinute(NamedTuple):
    """What a device did in a minute, in seconds and joules."""

    seen: float
    """In any state but unknown."""
    held: float
    """By anybody."""
    busy: float
    joules: float = 0.0


class Minutes:
    """The clocks of all runs on the devices of a node."""

    def __init__(self) -> None:
        self._clocks: dict[OnDevice, Clocks] = {}
        self._idle_watts: dict[str, float] = {}
        self._runs: Mapping[OnDevice, RunTotal] = {}
        self._devices: Mapping[str, DeviceUse] = {}

    def of(self, key: OnDevice) -> Clocks | None:
        """What is known of a run on a device; None before its first minute is over."""
        return self._clocks.get(key)

    def recall(self, key: OnDevice, minute: int, idle: Stretch) -> None:
        """Bring back how long a run had been idle at the end of a minute: the next that are entered go on from it."""
        self._clocks[key] = Clocks(idle, minute)

    def recall_idle_watts(self, uuid: str, watts: float) -> None:
        """Bring back the lowest mean of a minute that a device was seen to draw unused."""
        self._idle_watts[uuid] = watts

    def begin(self, runs: Mapping[OnDevice, RunTotal], devices: Mapping[str, DeviceUse]) -> None:
        """Take the running totals as they were at the end of the last closed minute: `close` goes on from them."""
        self._runs, self._devices = dict(runs), dict(devices)

    def close(
        self,
        minute: int,
        runs: Mapping[OnDevice, RunTotal],
        devices: Mapping[str, DeviceUse],
        *,
        limits_of: LimitsOf,
        power_limits: Mapping[str, float],
    ) -> None:
        """A minute is over: enter what the running totals have grown by since the last one was."""
        grown = {uuid: _grown(self._devices.get(uuid, _NO_USE), use) for uuid, use in devices.items()}
        charges = dict(self._charges(runs, grown))
        self.begin(runs, devices)
        self.enter(minute, charges, grown, limits_of=limits_of, power_limits=power_limits)

    def enter(
        self,
        minute: int,
        charges: Mapping[OnDevice, Charge],
        devices: Mapping[str, DeviceMinute],
        *,
        limits_of: LimitsOf,
        power_limits: Mapping[str, float],
    ) -> None:
        """Go on by a minute (unix time by 60) that is over: of now, or of the record after a restart, ascending.

        `devices` has all that have a charge; `power_limits` are watts by uuid, of those that tell.
        """
        for uuid, device in devices.items():
            self._learn_idle_watts(uuid, device)
        for key, charge in charges.items():
            uuid, owner = key
            if charge.held >= _LEAST_HELD:
                watts = self._computing_watts(uuid, power_limits.get(uuid))
                clocks, seen = self._clocks_of(key, minute, charge, devices[uuid])
                clocks.add(minute, seen, charge, idle_below=limits_of(owner).idle_below, computing_watts=watts)
        self._forget(minute, devices)

    def _charges(
        self, runs: Mapping[OnDevice, RunTotal], grown: Mapping[str, DeviceMinute]
    ) -> Iterator[tuple[OnDevice, Charge]]:
        for key, total in runs.items():
            before = self._runs.get(key, _NO_RUN)
            if total is before:
                continue
            charge = Charge(
                total.use.held - before.use.held,
                total.use.busy - before.use.busy,
                total.use.joules - before.use.joules,
                total.sm_active - before.sm_active,
            )
            # The past of a run that came back, as it is added to its total, is not of this minute.
            if charge.held <= grown[key[0]].held + 1:
                yield key, charge

    def _clocks_of(self, key: OnDevice, minute: int, charge: Charge, device: DeviceMinute) -> tuple[Clocks, float]:
        """The clocks of a run on a device, and for how many seconds of the minute it was seen there.

        Of a shared device it is charged only a part of the time that it is there. In its first minute nobody knows how
        long that was, and it is no longer than what it was charged.
        """
        clocks = self._clocks.get(key)
        seen = max(charge.held, device.held) if clocks and clocks.minute == minute - 1 else charge.held
        seen = round(seen, _MILLISECONDS)  # so that minutes add up to a limit, whatever totals are differenced
        if clocks is None:
            clocks = self._clocks[key] = Clocks(Stretch((minute + 1.0) * MINUTE - seen), minute)
        return clocks, seen

    def _forget(self, minute: int, devices: Mapping[str, DeviceMinute]) -> None:
        for key, clocks in list(self._clocks.items()):
            device = devices.get(key[0])
            is_seen = device is not None and device.seen >= _WELL_SEEN
            if (is_seen and clocks.minute != minute) or minute - clocks.minute > _FORGOTTEN_AFTER:
                del self._clocks[key]

    def _learn_idle_watts(self, uuid: str, device: DeviceMinute) -> None:
        if device.seen >= _WELL_SEEN and device.joules > 0 and device.busy < UNUSED_BELOW * device.seen:
            watts = device.joules / device.seen
            self._idle_watts[uuid] = min(watts, self._idle_watts.get(uuid, watts))

    def _computing_watts(self, uuid: str, limit: float | None) -> float | None:
        if limit is None:
            return None
        idle = self._idle_watts.get(uuid, IDLE_POWER * limit)
        return idle + STUCK_POWER * (limit - idle)


def _grown(before: DeviceUse, now: DeviceUse) -> DeviceMinute:
    was, states = before.states, now.states
    held = states.active - was.active + states.idle - was.idle
    others = states.free - was.free + states.unavailable - was.unavailable
    return DeviceMinute(held + others, held, now.busy - before.busy, now.joules - before.joules)
