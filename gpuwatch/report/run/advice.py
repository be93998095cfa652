"""What would have been better, each with the figure that it rests on. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import tzinfo
from typing import Final, NamedTuple

from gpuwatch.model.history import RunOnDevice
from gpuwatch.report.document import SERVICE
from gpuwatch.report.figures import written_hours
from gpuwatch.report.run.evidence import Evidence, busy_threads, find_straggler, idle_tail, last_busy, most_at_once
from gpuwatch.report.run.figures import held_on, label_of, total_of
from gpuwatch.report.run.words import counted, gibibytes, gpu_names, length, moment, percent
from gpuwatch.units import DAY, HOUR, MINUTE

_ROOMY_BELOW = 0.25
"""Of a GPU's memory, at the peak."""
_WAITING_BELOW = 0.6
"""Use of GPUs that wait for a thread. A thread that waits for its GPU spins too, but then the GPU is in use."""
_SMALL_KERNELS_BELOW = 0.15
"""SM activity, of the time in which kernels run."""
_BUSY_FROM = 0.3
"""Use from which on it matters what the SMs do."""
_STRAGGLER_BELOW, _STRAGGLER_APART = 0.6, 0.2
"""Of the others' use, and from it."""


class Advice(NamedTuple):
    """One piece of advice."""

    topic: str
    """One of TOPICS."""
    text: str
    """The evidence, and what would help."""


def advise(evidence: Evidence, zone: tzinfo | None) -> list[Advice]:
    """All that the evidence says, the dearest first. Moments are told in `zone`; None is the system's."""
    if not evidence.devices:
        return []
    told = [(topic, rule(evidence, zone)) for topic, rule in _RULES]
    return [Advice(topic, text) for topic, text in told if text]


def _idle_at_the_end(evidence: Evidence, zone: tzinfo | None) -> str:
    """All its GPUs are idle, or were when it ended. A service may be: it waits for requests."""
    about, tail = evidence.record.about, idle_tail(evidence)
    if tail is None or not evidence.used or (about is not None and about.kind == SERVICE):
        return ""
    busy, gpus, lost = moment(last_busy(evidence), zone), gpu_names(tail.gpus), f"{written_hours(tail.idle)} GPU-hours"
    if evidence.still_there:
        now = f"Idle for the last {length(tail.seconds)}: last busy {busy}, and it still holds {gpus}."
        return f"{now} {lost} went unused so far: end it if it has nothing more to do."
    until = f"{gpus} until {moment(tail.end_unix, zone)}"
    return f"Idle for its last {length(tail.seconds)}: last busy {busy}, it held {until}. {lost} went unused."


def _never_used(evidence: Evidence, _: tzinfo | None) -> str:
    """It held GPUs and used none."""
    if evidence.used:
        return ""
    return f"{_unused(evidence, evidence.devices)} Does it see them, and does it need any?"


def _more_than_used(evidence: Evidence, _: tzinfo | None) -> str:
    """It held more GPUs at a time than it ever used."""
    unused = [device for device in evidence.devices if device not in evidence.used]
    held, used = most_at_once(evidence.devices), most_at_once(evidence.used)
    if not evidence.used or not unused or used >= held:
        return ""
    return f"{_unused(evidence, unused)} Ask for {used} instead of {held}."


def _unused(evidence: Evidence, devices: Sequence[RunOnDevice]) -> str:
    which = gpu_names(label_of(device) for device in devices)
    seen = length(max(held_on(device) for device in devices))
    bin_ = _bin_name(max(piece.seconds for device in devices for piece in device.bins))
    was = "was" if len(devices) == 1 else "were"
    return f"{which} {was} never used: in no {bin_} of {seen} over {percent(evidence.limits.idle_below)}."


def _bin_name(seconds: float) -> str:
    return {MINUTE: "minute", HOUR: "hour", DAY: "day"}.get(int(seconds), f"stretch of {length(seconds)}")


def _waits_for_cpu(evidence: Evidence, _: tzinfo | None) -> str:
    """As many cores are busy as threads that feed the GPUs, and the GPUs are not."""
    use, cores = total_of(evidence.used).utilization, busy_threads(evidence)
    if use is None or cores is None or use >= _WAITING_BELOW:
        return ""
    gpus = "its GPU is" if len(evidence.used) == 1 else f"its {len(evidence.used)} GPUs are"
    busy = f"{counted(cores, 'core')} {'is' if cores == 1 else 'are'} at {percent(1.0)} while {gpus} at {percent(use)}"
    return f"The GPU waits for the CPU: {busy}. More data loading workers, or less work in the thread that feeds it."


def _straggler(evidence: Evidence, _: tzinfo | None) -> str:
    """One GPU does much less than the others."""
    found = find_straggler(evidence.used, below=_STRAGGLER_BELOW, apart=_STRAGGLER_APART)
    if found is None:
        return ""
    uneven = f"{gpu_names([found.gpu])} is at {percent(found.use)} while the others are at {percent(found.others)}"
    return f"{uneven}: is the work divided evenly, and is that GPU all right?"


def _small_kernels(evidence: Evidence, _: tzinfo | None) -> str:
    """Kernels run, on few of the GPU's processors."""
    total = total_of(device for device in evidence.used if device.sm_known)
    if (total.utilization or 0.0) < _BUSY_FROM or total.sm_active >= _SMALL_KERNELS_BELOW * total.busy:
        return ""
    busy = f"Busy {percent(total.utilization)} of the time, but with {percent(total.sm_ratio)} of the SMs"
    return f"{busy}: kernels are small, or wait for their launch. A larger batch, fused kernels or CUDA graphs."


def _much_memory_left(evidence: Evidence, _: tzinfo | None) -> str:
    """Even the peak of memory is a small part of the GPU's."""
    known = [(d.memory_peak_bytes, d.memory_bytes) for d in evidence.devices]
    peaks = [(peak / total, peak, total) for peak, total in known if peak and total]
    if len(peaks) < len(known):
        return ""
    share, peak, total = max(peaks)
    if share >= _ROOMY_BELOW:
        return ""
    figures = f"Memory peaked at {gibibytes(peak)} of {gibibytes(total)} GiB"
    return f"{figures}: a smaller GPU or a MIG slice would do, or there is room for a larger batch."


_RULES: Final[tuple[tuple[str, Callable[[Evidence, tzinfo | None], str]], ...]] = (
    ("idle-at-the-end", _idle_at_the_end),
    ("never-used", _never_used),
    ("more-than-used", _more_than_used),
    ("waits-for-cpu", _waits_for_cpu),
    ("straggler", _straggler),
    ("small-kernels", _small_kernels),
    ("much-memory-left", _much_memory_left),
)
TOPICS: Final = tuple(topic for topic, _ in _RULES)
"""What advice can be about, the dearest first."""
