"""Whether, when and how often people are told: the operator's word, as it is configured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gpuwatch.alert.hours import WorkingHours, parse_hours
from gpuwatch.alert.push import Push
from gpuwatch.units import HOUR, parse_duration

OFF: Final = "off"
SHADOW: Final = "shadow"
AGENT: Final = "agent"
FLEET: Final = "fleet"
MODES: Final = (OFF, SHADOW, AGENT, FLEET)
"""Nothing; judged and noted, and nothing sent; sent by each agent; sent by one receiver for the whole fleet."""


@dataclass(frozen=True, slots=True)
class AlertPolicy:
    """Durations and hours are as people write them: they are checked where they are read."""

    mode: str = SHADOW
    working_hours: str = "mon-fri 09:00-18:00"
    """In which reminders are sent."""
    time_zone: str = ""
    """Whose clocks and days: a name of the IANA database; the machine's own without one."""
    per_day: int = 3
    """Messages to a person."""
    push_after: str = "30m"
    push_gpu_hours: float = 1.0
    interactive_after: str = "2h"

    @property
    def push(self) -> Push:
        """How much has to be wasted."""
        return Push(
            after=parse_duration(self.push_after),
            interactive_after=parse_duration(self.interactive_after),
            gpu_seconds=self.push_gpu_hours * HOUR,
        )

    @property
    def hours(self) -> WorkingHours:
        """When reminders are sent."""
        return parse_hours(self.working_hours)
