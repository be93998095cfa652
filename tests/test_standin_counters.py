"""The stand-in's counters of reduced clocks and memory errors, and its second call for process utilisation."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from ctypes import byref
from pathlib import Path

import pynvml as nvml
import pytest
from standin.driver import StandIn
from standin.trace import REASONS, Burst, Gpu, Hold, Reason, Throttle, Trace

FIELDS: dict[Reason, int] = {
    "power_cap": nvml.NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_POWER_CAP,
    "thermal": nvml.NVML_FI_DEV_PERF_POLICY_THERMAL,
    "sync_boost": nvml.NVML_FI_DEV_CLOCKS_EVENT_REASON_SYNC_BOOST,
    "board_limit": nvml.NVML_FI_DEV_PERF_POLICY_BOARD_LIMIT,
    "reliability": nvml.NVML_FI_DEV_PERF_POLICY_RELIABILITY,
    "sw_thermal": nvml.NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN,
    "hw_thermal": nvml.NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN,
    "hw_power_brake": nvml.NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN,
}
NEW: set[Reason] = {"power_cap", "sync_boost", "sw_thermal", "hw_thermal", "hw_power_brake"}
OLD: set[Reason] = {"power_cap", "sync_boost", "thermal", "board_limit", "reliability"}
GPUS = (
    Gpu("GPU-11111111-aaaa", "NVIDIA H100 80GB HBM3", 80 << 30, 70.0, 700.0),
    Gpu("GPU-22222222-bbbb", "NVIDIA L40S", 48 << 30, 35.5, 350.0),
)
THROTTLES = tuple(Throttle(0, reason, float(start), 12.5) for start, reason in enumerate(REASONS))
TRACE = Trace(
    GPUS,
    (Hold(0, 0, 0.0, 30.0, 1 << 30), Hold(0, 1, 0.0, 30.0, 1 << 30)),
    (Burst(0, 0, 2.0, 11.0, 0.6), Burst(0, 1, 3.0, 12.0, 0.25)),
    throttles=(*THROTTLES, Throttle(0, "power_cap", 14.0, 15.0), Throttle(1, "power_cap", 3.0, 4.0)),
)
EPOCH_US = 1_700_000_000_000_000
NOT_SUPPORTED = nvml.NVML_ERROR_NOT_SUPPORTED


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[StandIn]:
    with StandIn(tmp_path, TRACE) as standin:
        standin.preload()
        standin.epoch_us = EPOCH_US
        for slot in range(2):
            standin.set_pid(slot, 100 + slot)
        nvml.nvmlInit()
        yield standin
        nvml.nvmlShutdown()


def handle(gpu: int) -> object:
    return nvml.nvmlDeviceGetHandleByIndex(gpu)


def error_of(call: Callable[..., object], *arguments: object) -> int:
    with pytest.raises(nvml.NVMLError) as caught:
        call(*arguments)
    return int(caught.value.value)


def counters(gpu: int) -> dict[Reason, int]:
    """The counters that the card has, in nanoseconds."""
    values = nvml.nvmlDeviceGetFieldValues(handle(gpu), list(FIELDS.values()))
    assert {value.valueType for value in values} == {nvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG}
    assert {value.nvmlReturn for value in values} <= {nvml.NVML_SUCCESS, NOT_SUPPORTED}
    pairs = zip(FIELDS, values, strict=True)
    return {reason: value.value.ullVal for reason, value in pairs if value.nvmlReturn == nvml.NVML_SUCCESS}


def test_throttle_counters_play_the_trace(driver: StandIn) -> None:
    driver.freeze(0.5)
    before = counters(0)
    assert set(before) == NEW
    assert min(before.values()) > 0
    for end in (4.25, 14.5, 30.0):
        driver.freeze(end)
        grown = {reason: (count - before[reason]) / 1e9 for reason, count in counters(0).items()}
        assert grown == pytest.approx({reason: TRACE.throttled(0, reason, 0.5, end) for reason in NEW})
    assert counters(1)["power_cap"] - counters(1)["sw_thermal"] == 1_000_000_000


def test_older_cards_count_other_reasons(driver: StandIn) -> None:
    driver.unsupported("throttle_new")
    before = counters(0)
    driver.freeze(10.0)
    grown = {reason: (count - before[reason]) / 1e9 for reason, count in counters(0).items()}
    assert grown == pytest.approx({reason: TRACE.throttled(0, reason, 0, 10) for reason in OLD})
    driver.unsupported("throttle")
    assert counters(0) == {}


def test_an_unknown_field_fails_alone(driver: StandIn) -> None:
    driver.freeze(2.5)
    known, unknown = nvml.nvmlDeviceGetFieldValues(handle(0), [74, 9999])
    assert (known.nvmlReturn, known.timestamp) == (nvml.NVML_SUCCESS, EPOCH_US + 2_500_000)
    assert (unknown.fieldId, unknown.nvmlReturn) == (9999, NOT_SUPPORTED)
    assert error_of(nvml.nvmlDeviceGetFieldValues, handle(0), []) == nvml.NVML_ERROR_INVALID_ARGUMENT
    driver.lose(0)
    device = nvml.nvmlDeviceGetHandleByIndex(1)
    assert nvml.nvmlDeviceGetFieldValues(device, [74])[0].nvmlReturn == nvml.NVML_SUCCESS


def test_a_lost_card_counts_nothing(driver: StandIn) -> None:
    device = handle(0)
    driver.lose(0)
    assert error_of(nvml.nvmlDeviceGetFieldValues, device, [74]) == nvml.NVML_ERROR_GPU_IS_LOST
    assert error_of(nvml.nvmlDeviceGetTotalEccErrors, device, 0, 0) == nvml.NVML_ERROR_GPU_IS_LOST


def test_the_reasons_of_now(driver: StandIn) -> None:
    reasons = nvml.nvmlDeviceGetCurrentClocksEventReasons
    driver.freeze(14.5)
    assert reasons(handle(0)) == nvml.nvmlClocksEventReasonSwPowerCap
    driver.freeze(13.0)
    assert reasons(handle(0)) == nvml.nvmlClocksEventReasonNone
    driver.freeze(12.0)
    assert reasons(handle(0)) & nvml.nvmlClocksEventReasonSwThermalSlowdown


def test_a_reload_resets_what_the_driver_counts(driver: StandIn) -> None:
    errors, corrected = nvml.nvmlDeviceGetTotalEccErrors, nvml.NVML_MEMORY_ERROR_TYPE_CORRECTED
    driver.set_ecc(0, corrected=7, uncorrected=1)
    driver.freeze(6.0)
    driver.driver_gone()
    driver.driver_back()
    nvml.nvmlShutdown()
    nvml.nvmlInit()
    assert set(counters(0).values()) == {0}
    assert errors(handle(0), corrected, nvml.NVML_VOLATILE_ECC) == 0
    assert errors(handle(0), corrected, nvml.NVML_AGGREGATE_ECC) == 7
    driver.freeze(8.0)
    assert counters(0)["power_cap"] == 2_000_000_000
    driver.set_ecc(0, corrected=9, uncorrected=1)
    assert errors(handle(0), corrected, nvml.NVML_VOLATILE_ECC) == 2


def test_memory_errors(driver: StandIn) -> None:
    def errors(gpu: int) -> list[int]:
        kinds = (nvml.NVML_MEMORY_ERROR_TYPE_CORRECTED, nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED)
        return [nvml.nvmlDeviceGetTotalEccErrors(handle(gpu), kind, nvml.NVML_AGGREGATE_ECC) for kind in kinds]

    assert errors(0) == [0, 0]
    driver.set_ecc(0, corrected=5, uncorrected=2)
    assert (errors(0), errors(1)) == ([5, 2], [0, 0])
    assert error_of(nvml.nvmlDeviceGetTotalEccErrors, handle(0), 2, 0) == nvml.NVML_ERROR_INVALID_ARGUMENT
    driver.unsupported("ecc")
    assert error_of(errors, 0) == NOT_SUPPORTED


def test_both_calls_for_process_utilisation_tell_the_same(driver: StandIn) -> None:
    def fields(samples: list[object]) -> set[tuple[int, ...]]:
        names = ("pid", "timeStamp", "smUtil", "memUtil", "encUtil", "decUtil")
        return {tuple(getattr(sample, name) for name in names) for sample in samples}

    driver.freeze(13.0)
    since_us = EPOCH_US + 8_000_000
    newer = nvml.nvmlDeviceGetProcessesUtilizationInfo(handle(0), since_us)
    assert fields(newer) == fields(nvml.nvmlDeviceGetProcessUtilization(handle(0), since_us))
    truth = {100 + slot: round(100 * TRACE.slot_busy(0, slot, 8, 13) / 5) for slot in (0, 1)}
    assert {sample.pid: sample.smUtil for sample in newer} == truth
    driver.unsupported("process_utilization_zero")
    assert {s.smUtil for s in nvml.nvmlDeviceGetProcessUtilization(handle(0), since_us)} == {0}
    assert fields(nvml.nvmlDeviceGetProcessesUtilizationInfo(handle(0), since_us)) == fields(newer)
    assert error_of(nvml.nvmlDeviceGetProcessesUtilizationInfo, handle(1), 0) == nvml.NVML_ERROR_NOT_FOUND


def test_the_second_call_checks_its_version(driver: StandIn) -> None:
    request = nvml.c_nvmlProcessesUtilizationInfo_v1_t(version=0x02000018)
    call = nvml.nvmlLib.nvmlDeviceGetProcessesUtilizationInfo
    assert call(handle(0), byref(request)) == nvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH


MISSING = """
import pynvml as n
n.nvmlInit()
try:
    n.nvmlDeviceGetProcessesUtilizationInfo(n.nvmlDeviceGetHandleByIndex(0), 0)
except n.NVMLError as error:
    print(error.value == n.NVML_ERROR_FUNCTION_NOT_FOUND)
"""


def test_an_older_driver_lacks_the_second_call(tmp_path: Path) -> None:
    with StandIn(tmp_path, TRACE, without={"nvmlDeviceGetProcessesUtilizationInfo"}) as standin:
        command, environment = [sys.executable, "-c", MISSING], os.environ | standin.environment()
        assert subprocess.check_output(command, env=environment, text=True) == "True\n"


def test_a_trace_throttles_for_one_reason_once_at_a_time() -> None:
    both = (Throttle(0, "power_cap", 0.0, 2.0), Throttle(0, "power_cap", 1.0, 3.0))
    with pytest.raises(ValueError, match="twice at once"):
        Trace(GPUS, (), (), throttles=both)
