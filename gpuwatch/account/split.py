"""The split rule: how one stretch of one device is divided among those who held it.

The rule is public (see docs/accounting.md) and linear in what it divides:

- busy seconds go by SM shares, equally where the driver gives none;
- `held_i = busy_i + (held - sum of busy) / n`: nobody is busier than holding, and n owners share what nobody used;
- joules go as the time they were drawn in: with busy for the busy part, with held for the rest.

SM use of a process that belongs to nobody known takes its part of busy and joules as unattributed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from gpuwatch.model import DeviceUse, Owner, States, Use


class Stretch(NamedTuple):
    """Device time to be divided: seconds elapsed and busy (at most elapsed), joules."""

    elapsed: float
    busy: float
    joules: float


class Division(NamedTuple):
    """The device's own increment, and what each owner is charged."""

    device: DeviceUse
    charges: Mapping[Owner, Use]


def split(stretch: Stretch, owners: Collection[Owner], shares: Mapping[Owner, float], stray: float = 0.0) -> Division:
    """Divide a stretch among `owners`; with none, the device was free.

    `shares` are SM use by owner and `stray` that of unknown processes, in any one unit.
    """
    if not owners:
        return Division(_unowned(stretch, States(free=stretch.elapsed)), {})
    total = stray + sum([shares.get(owner, 0.0) for owner in owners])
    if total > 0:
        busy = {owner: stretch.busy * (shares.get(owner, 0.0) / total) for owner in owners}
        strayed = stretch.busy * (stray / total)
    else:
        busy = dict.fromkeys(owners, stretch.busy / len(owners))
        strayed = 0.0
    unused = (stretch.elapsed - stretch.busy) / len(owners)
    unheld = strayed / len(owners)
    elapsed, joules = stretch.elapsed or 1.0, stretch.joules
    charges = {
        owner: Use(used + unused + unheld, used, joules * ((used + unused) / elapsed)) for owner, used in busy.items()
    }
    states = States(active=stretch.busy, idle=stretch.elapsed - stretch.busy)
    device = DeviceUse(stretch.busy, joules, strayed, joules * (strayed / elapsed), states)
    return Division(device, charges)


def unknown(stretch: Stretch) -> Division:
    """A stretch of which nobody saw who held the device: never free, never idle."""
    return Division(_unowned(stretch, States(unknown=stretch.elapsed)), {})


def _unowned(stretch: Stretch, states: States) -> DeviceUse:
    return DeviceUse(stretch.busy, stretch.joules, stretch.busy, stretch.joules, states)
