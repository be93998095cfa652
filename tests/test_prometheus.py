"""A real Prometheus scrapes a real agent: all arrives, as it was said, whatever people call their programs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from rig import Agent, Exposition, base36_pid, idle_processes, parse, wait_until
from servers import Prometheus, program, prometheus
from stage import Scraper
from standin.driver import StandIn
from standin.trace import steady_trace

HOSTILE = "a\"b\\c\nd'e{f}=, \u202eg\u2067h\x07i\U0001f525\u2603<script>.py"
HOSTILE_SHOWN = "a\"b\\cd'e{f}=,_ghi\U0001f525\u2603<script>.py"
"""Neither a line break nor a control character nor one that turns the text around; blanks are underscores."""
SCRAPES = 3


@contextmanager
def launched(script: Path) -> Iterator[int]:
    """The pid of a Python that somebody launched from a shell to run this script, which idles."""
    script.write_text("import time; time.sleep(3600)", encoding="utf-8")
    command = ["sh", "-c", '"$@" >/dev/null & echo $!; wait', "sh", sys.executable, str(script)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd="/") as shell:
        assert shell.stdout is not None
        pid = int(shell.stdout.readline())
        try:
            yield pid
        finally:
            os.kill(pid, signal.SIGKILL)


@dataclass
class Scene:
    """An agent, the Prometheus that scrapes it, what that stored last, and all that the agent ever showed."""

    agent: Agent
    server: Prometheus
    hostile_pid: int
    stored: Exposition
    shown: list[Exposition]


def without_empty_labels(exposition: Exposition) -> Exposition:
    """As Prometheus sees it: an empty label is none."""
    return {
        (name, frozenset((label, text) for label, text in labels if text)): value
        for (name, labels), value in exposition.items()
    }


def has_scraped(server: Prometheus) -> bool:
    return sum(server.query("sum_over_time(up[1m])").values()) >= SCRAPES


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    program("prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    with ExitStack() as stack:
        driver = stack.enter_context(StandIn(folder, steady_trace(2, 2, 600.0, 0.8)))
        hostile = stack.enter_context(launched(folder / HOSTILE))
        for slot, pid in enumerate([hostile, *stack.enter_context(idle_processes(3))]):
            driver.set_pid(slot, pid)
        driver.start()
        agent = stack.enter_context(Agent(folder, driver.environment()))
        with Scraper(agent, driver.now) as scraper:
            server = stack.enter_context(prometheus(folder, agent.port))
            wait_until(partial(has_scraped, server), seconds=30, what="some scrapes")
            stored = server.query('{__name__=~"gpuwatch_.*"}')
        shown = [without_empty_labels(parse(body.decode())) for body in {scrape.body for scrape in scraper.scrapes}]
        yield Scene(agent, server, hostile, stored, shown)


def test_the_target_is_up_and_no_scrape_failed(scene: Scene) -> None:
    (target,) = scene.server.targets()
    assert (target["health"], target["lastError"]) == ("up", "")
    assert list(scene.server.query("min_over_time(up[1m])").values()) == [1]


def test_what_is_stored_is_what_was_shown(scene: Scene) -> None:
    """All series of one reading and no other, each with its node, to the last bit."""
    assert scene.stored in scene.shown
    assert all(("node", "n7") in labels for _, labels in scene.stored)
    (scraped,) = scene.server.query("scrape_samples_scraped").values()
    (kept,) = scene.server.query("scrape_samples_post_metric_relabeling").values()
    assert scraped == kept == len(scene.stored)


def test_no_stored_counter_falls(scene: Scene) -> None:
    counters = {name for name, _ in scene.stored if name.endswith("_total") and "_host_" not in name}
    assert len(counters) == 15
    for counter in counters:
        assert set(scene.server.query(f"resets({counter}[1m])").values()) == {0}


def test_openmetrics_is_spoken(scene: Scene) -> None:
    """Only OpenMetrics has info metrics, and counters named without their suffix."""
    kinds = {name: about[0]["type"] for name, about in scene.server.get("metadata").items()}
    assert kinds["gpuwatch_build"] == "info"
    assert kinds["gpuwatch_user_gpu_busy_seconds"] == "counter"


def test_any_program_name_arrives(scene: Scene) -> None:
    (name,) = (
        dict(labels)["name"]
        for metric, labels in scene.stored
        if metric == "gpuwatch_run_info" and base36_pid(dict(labels)["run"]) == scene.hostile_pid
    )
    assert name == HOSTILE_SHOWN


def test_promtool_accepts_what_is_served(scene: Scene) -> None:
    command = [program("promtool"), "check", "metrics"]
    done = subprocess.run(command, input=scene.agent.get("/metrics"), capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
