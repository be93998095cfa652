"""What messages are written by: the price of an hour, and whose clocks. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo

from gpuwatch.alert.message.words import gpu_hours, plain
from gpuwatch.units import HOUR


@dataclass(frozen=True, slots=True)
class Terms:
    """The operator's word on what is told."""

    gpu_hour: float | None = None
    """The price of an hour of a whole GPU; None where it is not known, and then no money is told."""
    currency: str = "$"
    zone: tzinfo | None = None
    """Of the moments that are told; None is the system's."""

    def cost(self, gpu_seconds: float) -> str:
        """`4.8 GPU-hours, $12`."""
        if self.gpu_hour is None:
            return gpu_hours(gpu_seconds)
        amount = gpu_seconds / HOUR * self.gpu_hour
        return f"{gpu_hours(gpu_seconds)}, {plain(self.currency)}{amount:,.{0 if amount >= 10 else 2}f}"
