"""Real W&B runs, offline, seen by an installed agent: whose they are, and to whom the GPUs are charged."""

from __future__ import annotations

import getpass
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from node import QUICK, TRAINERS, Node, node, program
from rig import total, wait_until

USER = getpass.getuser()
TRAINER = (sys.executable, str(TRAINERS / "with_wandb.py"))
SOON = 5.0
"""Seconds from `wandb.init` until all is known of the run."""
SHELL = """
exec 3<&0
"$0" "$1" 4 <&3 &
launch=$!
sleep 3600 >/dev/null &
echo $!
wait $launch
kill $!
"""
"""A launch in the manner of torchrun, and beside it a program that has nothing to do with it."""
TWO = """
import os, subprocess, sys
def start(rank):
    return subprocess.Popen([sys.executable, sys.argv[1]], env={**os.environ, "RANK": rank})
for process in [start("0"), start("0"), start("1")]:
    process.wait()
"""
"""A program that starts two trainings with a run each, and one with none."""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with node(tmp_path_factory.mktemp("wandb"), 5) as running:
        yield running


@pytest.fixture(autouse=True)
def free(request: pytest.FixtureRequest) -> Iterator[None]:
    """Nobody is left on a GPU."""
    yield
    running: Node = request.getfixturevalue("seen")
    for gpu in range(5):
        running.put(gpu, 0)


def test_a_run_has_its_gpu_within_five_seconds_of_init(seen: Node, tmp_path: Path) -> None:
    """Charged from its init to its finish, and then the next one of the same process."""
    with program(*TRAINER, folder=tmp_path, **QUICK) as trainer:
        assert trainer.told() == ["ready"]
        seen.put(0, trainer.pid)
        seen.wait_for(0, seconds=SOON, source="adhoc")
        (first,) = trainer.tell("init vision lr3")
        seen.wait_for(0, seconds=SOON, run=f"wandb:{first}", project="vision", name="lr3", user=USER)
        wait_until(lambda: held(seen, first) > 1, seconds=SOON, what="it is charged")
        trainer.tell("finish")
        (second,) = trainer.tell("init speech lr4")
        seen.wait_for(0, seconds=SOON, run=f"wandb:{second}", project="speech", name="lr4", user=USER)
        of_first, of_second = held(seen, first), held(seen, second)
        wait_until(lambda: held(seen, second) > of_second + 1, seconds=SOON, what="the second is charged")
        assert held(seen, first) == of_first
    page = seen.agent.scrape()
    states = {state: total(page, "gpuwatch_gpu_state_seconds_total", gpu="0", state=state) for state in STATES}
    assert total(page, "gpuwatch_run_gpu_held_seconds_total", gpu="0") == pytest.approx(
        states["active"] + states["idle"], rel=1e-3
    )
    assert states["unknown"] == 0


STATES = ("active", "idle", "unknown")


def held(seen: Node, run: str) -> float:
    """Seconds for which a run has held GPU 0."""
    return total(seen.agent.scrape(), "gpuwatch_run_gpu_held_seconds_total", gpu="0", run=f"wandb:{run}")


def test_all_ranks_of_a_launch_are_its_run_and_a_stranger_of_the_same_shell_is_not(seen: Node, tmp_path: Path) -> None:
    command = ("sh", "-c", SHELL, sys.executable, str(TRAINERS / "launch.py"))
    with program(*command, folder=tmp_path, **QUICK) as shell:
        lines = [shell.told() for _ in range(5)]
        ((stranger,),) = [line for line in lines if len(line) == 1]
        ranks = {int(line[0]): (int(line[1]), line[2]) for line in lines if len(line) == 3}
        for rank, (pid, _) in ranks.items():
            seen.put(rank, pid)
        seen.put(4, int(stranger))
        run = f"wandb:{ranks[0][1]}"
        seen.wait_for(0, 1, 2, 3, seconds=SOON, run=run, project="distributed", name="four-ranks", user=USER)
        seen.wait_for(4, seconds=SOON, source="adhoc", user=USER)


def test_two_runs_under_one_program_are_two(seen: Node, tmp_path: Path) -> None:
    command = (sys.executable, "-c", TWO, str(TRAINERS / "rank.py"))
    with program(*command, folder=tmp_path, **QUICK) as parent:
        lines = sorted(parent.told() for _ in range(3))
        for gpu, (_, pid, _) in enumerate(lines):
            seen.put(gpu, int(pid))
        for gpu in (0, 1):
            seen.wait_for(gpu, seconds=SOON, run=f"wandb:{lines[gpu][2]}", user=USER)
        seen.wait_for(2, seconds=SOON, source="adhoc")
    assert len({run for _, _, run in lines}) == 3


@pytest.mark.prove
def test_as_the_library_comes_a_run_is_known_with_its_project_or_not_yet(seen: Node, tmp_path: Path) -> None:
    """It writes its project down after 15 s: until then the GPU is charged to its user, and to no run."""
    with program(*TRAINER, folder=tmp_path) as trainer:
        trainer.told()
        (run,) = trainer.tell("init vision lr3")
        began = time.monotonic()
        seen.put(0, trainer.pid)
        seen.wait_for(0, seconds=SOON, run="short", user=USER)
        seen.wait_for(0, seconds=20, run=f"wandb:{run}", project="vision", name="lr3", user=USER)
        assert time.monotonic() - began > SOON
    rows = {row["run"]: row["project"] for row in seen.gpu(0)["runs"] if row["run"] == f"wandb:{run}"}
    assert rows == {f"wandb:{run}": "vision"}
