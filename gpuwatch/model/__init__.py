"""The words that the stages share: frozen records, no behaviour beyond what a record says of itself.

Times called `*_at`, `since`, `until` or `end` are seconds of CLOCK_BOOTTIME; times called `*_unix` are seconds of UTC.
Ratios run from 0 to 1. `None` is "not supported or not known", never zero.
"""

from gpuwatch.model.identity import Identity, Lineage, OnDevice, Owner, Person, Process, Run
from gpuwatch.model.reading import (
    Activity,
    Allocation,
    CountKey,
    Drain,
    GpuCondition,
    GpuInfo,
    GpuReading,
    HostReading,
    Piece,
    TreeReading,
)
from gpuwatch.model.snapshot import DeviceView, SensorState, Snapshot
from gpuwatch.model.totals import Changes, Count, DeviceUse, Mark, Meters, RollUp, RunTotal, States, Use

__all__ = [
    "Activity",
    "Allocation",
    "Changes",
    "Count",
    "CountKey",
    "DeviceUse",
    "DeviceView",
    "Drain",
    "GpuCondition",
    "GpuInfo",
    "GpuReading",
    "HostReading",
    "Identity",
    "Lineage",
    "Mark",
    "Meters",
    "OnDevice",
    "Owner",
    "Person",
    "Piece",
    "Process",
    "RollUp",
    "Run",
    "RunTotal",
    "SensorState",
    "Snapshot",
    "States",
    "TreeReading",
    "Use",
]
