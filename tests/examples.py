"""A snapshot by hand, with one of everything in it: for the golden exposition, the pages and the schema."""

from __future__ import annotations

from dataclasses import replace

from gpuwatch.model import (
    Activity,
    Count,
    CountKey,
    DeviceUse,
    DeviceView,
    Drain,
    GpuCondition,
    GpuInfo,
    GpuReading,
    HostReading,
    Identity,
    Owner,
    Piece,
    Run,
    RunTotal,
    SensorState,
    Snapshot,
    States,
    Use,
)
from gpuwatch.model.judgement import IDLE, Judged, Judgement

ANN = Owner("ann", "vision", "adhoc:train.py-k3f9z2.3mv@n7")
HOSTILE = Owner('eve"\\', "", 'adhoc:a"b\\c{d}<script>\u2603-k3f9z2.1@n7')
SHORT = Owner("ben", "", "short")


def reading(info: GpuInfo) -> GpuReading:
    """A busy card."""
    return GpuReading(
        info=info,
        read_at=5000.0,
        pieces=(Piece(4999.9, 0.5), Piece(5000.0, 0.75)),
        sm_use={4711: 75.0},
        processes={4711: 40_000_000_000},
        energy_joules=123456.5,
        power_watts=512.25,
        condition=GpuCondition(
            41_000_000_000, 85_899_345_920, 700.0, 61.0, 1.98e9, Activity(4995.0, 5000.0, 0.75, 0.5, 0.25, 0.125)
        ),
    )


def snapshot() -> Snapshot:
    """A card, one that is lost, and a drained MIG instance; a run, a hostile run that has ended, and a folded one."""
    here = GpuInfo("GPU-aaaa", 0, "NVIDIA H100 80GB HBM3", "00000000:1B:00.0")
    lost = GpuInfo("GPU-bbbb", 1, "NVIDIA H100 80GB HBM3", "00000000:2B:00.0")
    slice_ = GpuInfo("MIG-cccc", 2, "NVIDIA H100 80GB HBM3 MIG 1g.10gb", "00000000:3B:00.0", 1, 1 / 7)
    run = Run(ANN, Identity(4711, 99), 1_790_000_000.0, "adhoc", "train.py", group="slurm:4700")
    return Snapshot(
        node="n7",
        version="1.2.3",
        driver="570.86.10",
        nvml="12.570.86.10",
        taken_unix=1_790_003_600.5,
        interval=1.0,
        persisted=True,
        devices=(
            DeviceView(
                here,
                DeviceUse(1800.5, 900000.0, 0.5, 1000.0, States(1800.5, 99.5, 100.0, 0.0, 2.0)),
                reading(here),
                activity_known=True,
                counts={
                    CountKey("throttle", "power_cap"): Count(12.5, 99.0),
                    CountKey("ecc", "corrected"): Count(3.0, 3.0),
                },
            ),
            DeviceView(lost, DeviceUse(states=States(unknown=7.0)), None, problem="GPU is lost", energy_known=False),
            DeviceView(
                slice_,
                DeviceUse(states=States(unavailable=9.0)),
                replace(reading(slice_), pieces=(), processes={}, power_watts=None, condition=GpuCondition(0, 2**33)),
                energy_known=False,
                busy_known=False,
                drain=Drain(1_790_000_000.0, "new fan", "root"),
            ),
        ),
        totals={
            ("GPU-aaaa", ANN): RunTotal(Use(1900.0, 1800.0, 890000.0), 42_000_000_000, 1_790_003_600.5, 900.5),
            ("GPU-aaaa", HOSTILE): RunTotal(Use(1.5, 0.25, 100.0), 1000, 1_790_003_500.5),
            ("GPU-aaaa", SHORT): RunTotal(Use(10.0, 0.0, 0.0), 0, 1_790_003_500.5),
        },
        holding={("GPU-aaaa", ANN): 40_000_000_000},
        runs={
            ANN: run,
            HOSTILE: Run(HOSTILE, Identity(1, 2), 1_790_000_001.0, "adhoc", 'a"b\\c'),
        },
        cpu_seconds={ANN: 7200.25, SHORT: 1.0},
        memory_bytes={ANN: 8_000_000_000, SHORT: 77},
        people={("ann", "vision"): Use(1900.0, 1800.0, 890000.0), ("ben", ""): Use()},
        teams={"ann": "seeing"},
        judged=Judged(
            {
                ("GPU-aaaa", ANN): Judgement(
                    IDLE, 1_790_001_800.0, 1800.5, 1800.5, 0.01, 75.0, 1.0, "no minute at 5% or more for 30 min"
                )
            }
        ),
        due={ANN: IDLE},
        notices={"sent": 2, "failed": 0},
        host=HostReading({"user": 10.5, "idle": 99.0}, 2**30, 2**34, 1.25),
        sensors={
            "gpu": SensorState(True, 0.0015, 1_790_003_600.5),
            "host": SensorState(False, 0.001, 0.0, "PermissionError: no"),
        },
    )
