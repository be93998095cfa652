"""An agent killed again and again under a scraper: nothing falls, nothing is lost, nothing doubles."""

from __future__ import annotations

import random
import time
from pathlib import Path

from rig import Agent, Exposition, idle_processes, parse, total
from standin.driver import StandIn
from standin.trace import random_trace

KILLS = 6
INTERVAL = 0.5
SEED = 7


def falls(pages: list[Exposition]) -> list[str]:
    """Counters that were lower on a page than on one before."""
    highest: Exposition = {}
    fallen = []
    for page in pages:
        for key, value in page.items():
            if key[0].endswith("_total"):
                if value < highest.get(key, 0.0):
                    fallen.append(f"{key}: {highest[key]}, then {value}")
                highest[key] = max(value, highest.get(key, 0.0))
    return fallen


def test_kill_after_kill_costs_less_than_an_interval(tmp_path: Path) -> None:
    draw = random.Random(SEED)
    trace = random_trace(SEED, seconds=60, gpus=2, slots=6)
    pages: list[Exposition] = []
    with StandIn(tmp_path, trace) as driver, idle_processes(6) as pids:
        for slot, pid in enumerate(pids):
            driver.set_pid(slot, pid)
        driver.start()
        with Agent(tmp_path, driver.environment(), interval=INTERVAL) as agent:
            for _ in range(KILLS):
                deadline = time.monotonic() + draw.uniform(0.2, 1.2)
                while time.monotonic() < deadline:
                    pages.append(parse(agent.get("/metrics").decode()))
                    time.sleep(0.1)
                agent.kill()
                agent.start()
            pages.append(agent.scrape())
            looks = [driver.queries(gpu) for gpu in range(2)]
    assert falls(pages) == []
    last = pages[-1]
    for gpu, times in enumerate(looks):
        at = {"gpu": str(gpu)}
        elapsed = total(last, "gpuwatch_gpu_state_seconds_total", **at)
        assert abs(elapsed - (times[-1] - times[0])) < 2 * INTERVAL
        assert total(last, "gpuwatch_gpu_state_seconds_total", state="unknown", **at) == 0
        busy = trace.busy(gpu, times[0], times[-1])
        assert abs(total(last, "gpuwatch_gpu_busy_seconds_total", **at) - busy) < 2 * INTERVAL
        assert total(last, "gpuwatch_gpu_unattributed_busy_seconds_total", **at) < 0.01 * busy + 0.01
