"""The stand-in for the driver's library tells the truth about its trace, and fails as a real one does."""

import itertools
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pynvml as nvml
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standin.driver import StandIn
from standin.trace import Burst, Gpu, Hold, Trace, random_trace, shared_fraction, steady_trace

GPUS = (
    Gpu("GPU-11111111-aaaa", "NVIDIA H100 80GB HBM3", 80 << 30, 70.0, 700.0),
    Gpu("GPU-22222222-bbbb", "NVIDIA L40S", 48 << 30, 35.5, 350.0),
)
HOLDS = (
    Hold(0, 0, 0.0, 30.0, 10 << 30),
    Hold(0, 1, 0.0, 12.0, 5 << 30),
    Hold(0, 2, 0.0, 30.0, 1 << 30, "graphics"),
    Hold(0, 3, 0.0, 30.0, 1 << 30, "mps"),
)
BURSTS = (Burst(0, 0, 2.0, 11.0, 0.6), Burst(0, 1, 3.0, 5.5, 0.25), Burst(0, 1, 8.0, 12.0, 0.4))
TRACE = Trace(GPUS, HOLDS, BURSTS)
EPOCH_US = 1_700_000_000_000_000


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[StandIn]:
    with StandIn(tmp_path, TRACE) as standin:
        standin.preload()
        standin.epoch_us = EPOCH_US
        for slot in range(4):
            standin.set_pid(slot, 100 + slot)
        nvml.nvmlInit()
        yield standin
        nvml.nvmlShutdown()


def handle(gpu: int) -> object:
    return nvml.nvmlDeviceGetHandleByIndex(gpu)


def ring(gpu: int, last_seen_us: int = 0) -> list[tuple[int, int]]:
    kind, samples = nvml.nvmlDeviceGetSamples(handle(gpu), nvml.NVML_GPU_UTILIZATION_SAMPLES, last_seen_us)
    assert kind == nvml.NVML_VALUE_TYPE_UNSIGNED_INT
    return [(sample.timeStamp, sample.sampleValue.uiVal) for sample in samples]


def usage(gpu: int, last_seen_us: int = 0) -> dict[int, int]:
    return {s.pid: s.smUtil for s in nvml.nvmlDeviceGetProcessUtilization(handle(gpu), last_seen_us)}


def stamp(seconds: float) -> int:
    return EPOCH_US + round(seconds * 1e6)


def error_of(call: Callable[..., object], *arguments: object) -> int:
    with pytest.raises(nvml.NVMLError) as caught:
        call(*arguments)
    return int(caught.value.value)


def test_identity(driver: StandIn) -> None:
    assert nvml.nvmlSystemGetDriverVersion() == "570.86.10"
    for index, gpu in enumerate(GPUS):
        assert nvml.nvmlDeviceGetUUID(handle(index)) == gpu.uuid
        assert nvml.nvmlDeviceGetName(handle(index)) == gpu.name
        assert nvml.nvmlDeviceGetPciInfo(handle(index)).busId == gpu.pci_bus_id
        assert nvml.nvmlDeviceGetIndex(nvml.nvmlDeviceGetHandleByUUID(gpu.uuid)) == index
        assert nvml.nvmlDeviceGetIndex(nvml.nvmlDeviceGetHandleByPciBusId(gpu.pci_bus_id)) == index


def test_ring_read_in_pieces_loses_nothing(driver: StandIn) -> None:
    last_seen, busy = stamp(0), 0.0
    for step in range(1, 57):
        driver.freeze(step / 4)
        samples = ring(0, last_seen)
        assert all(time_us > last_seen for time_us, _ in samples)
        last_seen = samples[-1][0]
        busy += sum(value for _, value in samples) / 100 * TRACE.sample_period
    assert busy == pytest.approx(TRACE.busy(0, 0, 14), abs=0.01)
    driver.freeze(14.1)
    assert error_of(ring, 0, stamp(14)) == nvml.NVML_ERROR_NOT_FOUND
    assert driver.queries(0) == [step / 4 for step in range(1, 57)]
    driver.wall_step(-3600)
    assert (len(ring(0)), ring(0)[-1][0]) == (120, stamp(14 - 3600))


def test_process_utilisation_is_the_mean_since_last_seen(driver: StandIn) -> None:
    driver.freeze(13.0)
    expected = {100 + slot: round(100 * TRACE.slot_busy(0, slot, 8, 13) / 5) for slot in (0, 1)}
    assert usage(0, stamp(8)) == expected
    assert [p.pid for p in nvml.nvmlDeviceGetComputeRunningProcesses(handle(0))] == [100]
    assert error_of(usage, 0, stamp(13)) == nvml.NVML_ERROR_NOT_FOUND
    assert error_of(usage, 1) == nvml.NVML_ERROR_NOT_FOUND
    driver.hide_processes()
    assert error_of(usage, 0) == nvml.NVML_ERROR_NOT_FOUND
    assert nvml.nvmlDeviceGetComputeRunningProcesses(handle(0)) == []


