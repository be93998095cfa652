"""One node's day through the agent's own chain, on a clock that is driven: the driver's binding, the cycle, the state
file and the page that is scraped are the real ones.

A kill leaves what is on the disk and nothing else: the next agent gets a copy of the files as they lie there.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from standin.driver import StandIn

from benchmarks.day.machine import machine_of
from benchmarks.day.sampled import Sampler, Sums
from benchmarks.day.scrape import Scrapes
from benchmarks.day.script import FIRST_PID, SCRAPE_SECONDS, NodeScript, Plan
from gpuwatch.account.ledger import LINGER_SECONDS
from gpuwatch.agent.cycle import Cycle, Moment
from gpuwatch.agent.settings import Settings
from gpuwatch.export.pages import Pages
from gpuwatch.model import Snapshot
from gpuwatch.sense.clocks import Clock
from gpuwatch.state.store import Store

START_UNIX: Final = 1_794_787_200
"""The window's start: a Monday, 00:00 UTC."""
INTERVAL_SECONDS: Final = 1
BOOT_SECONDS: Final = 50_000.0
"""For how long the node had been up at trace zero."""
WAYS: Final = {"sampled 30 s": (1, False), "sampled 60 s": (2, False), "sampled 30 s, gaps": (1, True)}
"""Every how many scrapes somebody samples, and whether the scraper's gaps are theirs too."""
_OPEN_METRICS: Final = "application/openmetrics-text; version=1.0.0"


class Node:
    """A node whose time is driven, and its agent, if there is one."""

    def __init__(self, script: NodeScript, plan: Plan, folder: Path, driver: StandIn) -> None:
        self._script = script
        self._driver = driver
        self._folder = folder
        self._zero_unix = START_UNIX - plan.lead_seconds
        self._agents = 0
        self._store: Store | None = None
        self._cycle: Cycle | None = None
        self._snapshot: Snapshot | None = None
        self._pages = Pages(lambda: self._snapshot)
        self.now = Moment(BOOT_SECONDS, self._zero_unix)
        driver.epoch_us = self._zero_unix * 1_000_000
        for launch in script.launches:
            driver.set_pid(launch.slot, FIRST_PID + launch.slot)

    @property
    def state_folder(self) -> Path:
        """Where the newest agent keeps its totals."""
        return self._folder / f"state-{self._agents}"

    def read(self, time: float) -> None:
        """One cycle at a trace time, of a new agent where there is none."""
        self._driver.freeze(time)
        self.now = Moment(BOOT_SECONDS + time, self._zero_unix + time)
        if self._cycle is None:
            self._cycle = self._start()
        self._snapshot = self._cycle.run(self.now)

    def kill(self) -> None:
        """Leave the agent no chance to put anything in order."""
        before = self.state_folder
        self._agents += 1
        shutil.copytree(before, self.state_folder)
        self.close()
        self._cycle = self._snapshot = None
        self._pages = Pages(lambda: self._snapshot)

    def close(self) -> None:
        """End the agent, if there is one."""
        if self._cycle is not None:
            self._cycle.close()
        if self._store is not None:
            self._store.close()
        self._store = None

    def page(self) -> bytes:
        """What the agent has to say now to a scraper; nothing where there is none."""
        if self._snapshot is None:
            return b""
        return self._pages.respond("/metrics", accept=_OPEN_METRICS, accept_encoding="", unix=self.now.unix).body

    def _start(self) -> Cycle:
        now = self.now
        self._store = Store(self.state_folder, unix=now.unix)
        saved = self._store.load(
            unix=now.unix, boot_id="day", boot_unix=now.unix - now.boottime, run_seconds=LINGER_SECONDS
        )
        clock = Clock(boottime=lambda: self.now.boottime, unix=lambda: self.now.unix)
        settings = Settings(node=self._script.name, state_directory=self.state_folder, interval=INTERVAL_SECONDS)
        return Cycle(settings, machine_of(self._script, clock, boot_seconds=BOOT_SECONDS), self._store, saved, now)


class Played(NamedTuple):
    """What is left of a node's day. What was scraped of it lies in the folder."""

    name: str
    state_folder: Path
    sampled: Mapping[str, Sums]
    """What sampling finds, by the way it is done."""


def play(script: NodeScript, plan: Plan, folder: Path) -> Played:
    """Play the node's day. The stand-in is this process's driver from now on."""
    folder.mkdir()
    samplers = {way: Sampler(scrapes * SCRAPE_SECONDS) for way, (scrapes, _) in WAYS.items()}
    with StandIn(folder, script.trace) as driver, Scrapes(folder) as scrapes:
        driver.preload()
        node = Node(script, plan, folder, driver)
        for time in range(int(plan.window.end) + 1):
            _step(node, script, time)
            if time % SCRAPE_SECONDS == script.scrape_phase and (page := node.page()):
                instances = script.instances_at(time)
                scrapes.add(page, instances, unix=node.now.unix)
                if plan.window.holds(time):
                    _sample(samplers, page, time // SCRAPE_SECONDS, missed=not instances)
        node.close()
    return Played(script.name, node.state_folder, {way: sampler.people for way, sampler in samplers.items()})


def _step(node: Node, script: NodeScript, time: int) -> None:
    """A second passes."""
    if script.agent_is_there(time):
        node.read(time)
        if any(span.start == time for span in (*script.restarts, *script.absences)):
            node.kill()


def _sample(samplers: Mapping[str, Sampler], page: bytes, number: int, *, missed: bool) -> None:
    """Give the page of a scrape to the ways that look at it."""
    for way, (scrapes, with_gaps) in WAYS.items():
        if number % scrapes == 0 and not (with_gaps and missed):
            samplers[way].add(page)
