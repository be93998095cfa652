"""Which free devices somebody gets who asks for some. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from gpuwatch.model.live import FREE, Device


class Wish(NamedTuple):
    """What somebody wants."""

    devices: int | None = None
    """So many, of whole GPUs where it is several; None for all there are."""
    memory_bytes: int = 0
    """Free on each of them, at the least."""


def choose(devices: Iterable[Device], wish: Wish) -> list[Device]:
    """Free devices that fit, whole GPUs first, then the largest instances; nothing where there are too few.

    Of instances a CUDA program uses one, and none beside a whole GPU: several are never chosen together.
    """
    fitting = sorted((device for device in devices if _fits(device, wish)), key=_rank)
    if wish.devices is None:
        return fitting
    if wish.devices > 1:
        fitting = [device for device in fitting if not device.is_instance]
    return fitting[: wish.devices] if len(fitting) >= wish.devices else []


def free_bytes(device: Device) -> float | None:
    """Device memory that nobody has; None where the driver does not say."""
    if device.memory_total_bytes is None or device.memory_used_bytes is None:
        return None
    return device.memory_total_bytes - device.memory_used_bytes


def _fits(device: Device, wish: Wish) -> bool:
    return device.state == FREE and (not wish.memory_bytes or (free_bytes(device) or 0) >= wish.memory_bytes)


def _rank(device: Device) -> tuple[bool, float, list[int]]:
    numbers = [int(part) for part in device.gpu.split(":") if part.isdecimal()]
    return device.is_instance, -(device.capacity or 1.0), numbers
