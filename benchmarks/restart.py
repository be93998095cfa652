"""Restart: an agent that is killed fifty times in a minute, under a scraper, on a random trace.

The scraper keeps every page that it gets; no counter on any of them may be lower than on an earlier one. At the end the
totals are held against the trace: what was lost, what was counted twice.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from rig import Agent, Exposition, parse, total, wait_until
from standin.driver import StandIn, boottime_us
from standin.trace import Trace, random_trace

from benchmarks.launches import USER_IDS, launches
from benchmarks.report import Figure, Options
from benchmarks.truth import CHARGES, STATES, charged, newest_sample, percent

SECONDS: Final = 60.0
SLOTS: Final = 24
KILLS: Final = 50
INTERVAL: Final = 1.0
SCRAPE_SECONDS: Final = 0.2
_LEAD_SECONDS: Final = 4.0
_TAIL_SECONDS: Final = 63.0
"""After the trace: the roll-up shows 0 in its first minute."""
_TOO_MUCH_PERCENT: Final = 0.5
"""As in `exact`: what whole percents of utilisation may add."""


class Found(NamedTuple):
    """All pages that the scraper got, in order; how often it got none; and the times of looks by GPU (trace time)."""

    pages: Sequence[Exposition]
    refused: int
    looks: Sequence[Sequence[float]]


class Scraping:
    """Scrapes the agent on a thread of its own for as long as the context lasts, whether it is there or not."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._scrape, name="scraper")
        self.bodies: list[bytes] = []
        self.refused = 0

    def __enter__(self) -> Scraping:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _scrape(self) -> None:
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            due += SCRAPE_SECONDS
            try:
                self.bodies.append(self._agent.get("/metrics"))
            except (OSError, HTTPException):
                self.refused += 1


def run(options: Options) -> list[Figure]:
    """Figures of one trace and one set of moments."""
    trace = random_trace(options.seed, seconds=SECONDS, slots=SLOTS)
    rng = random.Random(options.seed)
    moments = sorted(rng.uniform(0.0, SECONDS) for _ in range(KILLS))
    found = _play(trace, moments)
    return [*_fall_figures(found), *_device_figures(trace, found), *_owner_figures(trace, found)]


def _play(trace: Trace, moments: Sequence[float]) -> Found:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        driver = stack.enter_context(StandIn(folder, trace))
        for slot, pid in enumerate(stack.enter_context(launches(SLOTS, user_ids=USER_IDS))):
            driver.set_pid(slot, pid)
        driver.start(boottime_us() + round(_LEAD_SECONDS * 1e6))
        agent = stack.enter_context(Agent(folder, driver.environment(), interval=INTERVAL))
        with Scraping(agent) as scraping:
            for moment in moments:
                time.sleep(max(0.0, moment - driver.now()))
                agent.kill()
                agent.launch()
            wait_until(agent.is_serving, seconds=20, what="a reading after the last kill")
            time.sleep(max(0.0, SECONDS - driver.now()) + _TAIL_SECONDS)
        pages = [parse(body.decode()) for body in scraping.bodies]
        read_at = total(pages[-1], "gpuwatch_last_sample_timestamp_seconds", sensor="gpu") - driver.epoch_us / 1e6
        gpus = range(len(trace.gpus))
        looks = [[at for at in driver.queries(gpu) if at <= read_at + INTERVAL / 2] for gpu in gpus]
        return Found(pages, scraping.refused, looks)


def falls(pages: Sequence[Exposition]) -> list[tuple[str, float]]:
    """Every time that a counter was lower than on an earlier page: its name, and by how much."""
    highest: Exposition = {}
    fallen = []
    for page in pages:
        for key, value in page.items():
            if key[0].endswith("_total"):
                if value < highest.get(key, value):
                    fallen.append((key[0], highest[key] - value))
                highest[key] = max(value, highest.get(key, value))
    return fallen


def _fall_figures(found: Found) -> Iterator[Figure]:
    fallen = falls(found.pages)
    yield Figure("kills", KILLS, "")
    yield Figure("pages scraped", len(found.pages), "")
    yield Figure("scrapes while no agent listened", found.refused, "")
    for name in sorted({name for name, _ in fallen}):
        yield Figure(f"{name}, deepest fall", max(by for of, by in fallen if of == name), "")
    yield Figure("counters that fell", len(fallen), "", 0.0)


def _device_figures(trace: Trace, found: Found) -> Iterator[Figure]:
    page = found.pages[-1]
    lost, doubled, unknown, held_lost, busy_lost, busy_extra, joules_off = [], [], [], [], [], [], []
    for gpu, looks in enumerate(found.looks):
        at = {"gpu": str(gpu)}
        states = {state: total(page, "gpuwatch_gpu_state_seconds_total", state=state, **at) for state in STATES}
        elapsed = newest_sample(trace, looks[-1]) - looks[0]
        lost.append((elapsed - sum(states.values())) / KILLS)
        doubled.append(sum(states.values()) - elapsed)
        unknown.append(states["unknown"] / KILLS)
        held_lost.append((_held(trace, gpu) - states["active"] - states["idle"]) / KILLS)
        busy, true_busy = total(page, "gpuwatch_gpu_busy_seconds_total", **at), trace.busy(gpu, 0.0, SECONDS)
        busy_lost.append((true_busy - busy) / KILLS)
        busy_extra.append(100 * (busy - true_busy) / true_busy)
        true_joules = trace.joules(gpu, looks[0], looks[-1])
        joules_off.append(percent(total(page, "gpuwatch_gpu_energy_joules_total", **at), true_joules))
    yield Figure("time lost by each kill, worst GPU", max(lost), "s", INTERVAL)
    yield Figure("unknown by each kill, worst GPU", max(unknown), "s", INTERVAL)
    yield Figure("held lost by each kill, worst GPU", max(held_lost), "s", INTERVAL)
    yield Figure("busy lost by each kill, worst GPU", max(busy_lost), "s", INTERVAL)
    yield Figure("time counted twice, worst GPU", max(doubled), "s", trace.sample_period)
    yield Figure("busy too much, worst GPU", max(busy_extra), "%", _TOO_MUCH_PERCENT)
    yield Figure("joules, error, worst GPU", max(joules_off), "%", _TOO_MUCH_PERCENT)


def _held(trace: Trace, gpu: int) -> float:
    """Seconds for which anybody held the GPU."""
    held = reached = 0.0
    for hold in sorted((hold for hold in trace.holds if hold.gpu == gpu), key=lambda hold: hold.start):
        held += max(0.0, hold.end - max(hold.start, reached))
        reached = max(reached, hold.end)
    return held


def _owner_figures(trace: Trace, found: Found) -> Iterator[Figure]:
    page = found.pages[-1]
    gpus = range(len(trace.gpus))
    busy = [charged(page, slot).busy for slot in range(SLOTS)]
    due = [sum(trace.slot_busy(gpu, slot, 0.0, SECONDS) for gpu in gpus) for slot in range(SLOTS)]
    yield Figure(
        "owner's busy lost by each kill, worst owner", max(map(float.__sub__, due, busy)) / KILLS, "s", INTERVAL
    )
    yield Figure("owners' busy together, too much", 100 * (sum(busy) - sum(due)) / sum(due), "%", _TOO_MUCH_PERCENT)
    for what in CHARGES:
        of_runs, of_people = (total(page, f"gpuwatch_{kind}_gpu_{what}_total") for kind in ("run", "user"))
        yield Figure(f"{what}: runs against the roll-up", percent(of_people, of_runs), "%", 0.1)
