"""The launch scope: siblings of one launch are in one, strangers of the same shell are not."""

from __future__ import annotations

from gpuwatch.attribute.case import Case, Site, Traces
from gpuwatch.attribute.rules.adhoc import launch_root
from gpuwatch.attribute.scope import launch_scope
from gpuwatch.model import Identity, Lineage, Process

SHELL = (Process(Identity(1, 100), 0, 1000, "bash", ("bash",)),)
TORCHRUN = ("python", "/usr/bin/torchrun", "--nproc-per-node=2", "train.py")
SCRIPT = ("python", "train.py")
STEP = "/system.slice/slurmstepd.scope/job_4711/step_0/user/task_"
DOCKER = f"/system.slice/docker-{'3f' * 32}.scope"


def process(pid: int, *arguments: str, uid: int = 1000) -> Process:
    return Process(Identity(pid, pid * 100), 0, uid, arguments[0], arguments)


def case(*members: Process, cgroup: str = "", **environment: str) -> Case:
    lineage = Lineage(members)
    traces = Traces(environment=environment, cgroup=cgroup)
    return Case(lineage, launch_root(lineage), 0.0, "ann", Site("n7"), traces)


def ranks(parent: Process, *pids: int, **environment: str) -> list[Case]:
    return [case(process(pid, *SCRIPT), parent, *SHELL, **environment) for pid in pids]


def scopes(*cases: Case) -> int:
    return len({launch_scope(one) for one in cases})


def test_ranks_of_one_torchrun_are_of_one_launch_and_a_stranger_is_not() -> None:
    one, other = ranks(process(5, *TORCHRUN), 10, 11)
    assert launch_scope(one) == launch_scope(other) == Identity(5, 500)
    assert scopes(one, case(process(12, *SCRIPT), *SHELL)) == 2


def test_two_launches_of_one_shell_are_two() -> None:
    assert scopes(*ranks(process(5, *TORCHRUN), 10, 11), *ranks(process(6, *TORCHRUN), 12, 13)) == 2


def test_two_launches_in_one_container_are_two() -> None:
    cases = [case(process(pid + 10, *SCRIPT), process(pid, *TORCHRUN), cgroup=DOCKER) for pid in (5, 6)]
    assert scopes(*cases) == 2


def test_any_program_that_starts_ranks_is_a_launch() -> None:
    parent = process(5, "python", "launch.py")
    assert scopes(*ranks(parent, 10, 11, LOCAL_RANK="0")) == 1


def test_the_parent_that_is_rank_0_itself_is_of_its_launch() -> None:
    parent = process(5, *SCRIPT)
    assert scopes(case(parent, *SHELL), *ranks(parent, 10, 11, LOCAL_RANK="1")) == 1


def test_what_multiprocessing_spawns_is_of_its_parent() -> None:
    spawned = process(10, "python", "-c", "spawn_main(tracker_fd=5, pipe_handle=7)", "--multiprocessing-fork")
    parent = process(5, *SCRIPT)
    assert scopes(case(parent, *SHELL), case(spawned, parent, *SHELL)) == 1


def test_a_shell_in_which_somebody_set_a_rank_is_no_launch() -> None:
    cases = [case(process(pid, *SCRIPT), *SHELL, RANK="0", LOCAL_RANK="0") for pid in (10, 11)]
    assert scopes(*cases) == 2


def test_children_of_one_program_that_are_no_ranks_are_each_for_themselves() -> None:
    assert scopes(*ranks(process(5, "python", "sweep.py"), 10, 11)) == 2


def test_a_launcher_of_another_user_is_no_launch() -> None:
    daemon = process(5, *TORCHRUN, uid=0)
    assert scopes(*[case(process(pid, *SCRIPT), daemon) for pid in (10, 11)]) == 2


def test_a_container_is_a_launch() -> None:
    assert scopes(*[case(process(pid, *SCRIPT), cgroup=DOCKER) for pid in (10, 11)]) == 1


def test_a_slurm_step_is_a_launch_and_two_steps_are_two() -> None:
    by_cgroup = [case(process(pid, *SCRIPT), cgroup=f"{STEP}{pid}") for pid in (10, 11)]
    assert scopes(*by_cgroup) == 1
    job = {"SLURM_JOB_ID": "4711"}
    assert scopes(*[case(process(pid, *SCRIPT), SLURM_STEP_ID="0", **job) for pid in (10, 11)], *by_cgroup) == 1
    assert scopes(*[case(process(10, *SCRIPT), SLURM_STEP_ID=step, **job) for step in "01"]) == 2


def test_of_a_job_without_a_step_each_process_is_for_itself() -> None:
    assert scopes(*[case(process(pid, *SCRIPT), SLURM_JOB_ID="4711") for pid in (10, 11)]) == 2
