"""GPUs that a job holds: its own while nothing runs on them, else of whose processes are there; on doubt nobody's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from conftest import Play
from rig import idle_processes
from standin.trace import steady_trace

from gpuwatch.agent.cycle import Cycle, Moment
from gpuwatch.agent.machine import this_machine
from gpuwatch.agent.scheduler import Scheduling, by_uuid
from gpuwatch.agent.settings import Settings
from gpuwatch.attribute.fold import Bounds
from gpuwatch.model import Allocation, Drain, GpuInfo
from gpuwatch.sense.clocks import Clock
from gpuwatch.state.saved import Saved

BOOT = 50_000.0
ANN = Allocation("4711", "", 1000, "ann", "vision", "train", 1_790_000_000.0)


class Told:
    """A scheduler that says what the test says."""

    def __init__(self, allocations: Mapping[int, Allocation], drain: Drain | None = None) -> None:
        self.scheduling = Scheduling(drain, allocations)

    def read(self, *, now: float, unix: float, reserving: bool) -> Scheduling:
        return self.scheduling

    def close(self) -> None:
        pass


@pytest.mark.parametrize("is_drained", [False, True])
def test_a_reserved_gpu_is_its_jobs_until_somebody_is_on_it(play: Play, is_drained: bool) -> None:
    driver = play(steady_trace(1, 1, 60.0, 0.5))
    epoch = driver.epoch_us / 1e6
    time = -1.0
    clock = Clock(boottime=lambda: BOOT + time, unix=lambda: epoch + time)
    told = Told({0: ANN}, Drain(epoch - 9, "fans", "root") if is_drained else None)
    cycle = Cycle(
        Settings(node="n7", bounds=Bounds(short_run_seconds=0)),
        this_machine(clock)._replace(scheduler=told),
        None,
        Saved({}, {}, {}, {}, {}, {}, epoch - BOOT),
        Moment(BOOT, epoch),
    )
    with idle_processes(1) as (pid,):
        for second in range(-1, 30):
            time = float(second)
            driver.set_pid(0, pid if second >= 15 else 0)
            driver.freeze(time)
            snapshot = cycle.run(Moment(clock.boottime(), clock.unix()))
    cycle.close()
    held = {owner.run.partition(":")[0]: total.use.held for (_, owner), total in snapshot.totals.items()}
    assert held == pytest.approx({"slurm": 15, "adhoc": 15}, abs=1.5)
    states = snapshot.devices[0].use.states
    assert sum(held.values()) == pytest.approx(states.active + states.idle)
    assert states.free + states.unavailable + states.unknown == pytest.approx(0, abs=1.0)


def info(index: int, minor: int | None) -> GpuInfo:
    return GpuInfo(f"GPU-{index}", index, "H200", f"0000:0{index}:00.0", minor=minor)


def test_slurm_counts_by_the_numbers_of_the_devices() -> None:
    gpus = [info(0, 1), info(1, 0)]
    assert by_uuid({0: ANN}, gpus) == {"GPU-1": ANN}
    assert by_uuid({1: ANN, 2: ANN}, [replace(gpu, minor=None) for gpu in gpus]) == {"GPU-1": ANN}


def test_where_a_gpu_has_gone_no_other_is_taken_for_it() -> None:
    assert by_uuid({2: ANN}, [info(0, 0), info(1, 2), info(2, 3)]) == {}
