"""One run, made out of its record: what it had where and when, its cost, and what would have been better. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo

from gpuwatch.model import Owner, Run
from gpuwatch.model.history import Question, RunOnDevice, RunRecord
from gpuwatch.report.document import Price
from gpuwatch.report.run.advice import Advice, advise
from gpuwatch.report.run.evidence import evidence_of
from gpuwatch.report.run.figures import Figures, Span, figures_of, mean_cores, span_of, total_of
from gpuwatch.report.run.stretches import IdleStretch, Limits, find_stretches
from gpuwatch.units import HOUR, MINUTE

_STILL_THERE_SECONDS = 2 * MINUTE
"""Since its last bin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is told of the asking beside the record itself."""

    source: str
    """Where the figures come from, in words."""
    simulated: bool
    meant_by: str
    """How a number that was given was understood; empty for names."""
    questions: Sequence[Question] = ()
    """All that was asked for it, where somebody wants it explained."""


@dataclass(frozen=True, slots=True)
class Summary:
    """All that is told of one run."""

    owner: Owner
    about: Run | None
    span: Span
    """Of the record; what is known of the run's start stands in `about`."""
    still_there: bool
    devices: tuple[tuple[RunOnDevice, Figures], ...]
    """By node and index."""
    total: Figures
    memory_peak: RunOnDevice | None
    """The device that was filled most; None where none tells."""
    cpu: tuple[tuple[float, float, float], ...]
    cores: float | None
    """In the mean of the time in which it was seen."""
    stretches: tuple[IdleStretch, ...]
    advice: tuple[Advice, ...]
    price: Price | None

    @property
    def nodes(self) -> list[str]:
        """Where it was."""
        return sorted({device.node for device, _ in self.devices})

    @property
    def core_hours(self) -> float | None:
        """Of CPU cores, in all; None where that is unknown."""
        return sum(used for _, _, used in self.cpu) / HOUR if self.cpu else None

    @property
    def started_unix(self) -> float:
        """When it began, as far as that is known."""
        return self.about.started_unix if self.about is not None and self.about.started_unix else self.span.start_unix


def summarize(
    record: RunRecord, limits: Limits, *, now_unix: float, price: Price | None = None, zone: tzinfo | None = None
) -> Summary | None:
    """The summary of a run; None where the record has nothing of it. Advice tells moments in `zone`."""
    span = span_of(record, now_unix)
    if span is None:
        return None
    devices = sorted((device for device in record.devices if device.bins), key=_place)
    still_there = span.end_unix >= now_unix - _STILL_THERE_SECONDS
    return Summary(
        owner=record.owner,
        about=record.about,
        span=span,
        still_there=still_there,
        devices=tuple((device, figures_of(device)) for device in devices),
        total=total_of(devices),
        memory_peak=max((d for d in devices if d.memory_peak_bytes), key=_filled, default=None),
        cpu=record.cpu,
        cores=mean_cores(record, span),
        stretches=tuple(find_stretches(devices, limits, now_unix)),
        advice=tuple(advise(evidence_of(record, span, limits, still_there=still_there), zone)),
        price=price,
    )


def _place(device: RunOnDevice) -> tuple[str, int, str]:
    index, _, instance = device.gpu.partition(":")
    return device.node, int(index) if index.isdecimal() else 0, instance


def _filled(device: RunOnDevice) -> float:
    """How full it was; of those of which the size is not known, whichever has most."""
    peak = device.memory_peak_bytes or 0
    return peak / device.memory_bytes if device.memory_bytes else peak / 2**50
