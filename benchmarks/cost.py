"""Cheap: the agent beside `nvitop-exporter`, and beside a bare loop over the same NVML calls.

All three look once a second at the same stand-in driver, with 8 GPUs and 64 processes on them, each a run of its own:
the most series that such a node can have. Both exporters are scraped as Prometheus does it, and our state file is on.
All are measured in the same slices of time, every second of them on a machine with 10,000 more processes, so that what
else the machine does falls on all alike.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from rig import Agent, free_port, wait_until
from standin.driver import StandIn
from standin.trace import steady_trace

from benchmarks.crowd import crowd
from benchmarks.launches import USER_IDS, launches
from benchmarks.meter import Scrape, Scraper, measure_cpu, read_memory
from benchmarks.report import Figure, Options

GPUS: Final = 8
SLOTS_PER_GPU: Final = 8
INTERVAL: Final = 1.0
SCRAPE_SECONDS: Final = 15.0
CROWD: Final = 10_000
_WARM_UP_SECONDS: Final = 20.0
_SETTLE_SECONDS: Final = 3.0
"""After a crowd has come or gone."""
_TIMED_SCRAPES: Final = 21
_TRACE_SECONDS: Final = 86400.0
_FLOOR: Final = Path(__file__).with_name("floor.py")
_PEER: Final = "nvitop_exporter"


class Slices(NamedTuple):
    """CPU in percent of a core, of the agent, the peer and the floor, slice by slice."""

    alone: Sequence[Sequence[float]]
    in_crowd: Sequence[Sequence[float]]


def run(options: Options) -> list[Figure]:
    """Figures of the agent, the peer and the floor, measured for `options.seconds`, and as long again in a crowd.

    Raises:
        RuntimeError: the peer is not installed.
    """
    if find_spec(_PEER) is None:
        raise RuntimeError("nvitop-exporter is not installed: pip install -e '.[bench]'")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        trace = steady_trace(GPUS, SLOTS_PER_GPU, _TRACE_SECONDS, 0.8)
        driver = stack.enter_context(StandIn(folder, trace))
        for slot, pid in enumerate(stack.enter_context(launches(GPUS * SLOTS_PER_GPU, user_ids=USER_IDS))):
            driver.set_pid(slot, pid)
        driver.start()
        agent = stack.enter_context(Agent(folder, driver.environment(), interval=INTERVAL))
        port = free_port()
        peer = stack.enter_context(_process(_peer_command(port), driver))
        floor = stack.enter_context(_process([sys.executable, str(_FLOOR), str(INTERVAL)], driver))
        scrapers = [Scraper(agent.port), Scraper(port)]
        for scraper in scrapers:
            stack.callback(scraper.close)
        wait_until(lambda: _answers(scrapers[1]), seconds=20, what="a first scrape of nvitop-exporter")
        time.sleep(_WARM_UP_SECONDS)
        pids = [agent.pid, peer.pid, floor.pid]
        slices = _measure(pids, scrapers, options.seconds)
        scrapes = _time_scrapes(scrapers)
        return [*_cpu_figures(slices), *_memory_figures(pids), *_scrape_figures(scrapes)]


def _peer_command(port: int) -> list[str]:
    module = [sys.executable, "-m", _PEER]
    return [*module, "--bind-address", "127.0.0.1", "--port", str(port), "--interval", str(INTERVAL)]


@contextmanager
def _process(command: Sequence[str], driver: StandIn) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, **driver.environment()}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _answers(scraper: Scraper) -> bool:
    try:
        scraper.scrape()
    except OSError:
        scraper.close()
        return False
    return True


def _measure(pids: Sequence[int], scrapers: Sequence[Scraper], seconds: float) -> Slices:
    """Slices of the length of one scrape interval, alone and in a crowd by turns."""
    alone, in_crowd = [], []
    for _ in range(max(1, round(seconds / SCRAPE_SECONDS))):
        alone.append(measure_cpu(pids, scrapers, SCRAPE_SECONDS))
        with crowd(CROWD):
            time.sleep(_SETTLE_SECONDS)
            in_crowd.append(measure_cpu(pids, scrapers, SCRAPE_SECONDS))
        time.sleep(_SETTLE_SECONDS)
    return Slices(alone, in_crowd)


def _time_scrapes(scrapers: Sequence[Scraper]) -> list[list[Scrape]]:
    """Scrapes of each in turn, so far apart that each finds new readings to render."""
    scrapes = []
    for _ in range(_TIMED_SCRAPES):
        time.sleep(1.1 * INTERVAL)
        scrapes.append([scraper.scrape() for scraper in scrapers])
    return list(map(list, zip(*scrapes, strict=True)))


def _cpu_figures(slices: Slices) -> Iterator[Figure]:
    ours, theirs, floor = (median(of) for of in zip(*slices.alone, strict=True))
    crowded = median(of[0] for of in slices.in_crowd)
    ratio = median(of[0] / of[1] for of in slices.alone)
    yield Figure("CPU, gpuwatch", ours, "% core")
    yield Figure("CPU, nvitop-exporter", theirs, "% core")
    yield Figure("CPU, the bare NVML calls", floor, "% core")
    yield Figure("CPU, gpuwatch / nvitop-exporter", ratio, "", 1 / 8)
    yield Figure("CPU, gpuwatch / the bare NVML calls", ours / floor, "")
    yield Figure(f"CPU, gpuwatch, {CROWD} processes more", crowded, "% core")
    yield Figure(f"CPU, gpuwatch, {CROWD} processes more / without", crowded / ours, "", 1.1)


def _memory_figures(pids: Sequence[int]) -> Iterator[Figure]:
    ours, theirs, floor = map(read_memory, pids)
    yield Figure("RSS, gpuwatch", ours.rss, "MiB", 40.0)
    yield Figure("PSS, gpuwatch", ours.pss, "MiB")
    yield Figure("RSS, nvitop-exporter", theirs.rss, "MiB")
    yield Figure("PSS, nvitop-exporter", theirs.pss, "MiB")
    yield Figure("RSS, the bare NVML calls", floor.rss, "MiB")


def _scrape_figures(scrapes: Sequence[Sequence[Scrape]]) -> Iterator[Figure]:
    ours, theirs = (1000 * median(scrape.seconds for scrape in of) for of in scrapes)
    yield Figure("scrape, gpuwatch, median", ours, "ms")
    yield Figure("scrape, nvitop-exporter, median", theirs, "ms")
    yield Figure("scrape, gpuwatch / nvitop-exporter", ours / theirs, "", 0.5)
    for name, of in zip(("gpuwatch", "nvitop-exporter"), scrapes, strict=True):
        yield Figure(f"scrape, {name}, packed body", of[-1].size / 1000, "kB")
