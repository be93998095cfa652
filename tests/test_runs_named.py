"""Runs that say who they are, to an installed agent: MLflow's by its plugin, and those that people name."""

from __future__ import annotations

import getpass
import re
import signal
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from node import Node, node, program
from rig import total, wait_until

USER = getpass.getuser()
SOON = 5.0
"""Seconds from what a program says until its GPU is shown as that run's."""
MLFLOW = """
import sys, mlflow
mlflow.set_experiment("vision")
run = mlflow.start_run(run_name="lr3")
print(run.info.run_id, flush=True)
sys.stdin.readline()
mlflow.end_run()
print("ended", flush=True)
sys.stdin.read()
"""
STRETCH = """
import sys, gpuwatch
print("ready", flush=True)
sys.stdin.readline()
with gpuwatch.run("warm up", project="vision"):
    print("begun", flush=True)
    sys.stdin.readline()
print("over", flush=True)
sys.stdin.read()
"""
CHILD = "import os, sys; print(os.getpid(), flush=True); sys.stdin.read(); sys.exit(3)"
NAMED = (sys.executable, "-m", "gpuwatch", "run", "--name", "resnet lr3", "--project", "vision", "--")


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with node(tmp_path_factory.mktemp("named"), 1) as running:
        yield running
        running.put(0, 0)


@pytest.fixture
def at(seen: Node) -> dict[str, str]:
    """What tells a program where the agent listens."""
    return {"GPUWATCH_SOCKET": str(seen.agent.socket)}


@pytest.mark.skipif(find_spec("mlflow") is None, reason="mlflow-skinny is not installed")
def test_a_plain_mlflow_run_has_its_gpu(seen: Node, at: dict[str, str], tmp_path: Path) -> None:
    with program(sys.executable, "-c", MLFLOW, folder=tmp_path, **at) as trainer:
        (run,) = trainer.told()
        seen.put(0, trainer.pid)
        seen.wait_for(0, seconds=SOON, run=f"mlflow:{run}", project="vision", name="lr3", user=USER)
        assert trainer.tell("end") == ["ended"]
        seen.wait_for(0, seconds=SOON, source="adhoc", user=USER)


def test_a_stretch_of_a_program_has_its_gpu(seen: Node, at: dict[str, str], tmp_path: Path) -> None:
    with program(sys.executable, "-c", STRETCH, folder=tmp_path, **at) as trainer:
        trainer.told()
        seen.put(0, trainer.pid)
        seen.wait_for(0, seconds=SOON, source="adhoc")
        assert trainer.tell("begin") == ["begun"]
        seen.wait_for(0, seconds=SOON, source="named", project="vision", name="warm up", user=USER)
        assert trainer.tell("end") == ["over"]
        seen.wait_for(0, seconds=SOON, source="adhoc")


def test_a_command_with_a_name_has_its_gpu_and_is_told_what_it_held(
    seen: Node, at: dict[str, str], tmp_path: Path
) -> None:
    with program(*NAMED, sys.executable, "-c", CHILD, folder=tmp_path, **at) as launch:
        (pid,) = launch.told()
        seen.put(0, int(pid))
        expected = {"source": "named", "project": "vision", "name": "resnet lr3", "user": USER}
        seen.wait_for(0, seconds=SOON, **expected)
        (run,) = (row["run"] for row in seen.holders(0))
        assert re.fullmatch("named:resnet_lr3-[0-9a-z]+", run)
        held = charged(seen, run)
        wait_until(lambda: charged(seen, run) > held + 1, seconds=SOON, what="it is charged")
        status, errors = launch.end()
    assert status == 3
    lines = errors.splitlines()
    assert [re.sub(r"\b\d[\d.e-]*", "N", line) for line in lines] == [
        "gpuwatch: resnet lr3 held N GPU for N GPU-minutes in all",
        "gpuwatch: used N% of that, with N kWh",
        "gpuwatch: peaked at N GiB of memory on one GPU",
    ]


def test_what_was_registered_outlives_the_agent(seen: Node, at: dict[str, str], tmp_path: Path) -> None:
    """By the socket alone: in this program's environment there is no word of a run."""
    with program(sys.executable, "-c", STRETCH, folder=tmp_path, **at) as trainer:
        trainer.told()
        seen.put(0, trainer.pid)
        trainer.tell("begin")
        seen.wait_for(0, seconds=SOON, source="named", name="warm up")
        (run,) = (row["run"] for row in seen.holders(0))
        kept = seen.agent.state / "registrations.json"
        wait_until(lambda: kept.exists() and run in kept.read_text(encoding="utf-8"), seconds=SOON, what="it is kept")
        held = charged(seen, run)
        seen.agent.kill(signal.SIGKILL)
        seen.agent.start()
        seen.wait_for(0, seconds=SOON, run=run, project="vision", name="warm up", user=USER)
        wait_until(lambda: charged(seen, run) > held + 1, seconds=SOON, what="it is charged on")


def charged(seen: Node, run: str) -> float:
    """Seconds for which a run has held the GPU."""
    return total(seen.agent.scrape(), "gpuwatch_run_gpu_held_seconds_total", run=run)
