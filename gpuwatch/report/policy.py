"""What a report may tell: the price of an hour, and whose names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

NAMES: Final = ("all", "team", "none")


@dataclass(frozen=True, slots=True)
class Policy:
    """The operator's word on money and names."""

    gpu_hour: float | None = None
    """What an hour of a whole GPU costs; None where that is not known, and then no money is shown."""
    currency: str = "$"
    names: str = "all"
    """Whose names are shown: of all people, only of their teams, or none."""
