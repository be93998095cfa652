"""Fleet: what a report by user asks a real Prometheus, over a generated week of 1,000 nodes with the rules in force.

Two weeks are written, the reported one and the one before it that it is compared with: all that such a report reads, as
densely as the rules record it. Only two things are thinner than in life: a node's readings (`up`, build info) are four
minutes apart, and of each of the 400,000 runs there are four pieces of five minutes.
"""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple, TextIO

from rig import free_port
from servers import program, prometheus

from benchmarks.report import Figure, Options
from gpuwatch.model.history import Source, Window
from gpuwatch.report import recorded
from gpuwatch.report.prometheus import open_prometheus
from gpuwatch.report.server import Server
from gpuwatch.units import DAY, HOUR, MINUTE

NODES, GPUS, PAIRS, SERVICES, RUNS_PER_GPU = 1000, 8, 200, 10, 50
LIMIT_SECONDS: Final = 5.0
_BLOCK: Final = 54 * HOUR
"""As far as a server merges its blocks."""
_END: Final = 9210 * _BLOCK
_WEEK: Final = Window(_END - 7 * DAY, _END)
_BEFORE: Final = Window(_END - 14 * DAY, _END - 7 * DAY)
_FIVE: Final = 5 * MINUTE
_SLOT: Final = 7 * DAY // RUNS_PER_GPU
_STEP_OF_USERS: Final = 7
"""From one GPU to the next the user is another: coprime to PAIRS."""


class Written(NamedTuple):
    """What there is in the end."""

    samples: int
    series: int
    held: float
    """GPU seconds of people in the reported week."""


