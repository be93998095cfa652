"""The stage of the fault tests: an agent on a stand-in driver, faults by the clock, a scraper that never stops asking.

Times are trace times in seconds. Imports nothing of gpuwatch.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPException
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from rig import Agent, Exposition, base36_pid, parse, total, wait_until
from standin.driver import StandIn
from standin.trace import Trace

INTERVAL: Final = 0.5
PROMISED_SECONDS: Final = 0.1
"""What /metrics may take."""
_ASK_EVERY: Final = 0.02
_PATIENCE: Final = 20.0


class Scrape(NamedTuple):
    """One question and its answer; the body is empty where none came."""

    at: float
    seconds: float
    body: bytes


def ask(agent: Agent) -> bytes:
    """What /metrics says; nothing where there is no answer."""
    try:
        return agent.get("/metrics", timeout=_PATIENCE)
    except (OSError, HTTPException):
        return b""


class Scraper:
    """Asks for /metrics all the time, from the entry of the context to its end."""

    def __init__(self, agent: Agent, now: Callable[[], float]) -> None:
        self.scrapes: list[Scrape] = []
        self._agent = agent
        self._now = now
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask_on, name="scraper")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _ask_on(self) -> None:
        last = b""
        while not self._stop.wait(_ASK_EVERY):
            at, began = self._now(), time.monotonic()
            body = ask(self._agent)
            last = last if body == last else body  # the same text is kept once
            self.scrapes.append(Scrape(at, time.monotonic() - began, last))


class Account(NamedTuple):
    """A GPU's totals."""

    busy: float
    joules: float
    unattributed_busy: float
    unattributed_joules: float
    active: float
    idle: float
    free: float
    unavailable: float
    unknown: float

    @property
    def elapsed(self) -> float:
        """Seconds accounted for."""
        return self.active + self.idle + self.free + self.unavailable + self.unknown


_STATES: Final = ("active", "idle", "free", "unavailable", "unknown")
_TOTALS: Final = ("busy_seconds", "energy_joules", "unattributed_busy_seconds", "unattributed_energy_joules")
_OURS: Final = ("gpuwatch_gpu_", "gpuwatch_run_", "gpuwatch_user_")


@dataclass
class Record:
    """What is left of a play, to be judged."""

    trace: Trace
    pids: Sequence[int]
    """By slot."""
    began: Sequence[float] = ()
    """By GPU: when it was first read; empty where the driver keeps no log of that."""
    scrapes: Sequence[Scrape] = ()
    times: dict[str, float] = field(default_factory=dict)
    shots: dict[str, Exposition] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    log: str = ""

    def account(self, gpu: int, shot: str = "end") -> Account:
        """The GPU's totals in one of the shots."""
        at, uuid = self.shots[shot], self.trace.gpus[gpu].uuid
        sums = [total(at, f"gpuwatch_gpu_{name}_total", uuid=uuid) for name in _TOTALS]
        states = [total(at, "gpuwatch_gpu_state_seconds_total", uuid=uuid, state=state) for state in _STATES]
        return Account(*sums, *states)

    def of_run(self, gpu: int, slot: int, metric: str) -> float:
        """A total, on the GPU, of the run that the slot's process is."""
        return sum(
            value
            for (name, labels), value in self.shots["end"].items()
            if name == f"gpuwatch_run_gpu_{metric}_total"
            and ("uuid", self.trace.gpus[gpu].uuid) in labels
            and base36_pid(dict(labels)["run"]) == self.pids[slot]
        )

    def of_all_runs(self, gpu: int, metric: str) -> float:
        """A total, on the GPU, of whatever run."""
        return total(self.shots["end"], f"gpuwatch_run_gpu_{metric}_total", uuid=self.trace.gpus[gpu].uuid)

    def span(self, start: str, end: str) -> float:
        """Seconds between two times."""
        return self.times[end] - self.times[start]

    def late_part(self, start: str, end: str) -> float:
        """The part of a span in which whoever asks for /metrics waits longer than promised, or gets nothing.

        A server that is blocked once, for long, is late once, and yet late for everybody who comes meanwhile: so this
        counts time, not answers.
        """
        first, last = self.times[start], self.times[end]
        asked = [scrape for scrape in self.scrapes if first <= scrape.at < last]
        late = (max(0.0, s.seconds - PROMISED_SECONDS) if s.body else s.seconds + _ASK_EVERY for s in asked)
        return sum(late) / (last - first) if asked else 1.0

    def falls(self) -> list[str]:
        """Samples of counters that were lower than before."""
        highest: dict[object, float] = {}
        found = []
        for _, exposition in self._shown():
            for key, value in exposition.items():
                if key[0].endswith("_total") and key[0].startswith(_OURS):
                    if value < highest.get(key, 0.0):
                        found.append(f"{key}: {highest[key]!r}, then {value!r}")
                    highest[key] = value
        return found

    def longest_standstill(self, gpu: int) -> float:
        """The longest time for which nothing of the GPU was accounted for."""
        uuid, longest, elapsed, since = self.trace.gpus[gpu].uuid, 0.0, 0.0, math.inf
        for at, exposition in self._shown():
            states = total(exposition, "gpuwatch_gpu_state_seconds_total", uuid=uuid)
            if states > elapsed:
                longest, elapsed, since = max(longest, at - since), states, at
        return longest

    def _shown(self) -> Iterator[tuple[float, Exposition]]:
        """What the agent showed, each once, and when that was first seen."""
        last = b""
        for scrape in self.scrapes:
            if scrape.body and scrape.body is not last:
                last = scrape.body
                yield scrape.at, parse(last.decode())


