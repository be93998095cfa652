"""SM-active seconds of runs: what a GPU's own counters say of a stretch, divided by who kept it busy then. Pure."""

from __future__ import annotations

from gpuwatch.account.device import Outcome
from gpuwatch.model import Activity, Owner


class ActivityMeter:
    """Remembers, by device, up to where its activity is charged, and who has kept it busy since."""

    def __init__(self) -> None:
        self._charged: dict[str, float] = {}
        self._device: dict[str, float] = {}
        self._owners: dict[str, dict[Owner, float]] = {}

    def add(self, uuid: str, outcome: Outcome) -> None:
        """Note who kept the device busy."""
        self._device[uuid] = self._device.get(uuid, 0.0) + outcome.device.busy
        owners = self._owners.setdefault(uuid, {})
        for owner, use in outcome.charges.items():
            owners[owner] = owners.get(owner, 0.0) + use.busy

    def charge(self, uuid: str, activity: Activity) -> dict[Owner, float]:
        """SM-active seconds by owner, once for each activity; what unknown processes kept busy is nobody's."""
        before = self._charged.get(uuid, 0.0)
        if activity.ended <= before:
            return {}
        self._charged[uuid] = activity.ended
        busy, owners = self._device.pop(uuid, 0.0), self._owners.pop(uuid, {})
        if busy <= 0 or activity.sm is None or activity.began < before:
            return {}
        active = activity.sm * (activity.ended - activity.began)
        return {owner: active * (seconds / busy) for owner, seconds in owners.items() if seconds > 0}

    def forget(self, uuid: str, unseen_until: float = 0.0) -> None:
        """The device has no activity now: who kept it busy meanwhile shares in none.

        Where it was not even seen, a stretch that began before `unseen_until` is nobody's: it tells of that time too.
        """
        self._charged[uuid] = max(unseen_until, self._charged.get(uuid, 0.0))
        self._device.pop(uuid, None)
        self._owners.pop(uuid, None)