class Writer:
    """OpenMetrics text of one block, series by series."""

    def __init__(self, file: TextIO, block: Window, rng: random.Random) -> None:
        self._file, self._block, self._rng = file, block, rng
        self.samples, self.held = 0, 0.0
        self.series: set[str] = set()

    def name(self, name: str) -> None:
        """A metric begins."""
        self._file.write(f"# TYPE {name} unknown\n")

    def write(self, series: str, every: int, most: float, *, within: Window = _WEEK, counted: bool = False) -> None:
        """A series with random values up to `most`; 0 is one that stays 1."""
        start = max(self._block.start, within.start)
        times = range(int(-(-(start + 1) // every) * every), int(min(self._block.end, within.end)) + 1, every)
        if not times:
            return
        values = self._rng.choices(_values(most), k=len(times))
        self._file.write("".join([f"{series} {value} {at}\n" for value, at in zip(values, times, strict=True)]))
        self.samples += len(times)
        self.series.add(series)
        if counted:
            self.held += sum(value for value, at in zip(values, times, strict=True) if at > _WEEK.start)


@cache
def _values(most: float) -> list[float]:
    return [round(most * n / 97, 3) for n in range(98)] if most else [1.0]


def run(options: Options) -> list[Figure]:
    """Figures of one generated fleet."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        began = time.perf_counter()
        written = _write_blocks(folder, random.Random(options.seed))
        took = time.perf_counter() - began
        size = sum(file.stat().st_size for file in (folder / "data").rglob("*") if file.is_file())
        with prometheus(folder, free_port()) as server:
            source = open_prometheus(Server(f"http://127.0.0.1:{server.port}"), now_unix=float(_END))
            figures = list(_measure(source, written.held))
    return [
        Figure("samples", written.samples / 1e6, "million"),
        Figure("series", written.series, ""),
        Figure("on disk", size / 1e6, "MB"),
        Figure("time to generate", took, "s"),
        *figures,
    ]


def _measure(source: Source, held: float) -> Iterator[Figure]:
    people = ("user",)
    asked: Sequence[tuple[str, Callable[[], object]]] = (
        ("extent: nodes, first and last reading", lambda: source.extent(_WEEK)),
        ("what became of the GPUs", lambda: source.fleet(_WEEK, (), {})),
        ("use by user", lambda: source.usage(_WEEK, people, {})),
        ("services by user", lambda: source.usage(_WEEK, people, {"kind": ["service"]})),
        ("the week before: GPUs", lambda: source.fleet(_BEFORE, (), {})),
        ("the week before: use", lambda: source.usage(_BEFORE, (), {})),
        ("worst runs", lambda: source.worst_runs(_WEEK, people, {})),
    )
    total = 0.0
    for name, ask in asked:
        began = time.perf_counter()
        ask()
        seconds = time.perf_counter() - began
        total += seconds
        yield Figure(name, seconds, "s")
    yield Figure("a report by user over a week, all it asks", total, "s", LIMIT_SECONDS)
    yield Figure("queries", len(source.asked), "")
    found = sum(use.held for use in source.usage(_WEEK, people, {}).values())
    yield Figure("GPU seconds held: read, against written", abs(found / held - 1) * 100, "%", 0.01)
    if not source.name.endswith("recorded series"):
        raise RuntimeError(f"not the recorded series were read: {source.name}")


def _write_blocks(folder: Path, rng: random.Random) -> Written:
    samples, held, series, taken = 0, 0.0, set[str](), []
    with ThreadPoolExecutor(1) as pool:  # what is written is taken in while the next is written
        for start in range(int(_BEFORE.start // _BLOCK) * _BLOCK, _END, _BLOCK):
            text = folder / f"{start}.om"
            with text.open("w", encoding="utf-8") as file:
                writer = Writer(file, Window(start, start + _BLOCK - 1), rng)
                for family in (_people, _fleet, _nodes, _kinds, _worst, _runs):
                    family(writer)
                file.write("# EOF\n")
            taken.append(pool.submit(_take_in, text, folder / "data"))
            samples, held, series = samples + writer.samples, held + writer.held, series | writer.series
        for one in taken:
            one.result()
    return Written(samples, len(series), held)


def _take_in(text: Path, data: Path) -> None:
    command = [program("promtool"), "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=54h"]
    subprocess.run([*command, str(text), str(data)], check=True, capture_output=True)
    text.unlink()


_BOTH: Final = Window(_BEFORE.start, _WEEK.end)


def _pair(number: int) -> str:
    return f'user="user{number // 2}",project="project{number}"'


def _people(writer: Writer) -> None:
    for metric, most in ((recorded.PEOPLE_HELD, 4800.0), (recorded.PEOPLE_BUSY, 2400.0), (recorded.PEOPLE_JOULES, 2e6)):
        writer.name(metric)
        for pair in range(PAIRS):
            series = f"{metric}{{{_pair(pair)}}}"
            writer.write(series, MINUTE, most, within=_BOTH, counted=metric == recorded.PEOPLE_HELD)


def _fleet(writer: Writer) -> None:
    writer.name(recorded.STATES)
    for state in ("active", "idle", "free", "unavailable", "unknown"):
        writer.write(f'{recorded.STATES}{{state="{state}"}}', MINUTE, NODES * GPUS * 24.0, within=_BOTH)
    for metric, most in ((recorded.JOULES, 2e8), (recorded.UNATTRIBUTED_BUSY, 60.0), (recorded.HEARTBEAT, 0.0)):
        writer.name(metric)
        writer.write(metric, MINUTE, most, within=_BOTH)


def _nodes(writer: Writer) -> None:
    writer.name(recorded.NODE_CAPACITY)
    for node in range(NODES):
        writer.write(
            f'{recorded.NODE_CAPACITY}{{node="n{node}",model="NVIDIA H100 80GB HBM3"}}', _FIVE, 0, within=_BOTH
        )
    for metric in ("gpuwatch_build_info", "up"):
        writer.name(metric)
        for node in range(NODES):
            own = f',node="n{node}",driver="570.86.10"' if metric != "up" else ""
            writer.write(f'{metric}{{job="gpuwatch",instance="n{node}"{own}}}', 4 * MINUTE, 0, within=_BOTH)


def _kind(pair: int) -> str:
    return ',kind="service"' if pair >= PAIRS - SERVICES else ""


def _kinds(writer: Writer) -> None:
    kinds = (
        (recorded.KIND_HELD, 24000.0), (recorded.KIND_BUSY, 12000.0), (recorded.KIND_JOULES, 1e7),
        (recorded.KIND_SM_ACTIVE, 6000.0),
    )  # fmt: skip
    for metric, most in kinds:
        writer.name(metric)
        for pair in range(PAIRS):
            writer.write(f"{metric}{{{_pair(pair)}{_kind(pair)}}}", _FIVE, most, within=_BOTH)
    writer.name(recorded.RUNS_STARTED)
    for pair in range(PAIRS):
        writer.write(f"{recorded.RUNS_STARTED}{{{_pair(pair)}}}", _FIVE, 97.0, within=_BOTH)


def _slots() -> Iterator[tuple[int, Window]]:
    for slot in range(RUNS_PER_GPU):
        start = _WEEK.start + slot * _SLOT
        yield slot, Window(start, start + _SLOT - 1)


def _worst(writer: Writer) -> None:
    """Of each pair one run after the other: one of those on a GPU that is theirs in that slot."""
    writer.name(recorded.WORST_RUN)
    inverse = pow(_STEP_OF_USERS, -1, PAIRS)
    for slot, within in _slots():
        for pair in range(PAIRS):
            gpu = (pair - slot) * inverse % PAIRS
            writer.write(
                f'{recorded.WORST_RUN}{{{_pair(pair)},run="slurm:{gpu}-{slot}"}}', _FIVE, 9999.0, within=within
            )


def _runs(writer: Writer) -> None:
    for metric, most in ((recorded.RUN_HELD, 300.0), (recorded.RUN_BUSY, 150.0)):
        writer.name(metric)
        for slot, within in _slots():
            for gpu in range(NODES * GPUS):
                pair = (gpu * _STEP_OF_USERS + slot) % PAIRS
                place = f'node="n{gpu // GPUS}",gpu="{gpu % GPUS}",model="NVIDIA H100 80GB HBM3"'
                labels = f'{place},{_pair(pair)},run="slurm:{gpu}-{slot}"{_kind(pair)}'
                writer.write(f"{metric}{{{labels}}}", _SLOT // 4 // _FIVE * _FIVE, most, within=within)