def test_lists_and_memory(driver: StandIn) -> None:
    driver.freeze(1.0)
    device = handle(0)
    compute = nvml.nvmlDeviceGetComputeRunningProcesses(device)
    assert {p.pid: p.usedGpuMemory for p in compute} == {100: 10 << 30, 101: 5 << 30}
    assert [p.pid for p in nvml.nvmlDeviceGetGraphicsRunningProcesses(device)] == [102]
    assert [p.pid for p in nvml.nvmlDeviceGetMPSComputeRunningProcesses(device)] == [103]
    separate = nvml.nvmlDeviceGetMemoryInfo(device, version=nvml.nvmlMemory_v2)
    assert separate.used == 17 << 30
    assert separate.used + separate.reserved == nvml.nvmlDeviceGetMemoryInfo(device).used
    driver.set_pid(1, 100)
    assert {p.pid: p.usedGpuMemory for p in nvml.nvmlDeviceGetComputeRunningProcesses(device)} == {100: 15 << 30}


def test_power_and_energy(driver: StandIn) -> None:
    device = handle(0)
    driver.freeze(1.5)
    before = nvml.nvmlDeviceGetTotalEnergyConsumption(device)
    assert (nvml.nvmlDeviceGetPowerUsage(device), nvml.nvmlDeviceGetUtilizationRates(device).gpu) == (70_000, 0)
    driver.freeze(9.0)
    after = nvml.nvmlDeviceGetTotalEnergyConsumption(device)
    assert (after - before) / 1000 == pytest.approx(TRACE.joules(0, 1.5, 9.0), abs=0.002)
    assert (nvml.nvmlDeviceGetPowerUsage(device), nvml.nvmlDeviceGetUtilizationRates(device).gpu) == (700_000, 100)
    driver.unsupported("energy", "ring")
    assert error_of(nvml.nvmlDeviceGetTotalEnergyConsumption, device) == nvml.NVML_ERROR_NOT_SUPPORTED
    assert error_of(ring, 0) == nvml.NVML_ERROR_NOT_SUPPORTED


def test_garbage_comes_beside_the_truth(driver: StandIn) -> None:
    driver.freeze(13.0)
    clean_ring, clean_usage = ring(0), {(pid, percent) for pid, percent in usage(0).items()}
    driver.garbage()
    dirty = ring(0)
    assert set(dirty) - set(clean_ring) == {(0, 50), (stamp(13), 37100), (dirty[-1][0], 50)}
    entries = nvml.nvmlDeviceGetProcessUtilization(handle(0), 0)
    assert {0, 37100} <= {e.pid for e in entries} | {e.smUtil for e in entries}
    assert {(e.pid, e.smUtil) for e in entries if e.timeStamp == stamp(13)} > clean_usage


def test_a_bad_gpu_leaves_the_others(driver: StandIn) -> None:
    power, devices = nvml.nvmlDeviceGetPowerUsage, [handle(0), handle(1)]
    driver.lose(0)
    assert error_of(power, devices[0]) == error_of(handle, 0) == nvml.NVML_ERROR_GPU_IS_LOST
    assert power(devices[1]) == 35_500
    driver.restore(0)
    assert power(devices[0]) == 70_000
    driver.hang(0, 60)
    blocked = threading.Thread(target=power, args=(devices[0],))
    blocked.start()
    assert [power(devices[1]) for _ in range(100)] == [35_500] * 100
    assert blocked.is_alive()
    driver.release(0)
    blocked.join(5)
    assert not blocked.is_alive()


def test_driver_reload_needs_a_new_initialisation(driver: StandIn) -> None:
    device = handle(0)
    driver.driver_gone()
    assert error_of(nvml.nvmlInit) == nvml.NVML_ERROR_DRIVER_NOT_LOADED
    assert error_of(nvml.nvmlDeviceGetPowerUsage, device) == nvml.NVML_ERROR_GPU_IS_LOST
    driver.driver_back()
    assert error_of(nvml.nvmlDeviceGetPowerUsage, device) == nvml.NVML_ERROR_UNINITIALIZED
    nvml.nvmlShutdown()
    nvml.nvmlInit()
    assert nvml.nvmlDeviceGetTotalEnergyConsumption(handle(0)) == 0


