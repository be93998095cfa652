"""Resolve: what it costs to know whose run it is: 64 processes that are new on the GPUs, and 64 that are known.

Each has an environment and descriptors as trainers have, and a W&B run open, with a run file as the real library writes
it. The known ones are watched by an installed agent, beside another one whose 64 processes have no run open, in the
same slices of time.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from rig import Agent, wait_until
from standin.driver import StandIn
from standin.trace import steady_trace
from test_wandb_file import log, run_message

from benchmarks.meter import measure_cpu
from benchmarks.report import Figure, Options
from gpuwatch.agent.attribution import Cases
from gpuwatch.agent.machine import NO_REGISTRATIONS
from gpuwatch.agent.processes import LiveProcesses
from gpuwatch.attribute.case import Site
from gpuwatch.attribute.resolver import Resolver
from gpuwatch.attribute.wandb_file import RunRecord
from gpuwatch.sense.clocks import SYSTEM_CLOCK

GPUS: Final = 8
PROCESSES: Final = 64
RESOLVED_MS: Final = 50.0
WATCHED: Final = 1.25
"""What the agent may take with a run open in each process, as a multiple of what it takes without."""
_TIMES: Final = 21
_DESCRIPTORS: Final = 60
_ENVIRONMENT: Final = {"PATH": os.defpath, **{f"SOME_VARIABLE_{number}": "x" * 60 for number in range(100)}}
_SLICE_SECONDS: Final = 15.0
_WARM_UP_SECONDS: Final = 70.0
"""Of a run file that says nothing yet it is asked at every look for a minute."""
_TRACE_SECONDS: Final = 86400.0


def run(options: Options) -> list[Figure]:
    """Figures of the resolving, and of the agents as measured for `options.seconds`.

    Raises:
        RuntimeError: not each process was seen with its run.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        tracked = stack.enter_context(trainers(PROCESSES, folder, tracked=True))
        plain = stack.enter_context(trainers(PROCESSES, folder, tracked=False))
        milliseconds = [1000 * resolve(tracked) for _ in range(_TIMES)]
        agents = [stack.enter_context(_agent(folder / name, of)) for name, of in (("w", tracked), ("p", plain))]
        wait_until(lambda: _runs(agents[0]) == PROCESSES, seconds=30, what="each process's run")
        time.sleep(_WARM_UP_SECONDS)
        slices = [
            measure_cpu([agent.pid for agent in agents], [], _SLICE_SECONDS)
            for _ in range(max(1, round(options.seconds / _SLICE_SECONDS)))
        ]
    with_runs, without = (median(of) for of in zip(*slices, strict=True))
    return [
        Figure(f"{PROCESSES} new processes resolved, median", median(milliseconds), "ms", RESOLVED_MS),
        Figure(f"{PROCESSES} new processes resolved, worst of {_TIMES}", max(milliseconds), "ms"),
        Figure("CPU of the agent, a W&B run open in each process", with_runs, "% core"),
        Figure("CPU of the agent, none open", without, "% core"),
        Figure("CPU of the agent, open / none open", median(a / b for a, b in slices), "", WATCHED),
    ]


def resolve(pids: list[int]) -> float:
    """Seconds that it takes to read these processes for the first time and to judge them.

    Raises:
        RuntimeError: not each has a run of its own.
    """
    processes = LiveProcesses()
    try:
        now = SYSTEM_CLOCK.boottime()
        began = time.perf_counter()
        cases = Cases(processes, NO_REGISTRATIONS, site=Site("n7"), boot_unix=0.0).of(processes.look(pids, now))
        verdicts = Resolver().resolve(cases)
        seconds = time.perf_counter() - began
    finally:
        processes.close()
    if len({verdict.run.owner.run for verdict in verdicts.values() if verdict.run.source == "wandb"}) != len(pids):
        raise RuntimeError("not each process was seen with its run")
    return seconds


@contextmanager
def trainers(count: int, folder: Path, *, tracked: bool) -> Iterator[list[int]]:
    """Pids of processes that do nothing; those that are `tracked` have a W&B run open."""
    started: list[subprocess.Popen[bytes]] = []
    try:
        for number in range(count):
            with ExitStack() as files:
                opened = [os.open("/dev/null", os.O_RDONLY) for _ in range(_DESCRIPTORS)]
                for descriptor in opened:
                    files.callback(os.close, descriptor)
                if tracked:
                    opened.append(files.enter_context(_run_log(folder, f"run{number:05}")))
                started.append(subprocess.Popen(["sleep", "3600"], pass_fds=opened, env=_ENVIRONMENT))
        yield [process.pid for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()


@contextmanager
def _run_log(folder: Path, run_id: str) -> Iterator[int]:
    """The descriptor of the log of a W&B run, which has its run file beside it."""
    place = folder / "wandb" / f"run-20261120_104905-{run_id}"
    (place / "logs").mkdir(parents=True)
    record = RunRecord(run_id, "lab", "vision", f"lr{run_id}", "", "")
    content = log(run_message(import_module("wandb.proto.wandb_internal_pb2"), record))
    (place / f"run-{run_id}.wandb").write_bytes(content)
    with (place / "logs" / "debug.log").open("wb") as file:
        yield file.fileno()


@contextmanager
def _agent(folder: Path, pids: list[int]) -> Iterator[Agent]:
    """An agent on a driver of its own, on whose GPUs these processes are."""
    folder.mkdir()
    with StandIn(folder, steady_trace(GPUS, PROCESSES // GPUS, _TRACE_SECONDS, 0.8)) as driver:
        for slot, pid in enumerate(pids):
            driver.set_pid(slot, pid)
        driver.start()
        with Agent(folder, driver.environment()) as agent:
            yield agent


def _runs(agent: Agent) -> int:
    return sum(row["source"] == "wandb" and row["holding"] for gpu in agent.status()["gpus"] for row in gpu["runs"])
