"""What a Prometheus would have stored of a node's pages, as text with time stamps that promtool makes blocks of."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self, TextIO

BLOCK_SECONDS: Final = 7200
JOB: Final = "gpuwatch"
_KEPT: Final = tuple(
    f"gpuwatch_{name}{{".encode()
    for name in (
        "build_info",
        "user_gpu_held_seconds_total",
        "user_gpu_busy_seconds_total",
        "user_gpu_energy_joules_total",
        "gpu_state_seconds_total",
        "gpu_energy_joules_total",
        "gpu_busy_seconds_total",
        "gpu_unattributed_busy_seconds_total",
        "gpu_info",
        "gpu_capacity_ratio",
        "run_gpu_held_seconds_total",
        "run_gpu_busy_seconds_total",
        "run_gpu_energy_joules_total",
        "run_start_time_seconds",
        "run_info",
    )
)
"""What reports read. The rest would only take time."""


class Scrapes:
    """Files of what was scraped, one for each block of Prometheus's, in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[int, TextIO] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Files are made as they are needed."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close them."""
        self._stack.close()

    def add(self, page: bytes, instances: Iterable[str], *, unix: float) -> None:
        """A page as it is stored of each target that it came from."""
        lines = [line.decode() for line in page.splitlines() if line.startswith(_KEPT)]
        file = self._file(int(unix // BLOCK_SECONDS))
        for instance in instances:
            target = f'{{instance="{instance}",job="{JOB}",'
            file.writelines(f"{line.replace('{', target, 1)} {unix:.3f}\n" for line in lines)

    def _file(self, block: int) -> TextIO:
        if block not in self._files:
            path = self._folder / f"{block}.metrics"
            self._files[block] = self._stack.enter_context(path.open("w", encoding="utf-8"))
        return self._files[block]
