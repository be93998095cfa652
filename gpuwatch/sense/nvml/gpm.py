"""GPM: the counters of activity that Hopper and newer keep for every GPU and every MIG instance."""

from __future__ import annotations

from typing import Any, NamedTuple

import pynvml

from gpuwatch.errors import GpuUnavailable
from gpuwatch.sense.nvml.calls import Calls
from gpuwatch.units import PERCENTS

_METRICS = (1, 2, 5, 10)
"""NVML_GPM_METRIC_…: GRAPHICS_UTIL, SM_UTIL, ANY_TENSOR_UTIL, DRAM_BW_UTIL; by number, as in card.py."""


class Ratios(NamedTuple):
    """Means over a stretch: any kernel ran, SMs with work, tensor cores at work, memory bandwidth used."""

    graphics: float | None
    sm: float | None
    tensor: float | None
    dram: float | None


class Gpm:
    """Two samples of one device's counters, of which the older one is taken anew each time."""

    def __init__(self, calls: Calls, instance: int | None) -> None:
        self._calls = calls
        self._instance = instance
        self._older: Any = None
        self._newer: Any = None
        self._begun = False

    def measure(self) -> Ratios | None:
        """Activity since the last call, which must be over 0.1 s ago; None at the first, and where there is none.

        A vGPU is told to have these counters, and fails at each sample: that must not cost the rest of its readings. A
        GPU that is lost says so at those. Raises DriverUnavailable.
        """
        begun, self._begun = self._begun, False
        try:
            if self._take() is None:
                return None
            self._older, self._newer = self._newer, self._older
            answer = self._calls.ask(_read_metrics, self._older, self._newer) if begun else None
        except GpuUnavailable:
            return None
        self._begun = True
        return None if answer is None else Ratios(*answer)

    def _take(self) -> Any:
        """Take the older sample anew. Both are made when first wanted: nothing frees them."""
        if self._older is None:
            self._older = self._calls.ask(_make_sample)
        if self._newer is None:
            self._newer = self._calls.ask(_make_sample)
        if self._instance is None:
            return self._calls.ask(pynvml.nvmlGpmSampleGet, self._older)
        return self._calls.ask(pynvml.nvmlGpmMigSampleGet, self._instance, self._older)


def open_gpm(calls: Calls, *, instance: int | None = None) -> Gpm | None:
    """The counters of a GPU, or of one of its MIG GPU instances; None where it keeps none."""
    support = calls.ask(pynvml.nvmlGpmQueryDeviceSupport)
    return Gpm(calls, instance) if support is not None and support.isSupportedDevice else None


def _make_sample(_: Any) -> Any:
    return pynvml.nvmlGpmSampleAlloc()


def _read_metrics(_: Any, older: Any, newer: Any) -> list[float | None]:
    wanted = pynvml.c_nvmlGpmMetricsGet_t()
    wanted.version = pynvml.NVML_GPM_METRICS_GET_VERSION
    wanted.numMetrics = len(_METRICS)
    wanted.sample1, wanted.sample2 = older, newer
    for place, metric in enumerate(_METRICS):
        wanted.metrics[place].metricId = metric
    pynvml.nvmlGpmMetricsGet(wanted)
    return [_ratio(wanted.metrics[place]) for place in range(len(_METRICS))]


def _ratio(metric: Any) -> float | None:
    known = metric.nvmlReturn == pynvml.NVML_SUCCESS and 0 <= metric.value <= PERCENTS
    return metric.value / PERCENTS if known else None
