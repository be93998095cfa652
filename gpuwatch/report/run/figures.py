"""What a run had of its GPUs: on each and in all, and over which time. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from gpuwatch.model.history import Bin, RunOnDevice, RunRecord
from gpuwatch.report.figures import JOULES_IN_KWH


class Figures(NamedTuple):
    """GPU time in seconds of whole GPUs, and energy in joules."""

    held: float = 0.0
    busy: float = 0.0
    joules: float = 0.0
    sm_active: float = 0.0
    sm_held: float = 0.0
    """Held time on those GPUs that tell their SM activity."""

    @property
    def idle(self) -> float:
        """Held and not used."""
        return max(0.0, self.held - self.busy)

    @property
    def utilization(self) -> float | None:
        """Busy by held; None where nothing was held."""
        return self.busy / self.held if self.held else None

    @property
    def sm_ratio(self) -> float | None:
        """The share of all SMs that were active while it was held; None where no GPU tells."""
        return self.sm_active / self.sm_held if self.sm_held else None

    @property
    def energy_kwh(self) -> float | None:
        """None where it is not measured: a GPU that is held draws power, so 0 is no measurement."""
        return self.joules / JOULES_IN_KWH if self.joules else None


class Span(NamedTuple):
    """From the first moment of a run in the record to its last (UTC)."""

    start_unix: float
    end_unix: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return max(0.0, self.end_unix - self.start_unix)


def figures_of(device: RunOnDevice) -> Figures:
    """What it had of one device."""
    weight, bins = device.capacity, device.bins
    held = sum(piece.held for piece in bins) * weight
    return Figures(
        held=held,
        busy=sum(piece.busy for piece in bins) * weight,
        joules=sum(piece.joules for piece in bins),
        sm_active=sum(piece.sm_active for piece in bins) * weight if device.sm_known else 0.0,
        sm_held=held if device.sm_known else 0.0,
    )


def total_of(devices: Iterable[RunOnDevice]) -> Figures:
    """What it had in all."""
    total = Figures()
    for device in devices:
        total = Figures(*(a + b for a, b in zip(total, figures_of(device), strict=True)))
    return total


def activity(piece: Bin) -> float:
    """Busy by held in one bin."""
    return piece.busy / piece.held if piece.held else 0.0


def held_on(device: RunOnDevice) -> float:
    """Seconds of the device itself for which it was held: so long it was seen there."""
    return sum(piece.held for piece in device.bins)


def label_of(device: RunOnDevice) -> str:
    """What people call it: `NODE/INDEX`, of a MIG instance `NODE/INDEX:INSTANCE`."""
    return f"{device.node}/{device.gpu}"


def span_of(record: RunRecord, now_unix: float) -> Span | None:
    """Over which time it held GPUs; None where the record has nothing of it.

    Bins are of whole minutes or more: what began within the first has its own start, and none ends after now.
    """
    pieces = [piece for device in record.devices for piece in device.bins]
    if not pieces:
        return None
    first = min(pieces, key=lambda piece: piece.start_unix)
    start = first.start_unix
    if record.about is not None and start < record.about.started_unix < start + first.seconds:
        start = record.about.started_unix
    end = max(piece.start_unix + piece.seconds for piece in pieces)
    return Span(start, max(start, min(end, now_unix)))


def mean_cores(record: RunRecord, span: Span) -> float | None:
    """CPU cores that it kept busy in the mean of the time in which it was seen; None where that is unknown.

    Of the time since its CPU seconds are known: a server that came to it late has its GPU time from its start.
    """
    if not record.cpu:
        return None
    seconds = _seen_seconds(record, Span(max(span.start_unix, record.cpu[0][0]), span.end_unix))
    return sum(used for _, _, used in record.cpu) / seconds if seconds else None


def _seen_seconds(record: RunRecord, span: Span) -> float:
    """The length of all its bins together, those of its CPU time included, each moment counted once."""
    pieces = {(piece.start_unix, piece.seconds) for device in record.devices for piece in device.bins}
    pieces |= {(start, seconds) for start, seconds, _ in record.cpu}
    seen, until = 0.0, span.start_unix
    for start, seconds in sorted(pieces):
        end = min(start + seconds, span.end_unix)
        seen += max(0.0, end - max(start, until))
        until = max(until, end)
    return seen
