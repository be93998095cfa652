"""The record row by row, as it is kept: for whoever wants to add it up another way.

Times are seconds of UTC. GPU seconds are of the device itself, which is worth `capacity` of a whole GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from gpuwatch.model.history import Window
from gpuwatch.state.bins import CHARGES, DEVICES
from gpuwatch.state.charges import DEVICE_NAME, SM_TOLD, bins_in, rows_in
from gpuwatch.state.readonly import Reader


class ChargeRow(NamedTuple):
    """What an owner had of a device in a minute, or an hour or day where it is long ago."""

    start_unix: int
    seconds: int
    node: str
    gpu: str
    uuid: str
    model: str
    capacity: float
    user: str
    project: str
    run: str
    kind: str
    held: float
    busy: float
    joules: float
    sm_active: float | None
    """None where the device does not tell."""


class DeviceRow(NamedTuple):
    """What a device did in a minute, hour or day. Time that is in none of the four states is unknown."""

    start_unix: int
    seconds: int
    node: str
    gpu: str
    uuid: str
    model: str
    capacity: float
    busy: float
    joules: float
    unattributed_busy: float
    unattributed_joules: float
    active: float
    idle: float
    free: float
    unavailable: float


class RowCount(NamedTuple):
    """How many rows there are of each."""

    charges: int
    devices: int


_ABOUT_DEVICE = f"bin.start, bin.seconds, :node, {DEVICE_NAME}, device.uuid, device.model, device.capacity"
_CHARGE_ROW = (
    f"SELECT {_ABOUT_DEVICE}, owner.user, owner.project, owner.run, owner.kind,"
    f" bin.held, bin.busy, bin.joules, iif(bin.sm_active > 0 OR {SM_TOLD}, bin.sm_active, NULL) FROM ({{bins}}) AS bin"
    " CROSS JOIN device ON device.id = bin.device CROSS JOIN owner ON owner.id = bin.owner ORDER BY bin.start"
)
_DEVICE_ROW = (
    f"SELECT {_ABOUT_DEVICE}, {', '.join(f'bin.{column}' for column in DEVICES.columns)}"
    " FROM ({bins}) AS bin CROSS JOIN device ON device.id = bin.device ORDER BY bin.start"
)


def charges(reader: Reader, window: Window) -> Iterator[ChargeRow]:
    """The charges of all bins that begin in the window, ascending by start."""
    for bins in bins_in(CHARGES):  # from the oldest kind to the newest: no two of them are of the same time
        yield from map(ChargeRow._make, reader.stream(_CHARGE_ROW.format(bins=bins), _values(reader, window)))


def devices(reader: Reader, window: Window) -> Iterator[DeviceRow]:
    """The same of devices."""
    for bins in bins_in(DEVICES):
        yield from map(DeviceRow._make, reader.stream(_DEVICE_ROW.format(bins=bins), _values(reader, window)))


def count(reader: Reader, window: Window) -> RowCount:
    """How many rows `charges` and `devices` give."""
    counts = (
        reader.ask(f"rows of {table.name}", f"SELECT count(*) FROM ({rows_in(table)})", _values(reader, window))[0][0]
        for table in (CHARGES, DEVICES)
    )
    return RowCount(*counts)


def _values(reader: Reader, window: Window) -> dict[str, str | float]:
    return {"node": reader.node, "start": window.start, "end": window.end}
