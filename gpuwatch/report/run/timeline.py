"""Use over time, on one axis for all devices of a run: steps of equal length, drawn as a line of blocks. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gpuwatch.model.history import Bin
from gpuwatch.report.run.figures import Span
from gpuwatch.units import MINUTE

BLOCKS = "▁▂▃▄▅▆▇█"
GAP = "·"
_Steps = list[float | None]


class Axis(NamedTuple):
    """The steps that a stretch of time is drawn in."""

    start_unix: float
    step_seconds: float
    steps: int


def axis_of(span: Span, most: int) -> Axis:
    """At most `most` steps over the span, none shorter than a minute."""
    steps = max(1, min(most, math.ceil(span.seconds / MINUTE)))
    return Axis(span.start_unix, max(span.seconds, 1.0) / steps, steps)


def use_over(axis: Axis, bins: Iterable[Bin]) -> _Steps:
    """Busy by held in each step; None where there is no bin: not held, or not seen."""
    return _spread(axis, ((piece.start_unix, piece.seconds, piece.busy, piece.held) for piece in bins))


def cores_over(axis: Axis, cpu: Iterable[tuple[float, float, float]]) -> _Steps:
    """CPU cores kept busy in each step; None where there is no bin. The last bin may not be over."""
    end = axis.start_unix + axis.steps * axis.step_seconds
    passed = ((start, min(seconds, end - start), used) for start, seconds, used in cpu if start < end)
    return _spread(axis, ((start, seconds, used, seconds) for start, seconds, used in passed))


def _spread(axis: Axis, pieces: Iterable[tuple[float, float, float, float]]) -> _Steps:
    """Parts by wholes in each step, of pieces (start, seconds, part, whole) that are even in themselves."""
    parts, wholes = [0.0] * axis.steps, [0.0] * axis.steps
    for start, seconds, part, whole in pieces:
        first = (start - axis.start_unix) / axis.step_seconds
        last = first + seconds / axis.step_seconds
        for step in range(max(0, math.floor(first)), min(axis.steps, math.ceil(last))):
            share = (min(last, step + 1) - max(first, step)) / (last - first)
            parts[step] += part * share
            wholes[step] += whole * share
    return [part / whole if whole else None for part, whole in zip(parts, wholes, strict=True)]


def sparkline(values: Sequence[float | None], *, top: float = 1.0, low: float = 0.0) -> str:
    """A block for each value, up to `top`: the lowest one is for those under `low` of it, and no others."""
    return "".join(GAP if value is None else _block(value / top if top else 0.0, low) for value in values)


def _block(ratio: float, low: float) -> str:
    if ratio < low:
        return BLOCKS[0]
    least = 1 if low else 0
    return BLOCKS[min(len(BLOCKS) - 1, least + int(ratio * (len(BLOCKS) - least)))]
