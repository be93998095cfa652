"""The stories of the fault tests: what goes wrong on stage, and when. They judge nothing."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from rig import wait_until
from stage import Stage, Story
from standin.driver import StandIn
from standin.trace import Burst, Gpu, Hold, Trace

LONG = 100.0
FAULTY, OTHER, MIXED, FREE = range(4)
"""GPUs: the one that fails, one more that may, one that two runs share in bursts, one that nobody holds."""
GPUS = tuple(Gpu(f"GPU-{n}{n}{n}{n}{n}{n}{n}{n}", "NVIDIA H200", 141 << 30, 75.0, 700.0) for n in range(4))
HOLDS = tuple(Hold(gpu, slot, 0.0, LONG, 8 << 30) for gpu, slot in ((FAULTY, 0), (OTHER, 1), (MIXED, 2), (MIXED, 3)))
BURSTS = (
    Burst(FAULTY, 0, 0.0, LONG, 0.7),
    Burst(OTHER, 1, 0.0, LONG, 0.4),
    *(Burst(MIXED, 2, step * 0.7, step * 0.7 + 0.4, 0.6) for step in range(int(LONG / 0.7))),
    *(Burst(MIXED, 3, step * 1.9, step * 1.9 + 1.3, 0.3) for step in range(int(LONG / 1.9))),
)
TRACE = Trace(GPUS, HOLDS, BURSTS)
STEADY = Trace(GPUS, HOLDS, (*BURSTS[:2], Burst(MIXED, 2, 0.0, LONG, 0.6), Burst(MIXED, 3, 0.0, LONG, 0.2)))
CLOCK = """
import mmap, os, struct, time
with open(os.environ["NVML_STANDIN"] + "/control", "rb") as file:
    control = mmap.mmap(file.fileno(), 4096, prot=mmap.PROT_READ)
true_time = time.time
time.time = lambda: true_time() + struct.unpack_from("q", control, 32)[0] / 1e6
"""
"""A `sitecustomize` by which the agent's wall clock steps with the driver's stamps (the fifth field of the control)."""


def lose_and_hang(hang_seconds: float) -> Callable[[Stage], None]:
    def play(stage: Stage) -> None:
        stage.phase(0.8)
        stage.driver.lose(FAULTY)
        stage.mark("lost")
        stage.driver.hang(OTHER, hang_seconds)
        stage.mark("hung")
        stage.until(stage.record.times["lost"] + 2)
        stage.phase(0.1)
        stage.driver.restore(FAULTY)
        stage.mark("back")
        threads = stage.threads()
        stage.until(stage.record.times["hung"] + hang_seconds - 0.3)
        stage.record.facts = {"threads more": str(stage.threads() - threads)}
        stage.until(stage.record.times["hung"] + hang_seconds)
        stage.mark("released")
        stage.settle()

    return play


def reload(stage: Stage) -> None:
    stage.phase(0.8)
    stage.driver.driver_gone()
    stage.mark("gone")
    stage.until(stage.record.times["gone"] + 2)
    stage.phase(0.1)
    stage.driver.driver_back()
    stage.mark("back")
    stage.settle()


def upgrade(stage: Stage) -> None:
    before = stage.version()
    stage.phase(0.8)
    stage.driver.upgrade()
    stage.mark("upgraded")
    wait_until(lambda: stage.version() not in ("", before), seconds=20, what=f"the new driver; see {stage.agent.log}")
    stage.settle()
    stage.record.facts = {
        "command of the process": Path(f"/proc/{stage.agent.pid}/cmdline").read_text(encoding="utf-8")
    }


def vanish(stage: Stage) -> None:
    """A process ends that the driver goes on listing, and the agent looked at a number that is nobody's."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    stage.phase(0.8)
    stage.driver.set_pid(0, gone.pid)
    stage.mark("vanished")
    stage.until(stage.record.times["vanished"] + 2)
    stage.phase(0.1)
    stage.driver.set_pid(0, stage.record.pids[0])
    stage.mark("back")
    stage.settle()


def step_clock(*steps: float) -> Callable[[Stage], None]:
    """Someone sets the clock, and sets it again."""

    def play(stage: Stage) -> None:
        for seconds in steps:
            stage.phase(0.5)
            stage.driver.wall_step(seconds)
            stage.until(stage.driver.now() + 3)
        stage.settle()

    return play


def watch(stage: Stage) -> None:
    stage.shoot("first")
    stage.until(stage.driver.now() + 3)
    stage.settle()


def go_without(stage: Stage) -> None:
    """Two readings of the CPU take a while."""
    stage.shoot("first")
    stage.until(stage.driver.now() + 6)
    stage.shoot("end")
    stage.record.facts = {path: stage.agent.get(path).decode() for path in ("/healthz", "/")}


OLD_DRIVER = ("nvmlDeviceGetSamples", "nvmlDeviceGetProcessUtilization", "nvmlDeviceGetTotalEnergyConsumption")
STORIES = {
    "lost-and-hung": Story(lose_and_hang(4.0), TRACE),
    "hung-30s": Story(lose_and_hang(30.0), TRACE),
    "vanished": Story(vanish, TRACE),
    "reload": Story(reload, TRACE),
    "upgrade": Story(upgrade, TRACE),
    "upgrade-stuck": Story(upgrade, TRACE, nodelete=True),
    "garbage": Story(watch, TRACE, before=StandIn.garbage),
    "old-driver": Story(watch, STEADY, without=OLD_DRIVER),
    "no-driver": Story(go_without, TRACE, installed=False),
    "clock": Story(step_clock(3600.0, 0.0), TRACE, sitecustomize=CLOCK),
    "stamps-ahead": Story(step_clock(3600.0), TRACE),
    "stamps-behind": Story(step_clock(-3600.0), TRACE),
}
