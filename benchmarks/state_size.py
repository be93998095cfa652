"""Size: ninety days of eight shared GPUs, written through the real store on a driven clock, and the file they make."""

from __future__ import annotations

import random
import sqlite3
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.report import Figure, Options
from gpuwatch.account.device import Outcome
from gpuwatch.account.ledger import Ledger
from gpuwatch.account.split import Stretch, split
from gpuwatch.model import GpuInfo, Identity, Mark, Owner, Run
from gpuwatch.state.file import FILE_NAME
from gpuwatch.state.store import Store
from gpuwatch.units import DAY, HOUR, MINUTE

DAYS: Final = 90
GPUS: Final = 8
OWNERS_PER_GPU: Final = 2
USERS: Final = ("ada", "grace", "barbara")
SHORTEST_RUN_SECONDS, LONGEST_RUN_SECONDS = 2 * HOUR, 6 * HOUR
LIMIT_MB: Final = 100.0
START_UNIX: Final = 1_700_000_000


class Place:
    """Where one run after the other has its part of a GPU."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._until_unix = 0.0
        self._count = 0
        self.run: Run | None = None

    def run_at(self, unix: float, rng: random.Random) -> Run:
        """The run that is here at `unix`: a new one where the last has ended."""
        if self.run is None or unix >= self._until_unix:
            self._until_unix = unix + rng.uniform(SHORTEST_RUN_SECONDS, LONGEST_RUN_SECONDS)
            self._count += 1
            owner = Owner(rng.choice(USERS), "vision", f"adhoc:train.py-{self._count:x}p{self._number}@node-17")
            self.run = Run(owner, Identity(rng.randrange(4_000_000), rng.randrange(10**9)), unix, "adhoc", "train.py")
        return self.run


def run(options: Options) -> list[Figure]:
    """Figures of one file."""
    rng = random.Random(options.seed)
    with TemporaryDirectory() as name:
        began = time.perf_counter()
        with closing(Store(Path(name), unix=START_UNIX)) as store:
            fill(store, rng)
        seconds = time.perf_counter() - began
        size = sum(file.stat().st_size for file in Path(name).iterdir()) / 1e6
        return [
            Figure(f"{DAYS} days of {GPUS} GPUs with {OWNERS_PER_GPU} owners each", size, "MB", LIMIT_MB),
            Figure("time for it", seconds, "s"),
            *(Figure(f"rows of {table}", rows, "") for table, rows in _count_rows(Path(name, FILE_NAME))),
        ]


def fill(store: Store, rng: random.Random) -> None:
    """Every minute of the days from START_UNIX on, saved as the agent saves a cycle."""
    infos = [GpuInfo(f"GPU-{uuid.UUID(int=rng.getrandbits(128))}", i, "NVIDIA H100", "") for i in range(GPUS)]
    ledger = Ledger()
    by_uuid = {info.uuid: info for info in infos}
    places = {info.uuid: [Place(OWNERS_PER_GPU * info.index + n) for n in range(OWNERS_PER_GPU)] for info in infos}
    for unix in range(START_UNIX, START_UNIX + DAYS * DAY, MINUTE):
        for device in by_uuid:
            _enter_minute(ledger, device, [place.run_at(unix, rng) for place in places[device]], unix, rng)
        ledger.put_away(set(), unix)
        store.commit(ledger.changes(), by_uuid, unix=unix)
        ledger.settle()
        store.tidy(unix=unix)


def _enter_minute(ledger: Ledger, device: str, runs: Sequence[Run], unix: int, rng: random.Random) -> None:
    stretch = Stretch(MINUTE, MINUTE * rng.random(), MINUTE * rng.uniform(70.0, 700.0))
    division = split(stretch, [run.owner for run in runs], {run.owner: rng.random() for run in runs})
    mark = Mark(unix, unix, unix * rng.random())
    ledger.enter(device, Outcome(mark, division.device, division.charges), unix=unix)
    for run_here in runs:
        ledger.describe(run_here.owner, run_here)
        ledger.enter_memory((device, run_here.owner), rng.randrange(80 << 30))
        ledger.enter_cpu(run_here.owner, rng.random())


def _count_rows(file: Path) -> Iterator[tuple[str, int]]:
    with closing(sqlite3.connect(file)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
        for (table,) in tables:
            yield table, connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0]
