"""Reports from the state: ninety days of eight shared GPUs by user, from a file that is in nobody's memory.

The days are those of `state_size`.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.report import Figure, Options
from benchmarks.state_size import DAYS, START_UNIX, fill
from gpuwatch.model.history import Window
from gpuwatch.state import raw
from gpuwatch.state.file import FILE_NAME
from gpuwatch.state.history import History, open_history
from gpuwatch.state.store import Store
from gpuwatch.units import DAY

LIMIT_SECONDS: Final = 1.0
_END_UNIX: Final = START_UNIX + DAYS * DAY
_WINDOW: Final = Window(START_UNIX, _END_UNIX)


def run(options: Options) -> list[Figure]:
    """Figures of one file."""
    with TemporaryDirectory() as name:
        directory = Path(name)
        with closing(Store(directory, unix=START_UNIX, simulated=True)) as store:
            fill(store, random.Random(options.seed))
        _forget(directory / FILE_NAME)
        cold = _seconds(directory, _sum)
        warm = min(_seconds(directory, _sum) for _ in range(3))
        report = min(_seconds(directory, _report) for _ in range(3))
        with open_history(directory, node="node-17", now_unix=_END_UNIX) as history:
            rows = raw.count(history.reader, _WINDOW)
    return [
        Figure(f"{DAYS} days by user, opened and summed, the file not in memory", cold, "s", LIMIT_SECONDS),
        Figure("the same, the file in memory", warm, "s"),
        Figure("and all GPU time, and the worst runs: a report by user", report, "s", LIMIT_SECONDS),
        Figure("rows of charges", rows.charges, ""),
        Figure("rows of devices", rows.devices, ""),
    ]


def _seconds(directory: Path, ask: Callable[[History], object]) -> float:
    began = time.perf_counter()
    with open_history(directory, node="node-17", now_unix=_END_UNIX) as history:
        ask(history)
    return time.perf_counter() - began


def _sum(history: History) -> None:
    history.usage(_WINDOW, ["user"], {})


def _report(history: History) -> None:
    history.extent(_WINDOW)
    history.usage(_WINDOW, ["user"], {})
    history.fleet(_WINDOW, [], {})
    history.worst_runs(_WINDOW, ["user"], {})


def _forget(file: Path) -> None:
    """Have the system drop the file from its memory."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
