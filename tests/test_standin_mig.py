"""The stand-in's MIG instances and its GPM, against the truth of the trace."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pynvml as nvml
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standin.driver import StandIn
from standin.trace import Burst, Gpu, Hold, MigInstance, Throttle, Trace

MIG = (
    MigInstance("MIG-11111111-aaaa", "3g.40gb", 3, 40 << 30, 2),
    MigInstance("MIG-22222222-bbbb", "1g.10gb", 1, 10 << 30, 7),
    MigInstance("MIG-33333333-cccc", "1g.10gb", 1, 10 << 30, 9),
)
GPUS = (
    Gpu("GPU-11111111-aaaa", "NVIDIA H100 80GB HBM3", 80 << 30, 70.0, 700.0, gpm=True, sm_share=0.6, mig=MIG),
    Gpu("GPU-22222222-bbbb", "NVIDIA H200", 141 << 30, 75.0, 700.0, gpm=True),
    Gpu("GPU-33333333-cccc", "NVIDIA L40S", 48 << 30, 35.5, 350.0),
)
TRACE = Trace(
    GPUS,
    (
        Hold(0, 0, 0.0, 30.0, 20 << 30, instance=0),
        Hold(0, 1, 0.0, 30.0, 4 << 30, instance=1),
        Hold(0, 2, 0.0, 30.0, 2 << 30, "graphics", instance=1),
        Hold(1, 3, 0.0, 30.0, 8 << 30),
    ),
    (Burst(0, 0, 2.0, 11.0, 0.6, instance=0), Burst(0, 1, 3.0, 5.5, 1.0, instance=1), Burst(1, 3, 4.0, 9.0, 0.5)),
    throttles=(Throttle(0, "power_cap", 1.0, 2.0),),
)
NOT_SUPPORTED = nvml.NVML_ERROR_NOT_SUPPORTED
INVALID_ARGUMENT = nvml.NVML_ERROR_INVALID_ARGUMENT


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[StandIn]:
    with StandIn(tmp_path, TRACE) as standin:
        standin.preload()
        for slot in range(4):
            standin.set_pid(slot, 100 + slot)
        nvml.nvmlInit()
        yield standin
        nvml.nvmlShutdown()


def card(gpu: int) -> object:
    return nvml.nvmlDeviceGetHandleByIndex(gpu)


def instance(index: int) -> object:
    return nvml.nvmlDeviceGetMigDeviceHandleByIndex(card(0), index)


def error_of(call: Callable[..., object], *arguments: object) -> int:
    with pytest.raises(nvml.NVMLError) as caught:
        call(*arguments)
    return int(caught.value.value)


def test_instances_are_found_under_their_card(driver: StandIn) -> None:
    assert nvml.nvmlDeviceGetMigMode(card(0)) == [1, 1]
    assert nvml.nvmlDeviceGetMaxMigDeviceCount(card(0)) == 7
    for index, mig in enumerate(MIG):
        device = instance(index)
        assert nvml.nvmlDeviceIsMigDeviceHandle(device).value == 1
        assert nvml.nvmlDeviceGetUUID(device) == mig.uuid
        assert nvml.nvmlDeviceGetName(device) == f"NVIDIA H100 80GB HBM3 MIG {mig.profile}"
        assert nvml.nvmlDeviceGetGpuInstanceId(device) == mig.gpu_instance_id
        assert nvml.nvmlDeviceGetComputeInstanceId(device) == mig.compute_instance_id
        assert nvml.nvmlDeviceGetIndex(nvml.nvmlDeviceGetHandleByUUID(mig.uuid)) == index
        parent = nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(device)
        assert nvml.nvmlDeviceGetUUID(parent) == GPUS[0].uuid
        assert nvml.nvmlDeviceGetPciInfo(device).busId == GPUS[0].pci_bus_id
    assert [error_of(instance, index) for index in (3, 6)] == [nvml.NVML_ERROR_NOT_FOUND] * 2
    assert error_of(instance, 7) == INVALID_ARGUMENT


def test_a_card_without_mig_has_no_instances(driver: StandIn) -> None:
    device = card(1)
    assert nvml.nvmlDeviceGetMigMode(device) == [0, 0]
    assert nvml.nvmlDeviceGetMaxMigDeviceCount(device) == 0
    assert nvml.nvmlDeviceIsMigDeviceHandle(device).value == 0
    assert error_of(nvml.nvmlDeviceGetMigDeviceHandleByIndex, device, 0) == NOT_SUPPORTED
    assert error_of(nvml.nvmlDeviceGetGpuInstanceId, device) == INVALID_ARGUMENT
    assert error_of(nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle, device) == INVALID_ARGUMENT
    assert error_of(nvml.nvmlDeviceGetAttributes_v2, device) == NOT_SUPPORTED


def test_attributes_and_memory_are_the_instance_s(driver: StandIn) -> None:
    for index, (mig, held) in enumerate(zip(MIG, (20 << 30, 6 << 30, 0), strict=True)):
        attributes = nvml.nvmlDeviceGetAttributes_v2(instance(index))
        assert (attributes.gpuInstanceSliceCount, attributes.memorySizeMB) == (mig.slices, mig.memory_total >> 20)
        assert attributes.multiprocessorCount == 16 * mig.slices
        memory = nvml.nvmlDeviceGetMemoryInfo(instance(index), version=nvml.nvmlMemory_v2)
        assert (memory.total, memory.used) == (mig.memory_total, held)
        assert memory.free + memory.used + memory.reserved == memory.total
    assert nvml.nvmlDeviceGetMemoryInfo(card(0), version=nvml.nvmlMemory_v2).used == 26 << 30


def test_processes_name_their_instance(driver: StandIn) -> None:
    def listed(device: object) -> set[tuple[int, ...]]:
        processes = nvml.nvmlDeviceGetComputeRunningProcesses(device)
        return {(p.pid, p.usedGpuMemory, p.gpuInstanceId, p.computeInstanceId) for p in processes}

    first, second = (100, 20 << 30, 2, 0), (101, 4 << 30, 7, 0)
    assert listed(card(0)) == {first, second}
    assert [listed(instance(index)) for index in range(3)] == [{first}, {second}, set()]
    assert [p.pid for p in nvml.nvmlDeviceGetGraphicsRunningProcesses(instance(1))] == [102]
    assert listed(card(1)) == {(103, 8 << 30, 0xFFFFFFFF, 0xFFFFFFFF)}
    driver.set_pid(1, 100)
    assert listed(card(0)) == {first, (100, 4 << 30, 7, 0)}


UTILISATION: Sequence[Callable[[object], object]] = (
    nvml.nvmlDeviceGetUtilizationRates,
    nvml.nvmlDeviceGetEncoderUtilization,
    lambda device: nvml.nvmlDeviceGetSamples(device, nvml.NVML_GPU_UTILIZATION_SAMPLES, 0),
    lambda device: nvml.nvmlDeviceGetProcessUtilization(device, 0),
    lambda device: nvml.nvmlDeviceGetProcessesUtilizationInfo(device, 0),
    lambda device: nvml.nvmlGpmSampleGet(device, nvml.nvmlGpmSampleAlloc()),
)
OF_THE_BOARD: Sequence[Callable[[object], object]] = (
    nvml.nvmlDeviceGetPowerUsage,
    nvml.nvmlDeviceGetEnforcedPowerLimit,
    nvml.nvmlDeviceGetTotalEnergyConsumption,
    nvml.nvmlDeviceGetCurrentClocksEventReasons,
    nvml.nvmlGpmQueryDeviceSupport,
    lambda device: nvml.nvmlDeviceGetTemperature(device, nvml.NVML_TEMPERATURE_GPU),
    lambda device: nvml.nvmlDeviceGetClockInfo(device, nvml.NVML_CLOCK_SM),
    lambda device: nvml.nvmlDeviceGetTotalEccErrors(device, 0, 0),
)


def test_what_mig_takes_away(driver: StandIn) -> None:
    driver.freeze(10.0)
    assert {error_of(call, card(0)) for call in UTILISATION} == {NOT_SUPPORTED}
    assert {error_of(call, instance(0)) for call in (*UTILISATION, *OF_THE_BOARD)} == {NOT_SUPPORTED}
    assert nvml.nvmlDeviceGetFieldValues(instance(0), [74])[0].nvmlReturn == NOT_SUPPORTED
    for call in (*UTILISATION, *OF_THE_BOARD):
        call(card(1))


def test_the_card_goes_on_telling_of_itself(driver: StandIn) -> None:
    device = card(0)

    def read() -> tuple[int, float]:
        throttled_ns = nvml.nvmlDeviceGetFieldValues(device, [74])[0].value.ullVal
        return throttled_ns, nvml.nvmlDeviceGetTotalEnergyConsumption(device) / 1000

    throttled_before_ns, joules_before = read()
    driver.freeze(10.0)
    throttled_ns, joules = read()
    assert throttled_ns - throttled_before_ns == 1_000_000_000
    assert joules - joules_before == pytest.approx(TRACE.joules(0, 0, 10), abs=0.002)
    assert TRACE.busy(0, 0, 10) == pytest.approx(8 * 0.6 * 3 / 7 + 2.5 / 7)
    for call in OF_THE_BOARD:
        call(device)


def test_faults_of_the_card_hit_its_instances(driver: StandIn) -> None:
    device, uuid = instance(1), nvml.nvmlDeviceGetUUID
    driver.lose(0)
    assert error_of(uuid, device) == nvml.NVML_ERROR_GPU_IS_LOST
    driver.restore(0)
    driver.hang(0, 60)
    blocked = threading.Thread(target=uuid, args=(device,))
    blocked.start()
    assert nvml.nvmlDeviceGetPowerUsage(card(1)) > 0
    assert blocked.is_alive()
    driver.release(0)
    blocked.join(5)
    assert not blocked.is_alive()


def metrics(first: object, second: object, ids: Sequence[int], *, version: int = 1) -> dict[int, float | None]:
    """The metrics in percent; None where one is not supported."""
    request = nvml.c_nvmlGpmMetricsGet_t(version=version, numMetrics=len(ids), sample1=first, sample2=second)
    for metric, number in zip(request.metrics, ids, strict=False):
        metric.metricId = number
    nvml.nvmlGpmMetricsGet(request)
    found = request.metrics[: len(ids)]
    assert {m.nvmlReturn for m in found} <= {nvml.NVML_SUCCESS, NOT_SUPPORTED}
    return {m.metricId: m.value if m.nvmlReturn == nvml.NVML_SUCCESS else None for m in found}


METRICS = (
    nvml.NVML_GPM_METRIC_GRAPHICS_UTIL,
    nvml.NVML_GPM_METRIC_SM_UTIL,
    nvml.NVML_GPM_METRIC_ANY_TENSOR_UTIL,
    nvml.NVML_GPM_METRIC_DRAM_BW_UTIL,
    nvml.NVML_GPM_METRIC_SM_OCCUPANCY,
)


def expected(gpu: int, start: float, end: float, *, instance: int | None = None) -> dict[int, float | None]:
    busy = 100 * TRACE.busy(gpu, start, end, instance=instance) / (end - start)
    sm = 100 * TRACE.sm_active(gpu, start, end, instance=instance) / (end - start)
    return dict(zip(METRICS, (busy, sm, 0.5 * sm, 0.3 * sm, None), strict=True))


def test_gpm_measures_between_two_samples(driver: StandIn) -> None:
    samples = [nvml.nvmlGpmSampleAlloc() for _ in range(3)]
    for time, sample in zip((1.0, 6.0, 20.0), samples, strict=True):
        driver.freeze(time)
        nvml.nvmlGpmSampleGet(card(1), sample)
    assert metrics(samples[0], samples[1], METRICS) == pytest.approx(expected(1, 1, 6))
    assert metrics(samples[1], samples[2], METRICS) == pytest.approx(expected(1, 6, 20))
    for sample in samples:
        nvml.nvmlGpmSampleFree(sample)


def test_gpm_of_an_instance(driver: StandIn) -> None:
    ids = [mig.gpu_instance_id for mig in MIG]
    pairs = [(nvml.nvmlGpmSampleAlloc(), nvml.nvmlGpmSampleAlloc()) for _ in ids]
    for number, time in enumerate((1.0, 6.0)):
        driver.freeze(time)
        for gpu_instance, pair in zip(ids, pairs, strict=True):
            nvml.nvmlGpmMigSampleGet(card(0), gpu_instance, pair[number])
    for index, pair in enumerate(pairs):
        assert metrics(*pair, METRICS) == pytest.approx(expected(0, 1, 6, instance=index))
    assert error_of(metrics, pairs[0][0], pairs[1][1], METRICS) == INVALID_ARGUMENT
    assert error_of(nvml.nvmlGpmMigSampleGet, card(0), 3, pairs[0][0]) == INVALID_ARGUMENT
    assert error_of(nvml.nvmlGpmMigSampleGet, card(1), 2, pairs[0][0]) == NOT_SUPPORTED


def test_gpm_never_says_more_than_all(driver: StandIn) -> None:
    samples = [nvml.nvmlGpmSampleAlloc() for _ in range(20)]
    for number, sample in enumerate(samples):
        driver.freeze(3.0 + number * 0.1237)
        nvml.nvmlGpmMigSampleGet(card(0), MIG[1].gpu_instance_id, sample)
    found = [metrics(*pair, METRICS[:1])[METRICS[0]] for pair in itertools.pairwise(samples)]
    assert found == pytest.approx([100.0] * 19)
    assert all(value is not None and value <= 100 for value in found)


def test_gpm_refuses_what_makes_no_difference(driver: StandIn) -> None:
    first, second, empty = (nvml.nvmlGpmSampleAlloc() for _ in range(3))
    nvml.nvmlGpmSampleGet(card(1), first)
    nvml.nvmlGpmSampleGet(card(1), second)
    assert error_of(metrics, first, second, METRICS) == INVALID_ARGUMENT
    driver.freeze(2.0)
    nvml.nvmlGpmSampleGet(card(1), second)
    assert error_of(metrics, second, first, METRICS) == INVALID_ARGUMENT
    assert error_of(metrics, first, empty, METRICS) == INVALID_ARGUMENT
    assert error_of(metrics, first, None, METRICS) == INVALID_ARGUMENT
    with pytest.raises(nvml.NVMLError) as caught:
        metrics(first, second, METRICS, version=2)
    assert caught.value.value == nvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH


def test_a_card_without_gpm(driver: StandIn) -> None:
    supported = [nvml.nvmlGpmQueryDeviceSupport(card(gpu)).isSupportedDevice for gpu in range(3)]
    assert supported == [1, 1, 0]
    assert error_of(nvml.nvmlGpmSampleGet, card(2), nvml.nvmlGpmSampleAlloc()) == NOT_SUPPORTED


def random_mig_trace(rng: random.Random) -> Trace:
    """A card whose seven slices are all in instances, each used by two slots."""
    cuts = sorted(rng.sample(range(1, 7), rng.randint(0, 6)))
    sizes = [end - start for start, end in zip((0, *cuts), (*cuts, 7), strict=True)]
    mig = tuple(MigInstance(f"MIG-{i}", f"{n}g", n, n << 30, i) for i, n in enumerate(sizes))
    bursts = []
    for slot in range(2 * len(mig)):
        start = rng.uniform(0, 30)
        bursts.append(Burst(0, slot, start, start + rng.uniform(1, 30), rng.uniform(0.1, 0.5), instance=slot // 2))
    return Trace((Gpu("GPU-1", "NVIDIA H100", 80 << 30, 70.0, 700.0, mig=mig),), (), tuple(bursts))


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), start=st.floats(0, 30), length=st.floats(0.1, 30))
def test_a_card_is_the_sum_of_its_instances(seed: int, start: float, length: float) -> None:
    trace, end = random_mig_trace(random.Random(seed)), start + length
    instances = range(len(trace.gpus[0].mig))
    weighted = sum(trace.gpus[0].mig[i].slices * trace.busy(0, start, end, instance=i) / 7 for i in instances)
    assert trace.busy(0, start, end) == pytest.approx(weighted)
    assert trace.joules(0, start, end) == pytest.approx(sum(trace.joules(0, start, end, instance=i) for i in instances))
    for i in instances:
        slots = (trace.slot_busy(0, slot, start, end, instance=i) for slot in (2 * i, 2 * i + 1))
        assert trace.busy(0, start, end, instance=i) == pytest.approx(sum(slots))


def test_a_trace_refuses_what_no_machine_has() -> None:
    with pytest.raises(ValueError, match="no such instance"):
        Trace(GPUS, (), (Burst(0, 0, 0.0, 1.0, 0.5),))
    with pytest.raises(ValueError, match="no such instance"):
        Trace(GPUS, (Hold(1, 0, 0.0, 1.0, 1, instance=0),), ())
    with pytest.raises(ValueError, match="instance 1 of GPU 0 is used for more"):
        Trace(GPUS, (), (Burst(0, 0, 0, 2, 0.6, instance=1), Burst(0, 1, 1, 3, 0.6, instance=1)))
    with pytest.raises(ValueError, match="7 slices"):
        Gpu("GPU-1", "NVIDIA H100", 80 << 30, 70.0, 700.0, mig=(*MIG, MigInstance("MIG-4", "3g.40gb", 3, 1, 1)))