UPGRADE = """
import ctypes, pynvml, sys, _ctypes
pynvml.nvmlInit()
print(pynvml.nvmlSystemGetDriverVersion(), flush=True)
sys.stdin.readline()
library, version = pynvml.nvmlLib, ctypes.create_string_buffer(80)
print(library.nvmlInit_v2(), library.nvmlSystemGetDriverVersion(version, 80))
_ctypes.dlclose(library._handle)
library = ctypes.CDLL("libnvidia-ml.so.1")
print(library.nvmlInit_v2(), library.nvmlSystemGetDriverVersion(version, 80), version.value)
"""


@pytest.mark.parametrize(("nodelete", "after"), [(False, "0 0 b'570.86.11'"), (True, "18 18 b''")])
def test_upgrade_needs_a_new_library(tmp_path: Path, nodelete: bool, after: str) -> None:
    with StandIn(tmp_path, TRACE, nodelete=nodelete) as standin:
        environment, pipe = os.environ | standin.environment(), subprocess.PIPE
        command = [sys.executable, "-c", UPGRADE]
        with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "570.86.10\n"
            standin.upgrade()
            output, _ = process.communicate("\n", timeout=20)
        assert output.splitlines() == ["18 18", after]


def test_missing_function(tmp_path: Path) -> None:
    script = "import pynvml as n; n.nvmlInit(); print(hasattr(n.nvmlLib, 'nvmlDeviceGetSamples'))"
    with StandIn(tmp_path, TRACE, without=["nvmlDeviceGetSamples"]) as standin:
        command, environment = [sys.executable, "-c", script], os.environ | standin.environment()
        assert subprocess.check_output(command, env=environment, text=True) == "False\n"


def test_running_clock_and_before_initialisation(tmp_path: Path) -> None:
    with StandIn(tmp_path, TRACE) as standin:
        standin.preload()
        nvml.nvmlInit()
        nvml.nvmlShutdown()
        assert error_of(nvml.nvmlDeviceGetCount) == nvml.NVML_ERROR_UNINITIALIZED
        nvml.nvmlInit()
        standin.start()
        time.sleep(0.4)
        newest_us = ring(0)[-1][0]
        nvml.nvmlShutdown()
        assert 0 <= time.time() - newest_us / 1e6 < 2 * TRACE.sample_period
        assert standin.queries(0)[0] == pytest.approx(standin.now(), abs=0.1)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), cut_seed=st.integers(0, 10_000))
def test_split_gives_away_exactly_what_there_is(seed: int, cut_seed: int) -> None:
    trace = random_trace(seed, seconds=60)
    rng = random.Random(cut_seed)
    cuts = sorted(rng.uniform(0, 60) for _ in range(20))
    for gpu in range(8):
        shares, states = trace.split(gpu, cuts).values(), trace.states(gpu, cuts)
        assert sum(s.busy for s in shares) == pytest.approx(trace.busy(gpu, cuts[0], cuts[-1]))
        assert sum(s.held for s in shares) == pytest.approx(states.active + states.idle)
        assert sum(states) == pytest.approx(cuts[-1] - cuts[0])
        assert all(s.held >= s.busy - 1e-9 for s in shares)
        owned = [pair for pair in itertools.pairwise(cuts) if trace.owners(gpu, *pair)]
        assert sum(s.joules for s in shares) == pytest.approx(sum(trace.joules(gpu, *pair) for pair in owned))


def test_truth_is_the_plain_sum_of_overlaps() -> None:
    trace = random_trace(7, seconds=60)
    for gpu, start in itertools.product(range(8), (0.0, 13.7, 41.2)):
        overlaps = [
            (b.slot, b.share * max(0.0, min(b.end, 50) - max(b.start, start))) for b in trace.bursts if b.gpu == gpu
        ]
        assert trace.busy(gpu, start, 50) == pytest.approx(sum(seconds for _, seconds in overlaps))
        assert trace.slot_busy(gpu, 3, start, 50) == pytest.approx(sum(s for slot, s in overlaps if slot == 3))


def test_traces_are_worth_measuring() -> None:
    assert steady_trace(2, 4, 10.0, 0.8).busy(1, 0, 10) == pytest.approx(8.0)
    trace = random_trace(1, seconds=120)
    assert shared_fraction(trace) > 0.5
    assert all(0.3 <= burst.end - burst.start <= 5.0 for burst in trace.bursts)
    for gpu, slot in {(hold.gpu, hold.slot) for hold in trace.holds}:
        assert trace.slot_busy(gpu, slot, 0, 120) >= 0.15 * trace.held(gpu, slot, 0, 120)
    with pytest.raises(ValueError, match="more than all"):
        Trace(GPUS, (), (Burst(0, 0, 0, 2, 0.6), Burst(0, 1, 1, 3, 0.6)))
