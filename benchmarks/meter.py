"""What a process costs: its CPU time, its memory, and a scrape of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from http.client import HTTPConnection
from pathlib import Path
from typing import Final, NamedTuple

SCRAPE_HEADERS: Final = {
    "User-Agent": "Prometheus/2.42.0",
    "Accept": (
        "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
        "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
    ),
    "Accept-Encoding": "gzip",
    "X-Prometheus-Scrape-Timeout-Seconds": "10",
}
"""What Prometheus 2.42 sends."""


class Memory(NamedTuple):
    """Resident and proportional set size in MiB."""

    rss: float
    pss: float


class Scrape(NamedTuple):
    """How long a scrape took (seconds), and the bytes of its body, packed as they came."""

    seconds: float
    size: int


def read_cpu_seconds(pid: int) -> float:
    """CPU time of all threads that the process has now, as the scheduler counted it in nanoseconds."""
    files = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(file.read_text(encoding="ascii").split()[0]) for file in files) / 1e9


def read_memory(pid: int) -> Memory:
    """Memory of the process now."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    kibibytes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines[1:])}
    return Memory(kibibytes["Rss"] / 1024, kibibytes["Pss"] / 1024)


class Scraper:
    """A client like a Prometheus server: one connection, kept for as long as the other side keeps it."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=10)

    def scrape(self) -> Scrape:
        """One scrape, timed from the request to the last byte."""
        began = time.perf_counter()
        self._connection.request("GET", "/metrics", headers=SCRAPE_HEADERS)
        with self._connection.getresponse() as answer:
            body = answer.read()
        seconds = time.perf_counter() - began
        if answer.status != 200:
            raise RuntimeError(f"a scrape was answered with {answer.status}")
        return Scrape(seconds, len(body))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def measure_cpu(pids: Sequence[int], scrapers: Sequence[Scraper], seconds: float) -> list[float]:
    """CPU of each process in percent of a core over `seconds`, in the middle of which all are scraped once."""
    began, before = time.perf_counter(), [read_cpu_seconds(pid) for pid in pids]
    time.sleep(seconds / 2)
    for scraper in scrapers:
        scraper.scrape()
    time.sleep(max(0.0, began + seconds - time.perf_counter()))
    after, elapsed = [read_cpu_seconds(pid) for pid in pids], time.perf_counter() - began
    return [100 * (then - now) / elapsed for now, then in zip(before, after, strict=True)]
