"""MLflow: real runs in a file store, in programs that know nothing of gpuwatch."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from doorway import doorway, registered
from rig import wait_until

from gpuwatch.agent.registry import Registry
from gpuwatch.explicit.mlflow import RunContextProvider, run_url

pytest.importorskip("mlflow", reason="mlflow-skinny is not installed")

_PROGRAM = """
import sys, mlflow
def tell(*words):
    print(*words, flush=True)
    sys.stdin.readline()
"""


class Program:
    """A Python program that stops at each `tell(…)`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.pid = process.pid

    def told(self) -> list[str]:
        """The words of the next `tell`."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().split()

    def go_on(self) -> None:
        """Let it go on."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()


@contextmanager
def program(text: str, folder: Path, socket: Path) -> Iterator[Program]:
    """The program, running. It ends well, and says nothing on standard error but what MLflow says."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")} | {
        "GPUWATCH_SOCKET": str(socket), "MLFLOW_TRACKING_URI": (folder / "runs").as_uri(),
        "MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_DISABLE_TELEMETRY": "true",
    }  # fmt: skip
    command = [sys.executable, "-c", _PROGRAM + textwrap.dedent(text)]
    with subprocess.Popen(command, env=environment, cwd=folder, text=True, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:  # fmt: skip
        try:
            yield Program(process)
            _, errors = process.communicate("\n" * 9, timeout=30)
            assert process.returncode == 0, errors
            assert "gpuwatch" not in errors
        finally:
            process.kill()


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def at(registry: Registry, tmp_path: Path) -> Iterator[Path]:
    with doorway(registry, tmp_path / "agent.sock"):
        yield tmp_path / "agent.sock"


def run_of(registry: Registry, pid: int) -> str:
    """The run that a process is registered for; empty where it is for none."""
    said = registered(registry).get(pid)
    return said.run if said else ""


def test_mlflow_finds_the_plugin() -> None:
    (entry,) = [entry for entry in entry_points(group="mlflow.run_context_provider") if entry.name == "gpuwatch"]
    assert entry.load() is RunContextProvider


def test_a_plain_run_is_announced_and_its_end_too(registry: Registry, at: Path, tmp_path: Path) -> None:
    text = """
        mlflow.set_experiment("vision")
        run = mlflow.start_run(run_name="lr3")
        tell(run.info.run_id)
        mlflow.end_run()
        tell("ended")
        tell(mlflow.start_run().info.run_id)
    """
    with program(text, tmp_path, at) as trainer:
        for name in ("lr3", None):
            (run,) = trainer.told()
            wait_until(lambda run=run: run_of(registry, trainer.pid) == f"mlflow:{run}", seconds=3, what="announced")  # type: ignore[misc]
            said = registered(registry)[trainer.pid]
            assert said.project == "vision"
            assert said.name == name or not name
            trainer.go_on()
            if name:
                assert trainer.told() == ["ended"]
                wait_until(lambda: not registry.entries, seconds=3, what="its end is announced")
                trainer.go_on()


def test_a_run_within_a_run_counts_while_it_lasts(registry: Registry, at: Path, tmp_path: Path) -> None:
    text = """
        import threading
        with mlflow.start_run() as outer:
            def other():
                with mlflow.start_run(nested=True) as inner:
                    tell(inner.info.run_id)
            thread = threading.Thread(target=other)
            thread.start()
            thread.join()
            tell(outer.info.run_id)
    """
    with program(text, tmp_path, at) as trainer:
        for _ in range(2):
            (run,) = trainer.told()
            wait_until(lambda run=run: run_of(registry, trainer.pid) == f"mlflow:{run}", seconds=3, what="announced")  # type: ignore[misc]
            trainer.go_on()


def test_a_run_is_announced_to_an_agent_that_comes_later(registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "late.sock"
    with program("tell(mlflow.start_run().info.run_id)", tmp_path, path) as trainer:
        (run,) = trainer.told()
        with doorway(registry, path):
            wait_until(lambda: run_of(registry, trainer.pid) == f"mlflow:{run}", seconds=5, what="announced")


def test_a_forked_worker_starts_a_run_of_its_own(registry: Registry, at: Path, tmp_path: Path) -> None:
    text = """
        import os
        with mlflow.start_run():
            tell("parent")
            pid = os.fork()
            if pid == 0:
                run = mlflow.start_run()
                tell(os.getpid(), run.info.run_id)
                os._exit(0)
            os.waitpid(pid, 0)
    """
    with program(text, tmp_path, at) as trainer:
        trainer.told()
        wait_until(lambda: bool(run_of(registry, trainer.pid)), seconds=3, what="announced")
        parents = run_of(registry, trainer.pid)
        trainer.go_on()
        pid, run = trainer.told()
        wait_until(lambda: run_of(registry, int(pid)) == f"mlflow:{run}", seconds=3, what="announced")
        assert run_of(registry, trainer.pid) == parents


def test_to_start_a_run_waits_for_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a thread started, which is all that happens in the user's."""
    asked = time.monotonic()
    provider = RunContextProvider()
    monkeypatch.setenv("GPUWATCH_SOCKET", str(tmp_path / "nowhere"))
    assert provider.in_context() is False
    assert provider.tags() == {}
    assert time.monotonic() - asked < 5


def test_what_goes_wrong_in_the_plugin_is_not_the_users(tmp_path: Path) -> None:
    text = """
        import gpuwatch.explicit.mlflow as plugin
        def broken():
            raise RuntimeError("broken")
        plugin._active_run = broken
        with mlflow.start_run():
            import time; time.sleep(0.6)
        plugin._watch = broken
        with mlflow.start_run():
            tell("fine")
    """
    with program(text, tmp_path, tmp_path / "nowhere") as trainer:
        assert trainer.told() == ["fine"]


@pytest.mark.parametrize(
    ("uri", "page"),
    [
        ("https://mlflow.x.org", "https://mlflow.x.org/#/experiments/1/runs/abc"),
        ("http://ann:geheim@x.org:5000/sub/", "http://x.org:5000/sub/#/experiments/1/runs/abc"),
        ("sqlite:///mlflow.db", ""),
        ("file:///srv/runs", ""),
        ("databricks", ""),
        ("http://", ""),
    ],
)
def test_a_run_has_the_page_of_its_server(uri: str, page: str) -> None:
    assert run_url(uri, experiment="1", run="abc") == page
