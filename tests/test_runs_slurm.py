"""Real Slurm jobs seen by an installed agent: whose GPUs they are, with processes and with none."""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from node import Node, node
from rig import wait_until
from slurm import GPUS, NODE, Slurm, slurm

USER = getpass.getuser()
SOMEBODY = "nobody"
FIRST, SECOND = GPUS - 1, GPUS - 2
"""Those that Slurm gives first: it counts by /dev/nvidiaN, and the stand-in's are the other way round."""
SOON = 5.0
"""Seconds until a process that is new on a GPU is known."""
ASKED = 10.0
"""Seconds until an agent that has just started knows what Slurm says: it asks about the node, and then about jobs."""
ASKED_AGAIN = 75.0
"""Seconds until one that runs has heard of a change: it asks once a minute."""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run the jobs of others")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Slurm]:
    with slurm() as running:
        yield running


@pytest.fixture(scope="module")
def seen(cluster: Slurm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """Only its first GPU is ever used."""
    folder = tmp_path_factory.mktemp("slurm")
    with node(
        folder, GPUS, busy=[0], SLURM_CONF=cluster.environment["SLURM_CONF"], GPUWATCH_SLURM_NODE=NODE
    ) as running:
        yield running


@pytest.fixture(autouse=True)
def after_each(cluster: Slurm, seen: Node) -> Iterator[None]:
    """No job is left, and nobody on a GPU."""
    yield
    for gpu in range(GPUS):
        seen.put(gpu, 0)
    cluster.cancel_all()


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that any user's job can write to: pytest's own is private."""
    with TemporaryDirectory(prefix="gpuwatch-jobs-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder


def submit(cluster: Slurm, folder: Path, *options: str, gpus: int = 1) -> str:
    """The number of a job that writes the pid of each of its tasks into the folder, by the task's number, and waits."""
    script = f"echo $$ >{folder}/.${{SLURM_ARRAY_TASK_ID:-0}}; exec sleep 3600"
    fixed = (f"--gres=gpu:{gpus}", "--output=/dev/null", "--chdir=/")
    return cluster.start("sbatch", "--parsable", *fixed, *options, "--wrap", script).strip()


def pid_of(folder: Path, task: int = 0) -> int:
    """The process of a task, once it runs."""
    file = folder / f".{task}"
    wait_until(lambda: file.exists() and file.read_text().endswith("\n"), seconds=30, what="a running job")
    return int(file.read_text())


def idle_and_free(seen: Node, gpu: int) -> tuple[float, float]:
    """Seconds in which the GPU was held and not used, and in which nobody had it."""
    states = seen.gpu(gpu)["state_seconds"]
    return states["idle"], states["free"]


def test_a_job_has_its_gpu_for_its_user_in_the_project_that_its_account_is(
    cluster: Slurm, seen: Node, shared: Path
) -> None:
    job = submit(cluster, shared, "-A", "vision", "-J", "train", f"--uid={SOMEBODY}")
    seen.put(0, pid_of(shared))
    seen.wait_for(0, seconds=SOON, run=f"slurm:{job}", project="vision", name="train", user=SOMEBODY)
    command = [sys.executable, "-m", "gpuwatch", "explain", str(pid_of(shared))]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert {f"run      slurm:{job}", "project  vision", f"user     {SOMEBODY}"} <= set(lines)
    assert any(" ".join(line.split()) == f"slurm likely slurm:{job} (SLURM_JOB_ID={job})" for line in lines)


def test_each_task_of_an_array_is_a_run(cluster: Slurm, seen: Node, shared: Path) -> None:
    array = submit(cluster, shared, "--array=3-4", "-A", "nlp", "-J", "sweep")
    for gpu, task in enumerate((3, 4)):
        seen.put(gpu, pid_of(shared, task))
    for gpu, task in enumerate((3, 4)):
        seen.wait_for(gpu, seconds=SOON, run=f"slurm:{array}_{task}", project="nlp", name="sweep", user=USER)


def test_what_a_job_holds_with_no_process_is_held_and_idle(cluster: Slurm, seen: Node) -> None:
    """Of the GPUs that it holds one has a stranger's process: there the process counts."""
    cluster.start("salloc", "--no-shell", "--gres=gpu:2", "-A", "vision", "-J", "held")
    job = cluster.start("squeue", "-h", "-o", "%i").strip()
    seen.put(FIRST, os.getpid())
    seen.agent.kill()
    seen.agent.start()  # it asks at once
    expected = {"run": f"slurm:{job}", "project": "vision", "name": "held", "user": USER}
    seen.wait_for(SECOND, seconds=ASKED, **expected)
    seen.wait_for(FIRST, seconds=SOON, source="adhoc", user=USER)
    assert seen.holders(0) == []
    idle, free = idle_and_free(seen, SECOND)
    wait_until(lambda: idle_and_free(seen, SECOND)[0] > idle + 1, seconds=SOON, what="idle seconds")
    assert idle_and_free(seen, SECOND)[1] == free

    cluster.cancel_all()
    seen.agent.kill()
    seen.agent.start()
    wait_until(lambda: seen.holders(SECOND) == [], seconds=ASKED, what="it is free")
    idle, free = idle_and_free(seen, SECOND)
    wait_until(lambda: idle_and_free(seen, SECOND)[1] > free + 1, seconds=SOON, what="free seconds")
    assert idle_and_free(seen, SECOND)[0] == idle


@pytest.mark.prove
def test_a_running_agent_hears_of_an_allocation_and_of_its_end(cluster: Slurm, seen: Node) -> None:
    cluster.start("salloc", "--no-shell", "--gres=gpu:2", "-A", "vision", "-J", "held")
    seen.wait_for(FIRST, SECOND, seconds=2 * ASKED_AGAIN, source="slurm", name="held", project="vision", user=USER)
    cluster.cancel_all()
    wait_until(lambda: not seen.holders(FIRST) and not seen.holders(SECOND), seconds=ASKED_AGAIN, what="both are free")
