"""A node for tests: an installed agent on the stand-in driver, whose GPUs real programs take, and those programs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rig import Agent, wait_until
from standin.driver import StandIn
from standin.trace import steady_trace

TRAINERS = Path(__file__).parent / "trainers"
QUICK = {"WANDB_X_TRANSACTION_LOG_FLUSH_INTERVAL": "0.5"}
"""The library writes its file out every 15 s, before which nobody can know the project."""
OF_RUNS = ("WANDB_", "MLFLOW_", "GPUWATCH_", "SLURM_")
_SECONDS = 3600.0
_SHARE = 0.8


@dataclass(frozen=True)
class Node:
    """A running agent, and the driver that it reads: each GPU has room for one process."""

    agent: Agent
    driver: StandIn

    def put(self, gpu: int, pid: int) -> None:
        """The process is on the GPU from now on; 0 is none."""
        self.driver.set_pid(gpu, pid)

    def holders(self, gpu: int) -> list[dict[str, Any]]:
        """The rows of those who hold the GPU, in the status document."""
        return [run for run in self.gpu(gpu)["runs"] if run["holding"]]

    def gpu(self, gpu: int) -> dict[str, Any]:
        """The GPU in the status document."""
        found: dict[str, Any] = self.agent.status()["gpus"][gpu]
        return found

    def wait_for(self, *gpus: int, seconds: float, **expected: str) -> None:
        """Return as soon as each GPU has one holder, whose row has these values; fail after `seconds`."""

        def all_are() -> bool:
            told.clear()
            told.update({gpu: self.holders(gpu) for gpu in gpus})
            return all(len(rows) == 1 and expected.items() <= rows[0].items() for rows in told.values())

        told: dict[int, list[dict[str, Any]]] = {}
        try:
            wait_until(all_are, seconds=seconds, what=f"{expected} on {gpus}")
        except TimeoutError as error:
            states = [(self.gpu(gpu)["strangers"], self.gpu(gpu)["problem"]) for gpu in gpus]
            raise AssertionError(f"{error}; it was {told}, {states}; {self.agent.log.read_text()}") from error


@contextmanager
def node(folder: Path, gpus: int, *, busy: Sequence[int] | None = None, **environment: str) -> Iterator[Node]:
    """A node with free GPUs, of which those in `busy` are used all the time that somebody has them; all, by default."""
    trace = steady_trace(gpus, 1, _SECONDS, _SHARE)
    if busy is not None:
        trace = replace(trace, bursts=tuple(burst for burst in trace.bursts if burst.gpu in busy))
    with StandIn(folder, trace) as driver:
        driver.start()
        with Agent(folder, driver.environment() | environment) as agent:
            yield Node(agent, driver)


class Program:
    """A running program that people wrote without a word of gpuwatch, driven by lines."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid

    def told(self) -> list[str]:
        """The words of the next line that it prints."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().split()

    def tell(self, line: str) -> list[str]:
        """Give it a line; the words of its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self.told()

    def end(self) -> tuple[int, str]:
        """End its input: its exit status, and what it wrote to standard error."""
        _, errors = self._process.communicate(timeout=30)
        return self._process.returncode, errors


@contextmanager
def program(*command: str, folder: Path, **variables: str) -> Iterator[Program]:
    """A program in an environment that names no run. It is told of its end by the end of its input."""
    with subprocess.Popen(
        command, env=environment(folder) | variables, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        running = Program(process)
        try:
            yield running
        finally:
            try:
                running.end()
            finally:
                process.kill()


def environment(folder: Path) -> dict[str, str]:
    """This process's, but for what names a run; W&B and MLflow keep their runs in the folder."""
    usual = {name: value for name, value in os.environ.items() if not name.startswith(OF_RUNS)}
    return usual | {
        "WANDB_MODE": "offline", "WANDB_ERROR_REPORTING": "false", "WANDB_DIR": str(folder), "HOME": str(folder),
        "MLFLOW_TRACKING_URI": (folder / "mlflow").as_uri(), "MLFLOW_ALLOW_FILE_STORE": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }  # fmt: skip
