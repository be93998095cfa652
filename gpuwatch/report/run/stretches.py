"""When a run held GPUs for long and did not use them. Pure; what counts as idle, and from when on, is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from gpuwatch.model.history import Bin, RunOnDevice
from gpuwatch.report.run.figures import activity, label_of

_JOINED_SECONDS = 1.0
"""Bins that begin so soon after the last one's end go on from it."""
_ALIKE = 0.8
"""Stretches of several GPUs are one where they share so much of the time that either takes."""


class Limits(NamedTuple):
    """The thresholds of judgement."""

    idle_below: float
    """Activity of a bin."""
    idle_after_seconds: float


class IdleStretch(NamedTuple):
    """A stretch of time in which some GPUs were held and not used."""

    start_unix: float
    end_unix: float
    gpus: tuple[str, ...]
    idle: float
    """Seconds of whole GPUs."""

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end_unix - self.start_unix


def find_stretches(devices: Iterable[RunOnDevice], limits: Limits, now_unix: float) -> list[IdleStretch]:
    """All of a run, ascending. Those of several GPUs at about the same time are one, from the first to the last."""
    found = sorted(chain.from_iterable(stretches_of(device, limits, now_unix) for device in devices))
    merged: list[IdleStretch] = []
    for stretch in found:
        alike = next((place for place, other in enumerate(merged) if _are_alike(other, stretch)), None)
        if alike is None:
            merged.append(stretch)
        else:
            merged[alike] = _joined(merged[alike], stretch)
    return merged


def stretches_of(device: RunOnDevice, limits: Limits, now_unix: float) -> Iterator[IdleStretch]:
    """Those of one device. What was not seen ends one: it is neither idle nor proof."""
    for bins in _idle_rows(device.bins, limits.idle_below):
        start, end = bins[0].start_unix, min(bins[-1].start_unix + bins[-1].seconds, now_unix)
        if end - start >= limits.idle_after_seconds:
            idle = sum(piece.held - piece.busy for piece in bins) * device.capacity
            yield IdleStretch(start, end, (label_of(device),), idle)


def _idle_rows(bins: Iterable[Bin], idle_below: float) -> Iterator[list[Bin]]:
    """Bins under the threshold, as long as each goes on from the last."""
    row: list[Bin] = []
    for piece in bins:
        is_idle = activity(piece) < idle_below
        if row and not (is_idle and piece.start_unix - row[-1].start_unix - row[-1].seconds < _JOINED_SECONDS):
            yield row
            row = []
        if is_idle:
            row.append(piece)
    if row:
        yield row


def _are_alike(one: IdleStretch, other: IdleStretch) -> bool:
    shared = min(one.end_unix, other.end_unix) - max(one.start_unix, other.start_unix)
    return shared >= _ALIKE * (max(one.end_unix, other.end_unix) - min(one.start_unix, other.start_unix))


def _joined(one: IdleStretch, other: IdleStretch) -> IdleStretch:
    return IdleStretch(
        min(one.start_unix, other.start_unix),
        max(one.end_unix, other.end_unix),
        (*one.gpus, *other.gpus),
        one.idle + other.idle,
    )
