"""The rig: real processes, real agents and their scrapes, for tests and benchmarks. Imports nothing of gpuwatch."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]
Exposition = dict[tuple[str, Labels], float]


def free_port() -> int:
    """A TCP port of the loopback that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_until(condition: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Return as soon as `condition` holds; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)


@contextmanager
def idle_processes(count: int, *, uids: Sequence[int] = ()) -> Iterator[list[int]]:
    """Pids of `count` real processes, each a launch of its own from one shell; as root, of the `uids` in turn."""
    commands = []
    for number in range(count):
        uid = uids[number % len(uids)] if uids and os.geteuid() == 0 else None
        user = "" if uid is None else f"setpriv --reuid={uid} --regid={uid} --clear-groups "
        commands.append(f"{user}sleep 3600 & echo $!")
    with subprocess.Popen(
        ["sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/", text=True, process_group=0
    ) as shell:
        assert shell.stdin is not None
        assert shell.stdout is not None
        try:
            shell.stdin.write("\n".join([*commands, "wait\n"]))
            shell.stdin.flush()
            yield [int(shell.stdout.readline()) for _ in range(count)]
        finally:
            os.killpg(shell.pid, signal.SIGKILL)


def base36_pid(run: str) -> int:
    """The pid of an ad-hoc run's launch root, out of its name: `adhoc:NAME-START.PID@NODE`."""
    return int(run.rpartition("@")[0].rpartition(".")[2], 36)


class Agent:
    """An installed agent as a process of its own."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        *,
        interval: float = 1.0,
        short_run_seconds: float = 0.0,
        arguments: Sequence[str] = (),
        wrapper: Sequence[str] = (),
    ) -> None:
        self.port = free_port()
        self.state = folder / "state"
        self.log = folder / "agent.log"
        config = folder / "config.toml"
        self.socket = folder / "agent.sock"
        config.write_text(
            f'socket = "{self.socket}"\n[account]\nshort_run_seconds = {short_run_seconds}\n', encoding="utf-8"
        )
        self._command = [
            *wrapper, sys.executable, "-m", "gpuwatch", "agent", "--listen", f"127.0.0.1:{self.port}", "--node", "n7",
            "--state-dir", str(self.state), "--interval", str(interval), "--config", str(config), *arguments,
        ]  # fmt: skip
        self._environment = {**os.environ, **environment}
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Agent:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self, *, seconds: float = 20.0) -> None:
        """Start it and wait for its first reading."""
        self.launch()
        wait_until(self.is_serving, seconds=seconds, what=f"a first reading; its log: {self.log}")

    def launch(self) -> None:
        """Start it and wait for nothing."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self._command, env=self._environment, stdout=log, stderr=log)

    def kill(self, number: int = signal.SIGKILL) -> int:
        """End it by a signal; its exit status. Its log must hold no traceback."""
        if self.process is None:
            return 0
        self.process.send_signal(number)
        try:
            status = self.process.wait(timeout=15)
        finally:
            self.process.kill()
            self.process = None
        log = self.log.read_text(encoding="utf-8", errors="replace")
        assert "Traceback" not in log, log
        return status

    @property
    def pid(self) -> int:
        """The running agent's pid."""
        assert self.process is not None
        return self.process.pid

    def get(self, path: str, *, accept: str = "", timeout: float = 5.0) -> bytes:
        """The body at `path`."""
        request = Request(f"http://127.0.0.1:{self.port}{path}", headers={"Accept": accept})
        with urlopen(request, timeout=timeout) as answer:
            body: bytes = answer.read()
        return body

    def is_serving(self) -> bool:
        """Whether it has published a reading."""
        if self.process is not None and self.process.poll() is not None:
            raise RuntimeError(f"the agent ended: {self.log.read_text(encoding='utf-8')}")
        try:
            self.get("/metrics")
        except OSError:
            return False
        return True

    def scrape(self) -> Exposition:
        """All samples of /metrics by name and labels."""
        return parse(self.get("/metrics").decode())

    def status(self) -> dict[str, Any]:
        """The status document."""
        document: dict[str, Any] = json.loads(self.get("/api/v1/status"))
        return document


def parse(text: str) -> Exposition:
    """Prometheus text, sample by sample."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(exposition: Exposition, name: str, **labels: str) -> float:
    """The sum of the samples of a name that have these labels."""
    wanted = set(labels.items())
    return sum(value for (sample, at), value in exposition.items() if sample == name and wanted <= at)
