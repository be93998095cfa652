"""The cards of a scripted machine, whole or divided into MIG instances."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final

SLICES: Final = 7
"""Into how many compute slices a card is divided."""


@dataclass(frozen=True)
class MigInstance:
    """A compute instance, alone in its GPU instance: `slices` sevenths of its card, `memory_total` in bytes."""

    uuid: str
    profile: str
    slices: int
    memory_total: int
    gpu_instance_id: int
    compute_instance_id: int = 0

    @property
    def weight(self) -> float:
        """Its part of the card, from 1/7 to 1."""
        return self.slices / SLICES


@dataclass(frozen=True)
class Gpu:
    """One GPU: its identity, memory (bytes) and power (watts) with nothing running and at full use.

    A busy GPU uses `sm_share` of its SMs, which it tells if it has GPM. With instances, its MIG mode is on.
    """

    uuid: str
    name: str
    memory_total: int
    idle_watts: float
    peak_watts: float
    gpm: bool = False
    sm_share: float = 0.8
    mig: tuple[MigInstance, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no card could be.

        Raises:
            ValueError: a share out of range, more slices than a card has, or two instances of one id.
        """
        if not 0 < self.sm_share <= 1:
            raise ValueError(f"no such share of the SMs: {self.sm_share}")
        if any(instance.slices < 1 for instance in self.mig) or sum(instance.slices for instance in self.mig) > SLICES:
            raise ValueError(f"a card has {SLICES} slices for its instances")
        if len({instance.gpu_instance_id for instance in self.mig}) < len(self.mig):
            raise ValueError("each instance has a GPU instance of its own")

    @property
    def pci_bus_id(self) -> str:
        """The bus id as the driver writes it, made from the UUID: `0000A1B2:C3:00.0`."""
        digest = zlib.crc32(self.uuid.encode())
        return f"{digest >> 16:08X}:{digest & 0xFF:02X}:00.0"

    def weight(self, instance: int | None) -> float:
        """The part of the card that an instance has; None is all of it."""
        return 1.0 if instance is None else self.mig[instance].weight
