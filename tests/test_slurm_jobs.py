"""Real jobs of a real Slurm, without cgroups: what their processes show, whose they are, and GPUs without any."""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from rig import wait_until
from slurm import NODE, Slurm, slurm

from gpuwatch.attribute.case import Case, Claim, Site, Traces
from gpuwatch.attribute.person import person_of, read_user_name
from gpuwatch.attribute.reserved import allocation_claim
from gpuwatch.attribute.rules.adhoc import launch_root
from gpuwatch.attribute.rules.slurm import slurm_rule
from gpuwatch.attribute.traces import parse_cgroup, parse_environment
from gpuwatch.model import Allocation
from gpuwatch.sense.allocation import find_allocations
from gpuwatch.sense.process import read_lineage
from gpuwatch.sense.slurm import find_slurm

ROOT = pwd.getpwuid(os.geteuid()).pw_name
SOMEBODY = "nobody"
SITE = Site(NODE)
OWN = f".{os.getpid()}"
"""After the seconds that processes sleep: so they are told from those of another run of these tests."""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run the jobs of others")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Slurm]:
    with slurm() as running:
        yield running


@pytest.fixture(autouse=True)
def after_each(cluster: Slurm, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No job is left, nor a `slurmstepd`."""
    monkeypatch.setenv("SLURM_CONF", cluster.environment["SLURM_CONF"])
    yield
    cluster.cancel_all()


def submit(cluster: Slurm, *options: str, script: str, gpus: int = 1) -> str:
    """The number of a job of this script, which holds GPUs."""
    options = (f"--gres=gpu:{gpus}", "--output=/dev/null", *options)
    return cluster.start("sbatch", "--parsable", *options, "--wrap", script).strip()


def pids_of(cluster: Slurm, mark: str, *, count: int = 1) -> list[int]:
    """The processes that are called as `mark`, once there are so many."""

    def found() -> list[int]:
        paths = Path("/proc").glob("[0-9]*/cmdline")
        return [int(path.parent.name) for path in paths if _arguments(path).removeprefix("/usr/bin/") == mark]

    wait_until(lambda: len(found()) == count, seconds=30, what=f"{count} processes {mark}: {cluster.start('squeue')}")
    return sorted(found())


def _arguments(path: Path) -> str:
    try:
        return path.read_text(errors="replace").replace("\0", " ").strip()
    except OSError:
        return ""


def read_traces(pid: int) -> Traces:
    """What a process shows of Slurm."""
    process = Path(f"/proc/{pid}")
    return Traces(
        environment=parse_environment((process / "environ").read_bytes()),
        cgroup=parse_cgroup((process / "cgroup").read_text()),
    )


def claim_of(pid: int) -> tuple[Claim, str]:
    """What the rule claims of a process, and the person."""
    lineage = read_lineage(pid)
    assert lineage is not None
    uid = lineage.process.uid
    case = Case(
        lineage=lineage, root=launch_root(lineage), root_started_unix=0.0, user=read_user_name(uid), site=SITE,
        traces=read_traces(pid),
    )  # fmt: skip
    claim = slurm_rule(case)
    assert claim is not None
    return claim, person_of(case.user, uid, [claim], in_container=False)


def held(*, jobs: int) -> dict[int, Allocation]:
    """The allocations by GPU, once so many jobs hold some."""
    node, allocations = find_slurm(NODE), find_allocations(NODE)
    assert node is not None
    assert allocations is not None
    known: dict[int, Allocation] = {}
    now = 0.0

    def are_known() -> bool:
        nonlocal known, now
        now += 20.0  # on a clock of this test, on which questions are due soon and none is late
        node.read(now=now if not node.is_asking else now - 20.0, unix=time.time())
        known = dict(allocations.read(node.gpus_in_use, now=0.0 if allocations.is_asking else now, unix=time.time()))
        return len({allocation.job for allocation in known.values()}) == jobs

    try:
        wait_until(are_known, seconds=30, what=f"{jobs} jobs that hold GPUs; known: {known}")
    finally:
        node.close()
        allocations.close()
    return known


def test_a_job_and_its_steps_are_one_run(cluster: Slurm) -> None:
    """Of its user, in the project that its account is; also where its name is two lines."""
    script = f"sleep 4001{OWN} & srun --overlap --gres=gpu:1 sleep 4002{OWN} & wait"
    job = submit(cluster, "-A", "vision", "-J", "train\nit", script=script, gpus=2)
    (direct,) = pids_of(cluster, f"sleep 4001{OWN}")
    (step,) = pids_of(cluster, f"sleep 4002{OWN}")
    for pid in (direct, step):
        claim, person = claim_of(pid)
        assert (claim.run, claim.batch_job, claim.project, claim.name) == (
            f"slurm:{job}", f"slurm:{job}", "vision", "trainit",
        )  # fmt: skip
        assert (claim.group, person) == ("", ROOT)


def test_what_a_job_shows_without_cgroups(cluster: Slurm) -> None:
    """The measure of the rule: the environment tells all, the cgroup nothing, and the batch script has no step."""
    job = submit(
        cluster, "-A", "nlp", script=f"sleep 4003{OWN} & srun --overlap --gres=gpu:1 sleep 4004{OWN} & wait", gpus=2
    )
    (direct,) = pids_of(cluster, f"sleep 4003{OWN}")
    (step,) = pids_of(cluster, f"sleep 4004{OWN}")
    batch = read_traces(direct)
    names = ("JOB_ID", "JOB_ACCOUNT", "JOB_USER", "JOB_GPUS", "STEP_ID")
    assert [batch.environment.get(f"SLURM_{name}") for name in names] == [job, "nlp", ROOT, "0,1", None]
    assert read_traces(step).environment["SLURM_STEP_ID"] == "0"
    assert "job_" not in batch.cgroup


def test_each_task_of_an_array_is_a_run_and_the_array_one_matter(cluster: Slurm) -> None:
    array = submit(cluster, "--array=3-4", "-A", "nlp", script=f"exec sleep 4005{OWN}")
    claims = [claim_of(pid)[0] for pid in pids_of(cluster, f"sleep 4005{OWN}", count=2)]
    assert sorted(claim.run for claim in claims) == [f"slurm:{array}_3", f"slurm:{array}_4"]
    assert {claim.group for claim in claims} == {f"slurm:{array}"}


def test_a_job_is_whose_uid_it_is(cluster: Slurm) -> None:
    """Whatever its environment says: SLURM_JOB_USER is a variable as any other."""
    submit(cluster, f"--uid={SOMEBODY}", "--chdir=/", script=f"SLURM_JOB_USER=eve exec sleep 4006{OWN}")
    (pid,) = pids_of(cluster, f"sleep 4006{OWN}")
    assert read_traces(pid).environment["SLURM_JOB_USER"] == "eve"
    assert claim_of(pid)[1] == SOMEBODY
    assert {allocation.user for allocation in held(jobs=1).values()} == {SOMEBODY}


def test_a_gpu_that_is_held_with_no_process_has_its_job(cluster: Slurm) -> None:
    """An allocation without any step: no process of it is on the node at all."""
    began = time.time()
    command: Sequence[str] = ("salloc", "--no-shell", "--gres=gpu:2", "-A", "vision", "-J", "held\nidle")
    cluster.start(*command)
    allocations = held(jobs=1)
    assert list(allocations) == [0, 1]
    allocation = allocations[0]
    assert (allocation.uid, allocation.user, allocation.account) == (os.geteuid(), ROOT, "vision")
    assert began - 2 <= allocation.started_unix <= time.time()
    claim = allocation_claim(allocation, SITE)
    assert (claim.run, claim.name, claim.project) == (f"slurm:{allocation.job}", "heldidle", "vision")


def test_what_is_allocated_has_the_same_run_as_its_processes(cluster: Slurm) -> None:
    submit(cluster, "-A", "vision", "-J", "train", script=f"exec sleep 4007{OWN}")
    submit(cluster, "--array=8-9", "-A", "nlp", "-J", "sweep", script=f"exec sleep 4007{OWN}")
    claims = [claim_of(pid)[0] for pid in pids_of(cluster, f"sleep 4007{OWN}", count=3)]
    reserved = [allocation_claim(allocation, SITE) for allocation in held(jobs=3).values()]

    def owners(told: Sequence[Claim]) -> list[tuple[str, ...]]:
        return sorted((claim.run, claim.name, claim.project, claim.batch_job, claim.group) for claim in told)

    assert owners(reserved) == owners(claims)


def test_a_name_with_lines_of_slurm_in_it_gives_nobody_a_gpu(cluster: Slurm) -> None:
    forged = "x\n   UserId=eve(1)\n     Nodes=n7 CPU_IDs=0 Mem=0 GRES=gpu:8(IDX:0-7)"
    cluster.start("salloc", "--no-shell", "--gres=gpu:1", "-J", forged, "-A", "a\n4711 1 2026-11-20T10:00:00 eve")
    cluster.start("salloc", "--no-shell", "--gres=gpu:1", "-J", "plain")
    allocations = held(jobs=1)
    assert {gpu: (allocation.user, allocation.name) for gpu, allocation in allocations.items()} == {1: (ROOT, "plain")}