class Stage:
    """One agent on one stand-in, while a play goes on."""

    def __init__(self, driver: StandIn, agent: Agent, record: Record) -> None:
        self.driver = driver
        self.agent = agent
        self.record = record

    def mark(self, name: str) -> None:
        """Note the time."""
        self.record.times[name] = self.driver.now()

    def shoot(self, name: str) -> None:
        """Note the time, and all that the agent shows."""
        self.mark(name)
        self.record.shots[name] = parse(self._body().decode())

    def until(self, seconds: float) -> None:
        """Let the time come."""
        left = max(0.0, seconds - self.driver.now())
        wait_until(lambda: self.driver.now() >= seconds, seconds=left + _PATIENCE, what=f"trace time {seconds}")

    def phase(self, fraction: float) -> None:
        """Let the moment come that is a fraction of an interval after a reading: chance must not pick it."""
        last = max((self.driver.queries(gpu) or [0.0])[-1] for gpu in range(len(self.driver.trace.gpus)))
        behind = (self.driver.now() - last) / INTERVAL
        self.until(last + (math.ceil(behind - fraction) + fraction) * INTERVAL)

    def cycles(self, count: int) -> None:
        """Let some more readings be published."""
        for _ in range(count):
            wait_until(partial(self._differs, self._body()), seconds=_PATIENCE, what="another reading")

    def version(self) -> str:
        """The version of the driver, as the agent says; empty while it does not read all GPUs."""
        exposition = parse(self._body().decode())
        ups = [value for (name, _), value in exposition.items() if name == "gpuwatch_gpu_up"]
        versions = [dict(labels)["driver"] for name, labels in exposition if name == "gpuwatch_build_info"]
        return versions[0] if len(ups) == len(self.driver.trace.gpus) and all(ups) else ""

    def threads(self) -> int:
        """How many threads the agent has."""
        return len(os.listdir(f"/proc/{self.agent.pid}/task"))

    def _differs(self, before: bytes) -> bool:
        return self._body() not in (before, b"")

    def _body(self) -> bytes:
        """What /metrics says; nothing while one process takes over from another."""
        return ask(self.agent)

    def settle(self) -> None:
        """Let the agent read everything again and account for it, then take the last shot."""
        wait_until(lambda: bool(self.version()), seconds=_PATIENCE, what=f"all GPUs read; the log: {self.agent.log}")
        self.mark("recovered")
        self.cycles(3)
        self.shoot("end")


@dataclass(frozen=True)
class Story:
    """What is on stage, and what happens there."""

    play: Callable[[Stage], None]
    trace: Trace
    without: tuple[str, ...] = ()
    nodelete: bool = False
    before: Callable[[StandIn], object] | None = None
    """Done to the driver before the agent starts."""
    installed: bool = True
    """Whether the agent finds the driver at all."""
    sitecustomize: str = ""
    """Run by the agent's Python before the agent."""

    def tell(self, folder: Path, pids: Sequence[int]) -> Record:
        """Play it from start to end, slot n being the nth of the processes."""
        with StandIn(folder, self.trace, without=self.without, nodelete=self.nodelete) as driver:
            for slot, pid in enumerate(pids):
                driver.set_pid(slot, pid)
            if self.before is not None:
                self.before(driver)
            driver.start()
            with Agent(folder, self._environment(driver), interval=INTERVAL) as agent:
                return self._play(Stage(driver, agent, Record(self.trace, pids)))

    def _environment(self, driver: StandIn) -> dict[str, str]:
        environment = driver.environment() if self.installed else {"LD_LIBRARY_PATH": ""}
        if self.sitecustomize:
            (driver.folder / "sitecustomize.py").write_text(self.sitecustomize, encoding="utf-8")
            paths = [str(driver.folder), os.environ.get("PYTHONPATH", "")]
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        return environment

    def _play(self, stage: Stage) -> Record:
        record, driver = stage.record, stage.driver
        with Scraper(stage.agent, driver.now) as scraper:
            stage.cycles(2)
            stage.mark("start")
            self.play(stage)
        record.scrapes = scraper.scrapes
        record.began = [times[0] for gpu in range(len(self.trace.gpus)) if (times := driver.queries(gpu))]
        record.log = stage.agent.log.read_text(encoding="utf-8")
        return record


@contextmanager
def telling(stories: Mapping[str, Story], folder: Path, pids: Sequence[int]) -> Iterator[Mapping[str, Future[Record]]]:
    """Tell all of them at once: real time passes once for all."""
    for name in stories:
        (folder / name).mkdir()
    with ThreadPoolExecutor(max(1, len(stories))) as pool:
        yield {name: pool.submit(story.tell, folder / name, pids) for name, story in stories.items()}
