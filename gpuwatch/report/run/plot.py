"""Use over time as lines of blocks, one a device, all on the same axis. Pure."""

from __future__ import annotations

from datetime import tzinfo
from functools import partial

from gpuwatch.report.figures import written_number
from gpuwatch.report.formats.text import plain
from gpuwatch.report.run.figures import label_of
from gpuwatch.report.run.layout import cells, cut, pad, wrapped
from gpuwatch.report.run.stretches import Limits
from gpuwatch.report.run.summary import Summary
from gpuwatch.report.run.timeline import BLOCKS, GAP, Axis, axis_of, cores_over, sparkline, use_over
from gpuwatch.report.run.words import clock, length, percent
from gpuwatch.units import DAY

_CPU = "CPU"
_MOST_STEPS = 120
_BETWEEN_MARKS = 4
_MOST_MARKS = 6


def plotted(summary: Summary, limits: Limits, *, width: int, zone: tzinfo | None) -> list[str]:
    """The lines, a legend above and an axis below."""
    labels = device_labels(summary, width)
    margin = max(cells(text) for text in (*labels, _CPU)) + 2
    axis = axis_of(summary.span, min(_MOST_STEPS, width - margin))
    lines = [
        pad(label, margin) + sparkline(use_over(axis, device.bins), low=limits.idle_below)
        for label, (device, _) in zip(labels, summary.devices, strict=True)
    ]
    low = f"{BLOCKS[0]} under {percent(limits.idle_below)}"
    legend = f"Use, {length(axis.step_seconds)} a step: {low}, {GAP} not held or not seen"
    if summary.cpu:
        cores = cores_over(axis, summary.cpu)
        most = max(value or 0.0 for value in cores)
        lines.append(pad(_CPU, margin) + sparkline(cores, top=most))
        legend += f"; CPU up to {written_number(most)} cores"
    return [*wrapped(legend, width), *lines, " " * margin + _marks(axis, zone)]


def device_labels(summary: Summary, width: int) -> list[str]:
    """The devices as they are called among those of a run: without their node, where that is the same for all."""
    devices = [device for device, _ in summary.devices]
    names = (device.gpu for device in devices) if len(summary.nodes) == 1 else map(label_of, devices)
    return [cut(plain(name), max(8, width // 3)) for name in names]


def _marks(axis: Axis, zone: tzinfo | None) -> str:
    """Moments below the steps: the first one at the start, the last at the end, as many between as have room."""
    seconds = axis.steps * axis.step_seconds
    texts = partial(clock, zone=zone, with_day=seconds > DAY / 2)
    wide = len(texts(axis.start_unix))
    spaces = max(1, min(_MOST_MARKS, (axis.steps + _BETWEEN_MARKS) // (wide + _BETWEEN_MARKS)) - 1)
    line = ""
    for place in range(spaces + 1):
        share = place / spaces
        line = line.ljust(round(share * (axis.steps - wide))) + texts(axis.start_unix + share * seconds)
        if axis.steps < 2 * wide + 1:
            return line
    return line
