"""The live page: how long an answer takes on a full node, and what a hundred open pages cost the agent.

The node has 16 GPUs and 200 real processes on them, each a run of its own. An open page does what a browser with one
does: it asks on one connection for what is new, at full five seconds by its clock. Clocks are up to 0.1 s apart.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from rig import Agent
from standin.driver import StandIn
from standin.trace import steady_trace

from benchmarks.launches import USER_IDS, launches
from benchmarks.meter import read_cpu_seconds, read_memory
from benchmarks.report import Figure, Options

GPUS: Final = 16
RUNS: Final = 200
PAGES: Final = 100
EVERY_SECONDS: Final = 5.0
"""As in the page's own script."""
_SLOTS_PER_GPU: Final = -(-RUNS // GPUS)
CLOCKS_APART: Final = 0.1
"""Seconds, at most: they are set by NTP."""
_WARM_UP_SECONDS: Final = 20.0
_TIMED: Final = 21
_TRACE_SECONDS: Final = 86400.0
_REQUEST: Final = "GET {path} HTTP/1.1\r\nHost: n7\r\nAccept-Encoding: gzip, deflate\r\nIf-None-Match: {tag}\r\n\r\n"


def run(options: Options) -> list[Figure]:
    """Figures of answers and of the agent's CPU, measured for `options.seconds` with no page open, and with many."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        trace = steady_trace(GPUS, _SLOTS_PER_GPU, _TRACE_SECONDS, 0.8)
        driver = stack.enter_context(StandIn(folder, trace))
        for slot, pid in enumerate(stack.enter_context(launches(RUNS, user_ids=USER_IDS))):
            driver.set_pid(slot, pid)
        driver.start()
        agent = stack.enter_context(Agent(folder, driver.environment()))
        time.sleep(_WARM_UP_SECONDS)
        runs = sum(run["holding"] for gpu in agent.status()["gpus"] for run in gpu["runs"])
        before = read_memory(agent.pid).rss
        alone = _cpu(agent, [], options.seconds)
        answers = list(_answers(agent))
        crowded = _cpu(agent, _spread(CLOCKS_APART), options.seconds)
        scattered = _cpu(agent, _spread(EVERY_SECONDS), options.seconds)
        return [
            Figure("runs that hold a GPU", runs, ""),
            *answers,
            Figure("CPU, no page open", alone, "% core"),
            Figure(f"CPU, {PAGES} pages open", crowded, "% core"),
            Figure(f"CPU, for {PAGES} pages", crowded - alone, "% core", 2.0),
            Figure(f"CPU, for {PAGES} pages whose clocks are not set", scattered - alone, "% core"),
            Figure("RSS, before anybody looked", before, "MiB"),
            Figure("RSS, after", read_memory(agent.pid).rss, "MiB"),
        ]


def _answers(agent: Agent) -> Iterator[Figure]:
    """Answers so far apart that each finds new readings to render."""
    connection = HTTPConnection("127.0.0.1", agent.port, timeout=10)
    for path in ("/", "/api/v1/page", "/api/v1/status"):
        seconds, size = [], 0
        for _ in range(_TIMED):
            time.sleep(1.1)
            began = time.perf_counter()
            connection.request("GET", path)
            size = len(connection.getresponse().read())
            seconds.append(time.perf_counter() - began)
        yield Figure(f"{path}, median", 1000 * median(seconds), "ms", 20.0)
        yield Figure(f"{path}, not packed", size / 1000, "kB", 100.0 if path == "/" else None)
    connection.close()


def _spread(seconds: float) -> list[float]:
    """For each page, how late its clock is."""
    return [seconds * number / PAGES for number in range(PAGES)]


def _cpu(agent: Agent, pages: Sequence[float], seconds: float) -> float:
    """The agent's CPU in percent of a core while pages are open, with clocks that are so late."""
    return asyncio.run(_with_pages(agent, pages, seconds))


async def _with_pages(agent: Agent, pages: Sequence[float], seconds: float) -> float:
    opened = [asyncio.create_task(_page(agent.port, late)) for late in pages]
    await asyncio.sleep(2 * EVERY_SECONDS)
    began, before = time.perf_counter(), read_cpu_seconds(agent.pid)
    await asyncio.sleep(seconds)
    used, elapsed = read_cpu_seconds(agent.pid) - before, time.perf_counter() - began
    _end(opened)
    return 100 * used / elapsed


def _end(pages: Sequence[asyncio.Task[None]]) -> None:
    for page in pages:
        if page.done():
            page.result()  # it never ends by itself: this raises why it did
        page.cancel()


async def _page(port: int, late: float) -> None:
    """One open page."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    path, tag = "/", '""'
    while True:
        await asyncio.sleep(EVERY_SECONDS - (time.time() - late) % EVERY_SECONDS)
        writer.write(_REQUEST.format(path=path, tag=tag).encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        await reader.readexactly(int(headers.get("content-length", "0")))
        path, tag = "/api/v1/page", headers["etag"]
