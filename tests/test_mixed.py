"""Several launches on one node: a run spreads over its own, never over another's, and on doubt over none."""

from __future__ import annotations

from gpuwatch.attribute.case import Case, Site, Traces, TrackedRun
from gpuwatch.attribute.resolver import Resolver
from gpuwatch.attribute.rules.adhoc import launch_root
from gpuwatch.model import Identity, Lineage, Process

SHELL = Process(Identity(1, 100), 0, 1000, "bash", ("bash",))
DOCKER = f"/system.slice/docker-{'3f' * 32}.scope"
STEP = "/system.slice/slurmstepd.scope/job_4711/step_0"


def process(pid: int, script: str, *options: str) -> Process:
    return Process(Identity(pid, pid * 100), 0, 1000, "python", ("python", script, *options))


def case(*members: Process, wandb: str = "", cgroup: str = "", **environment: str) -> Case:
    lineage = Lineage((*members, SHELL))
    tracked = tuple(TrackedRun("wandb", run, "open file") for run in wandb.split())
    traces = Traces(environment=environment, cgroup=cgroup, tracked=tracked)
    return Case(lineage, launch_root(lineage), 1_790_000_000.0, "ann", Site("n7"), traces)


def ranks(parent: Process, count: int, *, wandb: str, cgroup: str = "") -> list[Case]:
    """Ranks of a launch, of which the first begins the W&B run."""
    return [
        case(process(parent.identity.pid * 10 + rank, "train.py"), parent, wandb="" if rank else wandb, cgroup=cgroup)
        for rank in range(count)
    ]


def runs(*cases: Case) -> list[str]:
    """The run of each, without an ad-hoc one's name."""
    asked = {one.lineage.process.identity.pid: one for one in cases}
    return [
        verdict.run.owner.run.removeprefix("wandb:").partition(":")[0] for verdict in Resolver().resolve(asked).values()
    ]


def test_all_ranks_are_on_the_run_and_a_stranger_of_the_same_shell_is_not() -> None:
    torchrun = process(5, "/usr/bin/torchrun", "train.py")
    assert runs(*ranks(torchrun, 4, wandb="a"), case(process(9, "train.py"))) == ["a", "a", "a", "a", "adhoc"]


def test_two_launches_of_one_shell_never_mix() -> None:
    first, second = process(5, "/usr/bin/torchrun", "train.py"), process(6, "/usr/bin/torchrun", "train.py")
    assert runs(*ranks(first, 2, wandb="a"), *ranks(second, 2, wandb="b")) == ["a", "a", "b", "b"]
    assert runs(*ranks(first, 2, wandb="a"), *ranks(second, 2, wandb="")) == ["a", "a", "adhoc", "adhoc"]


def test_two_launches_in_one_container_never_mix() -> None:
    first, second = process(5, "/usr/bin/torchrun", "train.py"), process(6, "/usr/bin/torchrun", "train.py")
    cases = *ranks(first, 2, wandb="a", cgroup=DOCKER), *ranks(second, 2, wandb="", cgroup=DOCKER)
    assert runs(*cases) == ["a", "a", "docker", "docker"]


def test_two_runs_under_one_program_never_mix() -> None:
    sweep = process(5, "sweep.py")
    cases = [case(process(10 + n, "train.py"), sweep, wandb=run) for n, run in enumerate(("a", "b", ""))]
    assert runs(*cases) == ["a", "b", "adhoc"]


def test_with_two_runs_in_a_step_the_rest_is_the_jobs() -> None:
    cases = [case(process(10 + n, "train.py"), wandb=run, cgroup=STEP) for n, run in enumerate(("a", "b", ""))]
    assert runs(*cases) == ["a", "b", "slurm"]
    assert runs(*cases[1:]) == ["b", "b"]


def test_where_a_process_has_two_runs_open_none_is_spread() -> None:
    """It may be that the others are of either of its two."""
    cases = [case(process(10 + n, "train.py"), wandb=run, cgroup=STEP) for n, run in enumerate(("a c", "b", ""))]
    assert runs(*cases) == ["slurm", "b", "slurm"]
