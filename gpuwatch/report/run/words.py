"""How the figures of a run are written for people. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, tzinfo

from gpuwatch.report.figures import written_duration, written_share
from gpuwatch.units import MINUTE

UNKNOWN = "-"
_GIB = 2**30


def moment(unix: float, zone: tzinfo | None) -> str:
    """A moment in a zone, or in the system's."""
    return datetime.fromtimestamp(round(unix), zone).strftime("%Y-%m-%d %H:%M")


def clock(unix: float, zone: tzinfo | None, *, with_day: bool) -> str:
    """The same, in short."""
    return datetime.fromtimestamp(round(unix), zone).strftime("%m-%d %H:%M" if with_day else "%H:%M")


def length(seconds: float) -> str:
    """A length of time; seconds where it is under a minute."""
    return f"{seconds:.0f} s" if seconds < MINUTE else written_duration(seconds)


def known(write: Callable[[float], str], value: float | None) -> str:
    """A figure as it is written, and a dash where it is not known."""
    return UNKNOWN if value is None else write(value)


def percent(ratio: float | None) -> str:
    """A ratio in whole percent."""
    return written_share(ratio) or UNKNOWN


def gibibytes(size: float | None) -> str:
    """Bytes as GiB, without the unit."""
    return UNKNOWN if size is None else "<1" if 0 < size < _GIB / 2 else f"{size / _GIB:.0f}"


def counted(many: int, what: str) -> str:
    """`1 GPU`, `2 GPUs`."""
    return f"{many} {what}{'' if many == 1 else 's'}"


def gpu_names(labels: Iterable[str]) -> str:
    """`GPUs 0, 1, 2 of n7`, from `NODE/INDEX`; several nodes are told one after the other."""
    by_node: dict[str, list[str]] = {}
    for label in labels:
        node, _, gpu = label.rpartition("/")
        by_node.setdefault(node, []).append(gpu)
    return "; ".join(f"GPU{'s' * (len(gpus) > 1)} {ranges(gpus)} of {node}" for node, gpus in sorted(by_node.items()))


def ranges(gpus: Iterable[str]) -> str:
    """`0-3, 5` of whole GPUs; instances are told one by one."""
    whole = sorted({int(gpu) for gpu in gpus if gpu.isdecimal()})
    rows: list[list[int]] = []
    for gpu in whole:
        if rows and gpu == rows[-1][1] + 1:
            rows[-1][1] = gpu
        else:
            rows.append([gpu, gpu])
    told = [str(a) if a == b else f"{a}, {b}" if b == a + 1 else f"{a}-{b}" for a, b in rows]
    return ", ".join([*told, *sorted({gpu for gpu in gpus if not gpu.isdecimal()})])
