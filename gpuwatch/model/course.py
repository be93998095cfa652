"""The past as the live page shows it: the last hour of each device, the last week of the node and of its people."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from gpuwatch.model.totals import States, Use


class Course(NamedTuple):
    """Use in the course of time, up to the last minute that is over."""

    use: Mapping[str, tuple[int | None, ...]] = MappingProxyType({})
    """By uuid: how busy it was in each of the last 60 minutes, in percent, oldest first; None where it was not seen."""
    hour_unix: float = 0.0
    """When the last of the hours began."""
    hours: tuple[States, ...] = ()
    """GPU-seconds of the last 168 hours, oldest first; the last may be going on. What was not seen is missing."""
    people: Mapping[str, Use] = MappingProxyType({})
    """GPU-seconds of these hours by user, without the energy."""
