"""One run for a terminal: who and when, the GPUs, use over time, idle stretches, advice. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import tzinfo

from gpuwatch.model.history import RunOnDevice
from gpuwatch.report.figures import written_hours, written_money, written_number
from gpuwatch.report.formats.prose import SIMULATED, explanation
from gpuwatch.report.formats.text import plain, web_link
from gpuwatch.report.notes import NO_PRICE
from gpuwatch.report.run.layout import Column, table, wrapped
from gpuwatch.report.run.plot import device_labels, plotted
from gpuwatch.report.run.stretches import Limits
from gpuwatch.report.run.summary import Asked, Summary
from gpuwatch.report.run.words import UNKNOWN, gibibytes, gpu_names, known, length, moment, percent
from gpuwatch.units import MINUTE

_MOST_STRETCHES = 8
_LABEL = 9


def page(summary: Summary, asked: Asked, limits: Limits, *, width: int, zone: tzinfo | None = None) -> str:
    """The page, in `width` columns, with moments in `zone` (None is the system's)."""
    sections = [
        list(_who(summary, asked, width, zone)),
        _devices(summary, width),
        plotted(summary, limits, width=width, zone=zone),
        list(_idle(summary, limits, width, zone)),
        list(_advice(summary, width)),
        [explanation(asked.questions)] if asked.questions else [],
    ]
    return "\n\n".join("\n".join(section) for section in sections if section)


def _who(summary: Summary, asked: Asked, width: int, zone: tzinfo | None) -> Iterator[str]:
    about, owner = summary.about, summary.owner
    if asked.simulated:
        yield SIMULATED
    rows = [
        ("run", owner.run),
        ("name", about.name if about else ""),
        ("user", owner.user),
        ("project", owner.project),
        ("kind", about.kind if about else ""),
        ("source", about.source if about else ""),
        ("job", about.batch_job if about else ""),
        ("link", web_link(about.url) if about else ""),
        ("time", _time(summary, zone)),
        ("nodes" if len(summary.nodes) > 1 else "node", ", ".join(summary.nodes)),
        ("GPUs", _models(summary)),
        ("use", _use(summary)),
        ("cost", _cost(summary)),
        ("CPU", "" if summary.cores is None else f"{written_number(summary.cores)} cores in the mean"),
        ("record", asked.source),
        ("found", asked.meant_by),
    ]
    for label, value in rows:
        if value := plain(value):
            yield from wrapped(value, width, first=label.ljust(_LABEL))


def _time(summary: Summary, zone: tzinfo | None) -> str:
    start, end = summary.started_unix, summary.span.end_unix
    ends = "still there" if summary.still_there else f"to {moment(end, zone)}"
    told = f"{'since ' * summary.still_there}{moment(start, zone)} {ends}, {length(end - start)}"
    if summary.span.start_unix - start < MINUTE:
        return told
    return f"{told}; the record of it begins {moment(summary.span.start_unix, zone)}"


def _models(summary: Summary) -> str:
    models = Counter(device.model for device, _ in summary.devices)
    return ", ".join(f"{many} {model}" for model, many in sorted(models.items()))


def _use(summary: Summary) -> str:
    total = summary.total
    return f"{percent(total.utilization)} of {written_hours(total.held)} GPU-hours, {written_hours(total.idle)} idle"


def _cost(summary: Summary) -> str:
    if summary.price is None:
        return NO_PRICE
    price, total = summary.price, summary.total
    paid, unused = (written_money(price.of(seconds), price.currency) for seconds in (total.held, total.idle))
    return f"{paid}, of which {unused} for idle time"


def _devices(summary: Summary, width: int) -> list[str]:
    devices = [device for device, _ in summary.devices]
    figures = [figures for _, figures in summary.devices]
    labels = list(device_labels(summary, width))
    if len(devices) > 1:
        labels, figures = [*labels, "all"], [*figures, summary.total]
    peaks = [_memory(device) for device in devices]
    peaks += [_memory(summary.memory_peak)] * (len(devices) > 1)
    columns = [
        Column("GPU", labels, right=False),
        Column("held h", [written_hours(f.held) for f in figures]),
        Column("busy h", [written_hours(f.busy) for f in figures], rank=2),
        Column("idle h", [written_hours(f.idle) for f in figures]),
        Column("use", [percent(f.utilization) for f in figures]),
        Column("SMs", [percent(f.sm_ratio) for f in figures], rank=3),
        Column("memory GiB", peaks, rank=1),
        Column("kWh", [known(written_number, f.energy_kwh) for f in figures], rank=4),
    ]
    if summary.total.sm_ratio is None:
        columns = [column for column in columns if column.head != "SMs"]
    return table(columns, width)


def _memory(device: RunOnDevice | None) -> str:
    if device is None or not device.memory_peak_bytes:
        return UNKNOWN
    return f"{gibibytes(device.memory_peak_bytes)} of {gibibytes(device.memory_bytes)}"


def _idle(summary: Summary, limits: Limits, width: int, zone: tzinfo | None) -> Iterator[str]:
    if not summary.stretches:
        return
    longest = sorted(summary.stretches, key=lambda stretch: -stretch.idle)[:_MOST_STRETCHES]
    most = f", the {_MOST_STRETCHES} worst of {len(summary.stretches)}" * (len(summary.stretches) > _MOST_STRETCHES)
    yield f"Idle for {length(limits.idle_after_seconds)} or longer (under {percent(limits.idle_below)}{most}):"
    for stretch in sorted(longest):
        when = f"{moment(stretch.start_unix, zone)} to {moment(stretch.end_unix, zone)}"
        told = f"{when}  {length(stretch.seconds)}, {written_hours(stretch.idle)} GPU-h, {gpu_names(stretch.gpus)}"
        yield from wrapped(plain(told), width, first="  ", rest="    ")


def _advice(summary: Summary, width: int) -> Iterator[str]:
    if summary.advice:
        yield "Advice:"
    for advice in summary.advice:
        yield from wrapped(plain(advice.text), width, first="  - ", rest="    ")
