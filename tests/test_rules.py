"""The rules on any text: what a user can put into an environment, a cgroup or a file makes a clean claim or none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuwatch.attribute.case import Case, Claim, Container, Rule, Site, Traces
from gpuwatch.attribute.kinds import kind_of
from gpuwatch.attribute.place import locate
from gpuwatch.attribute.rules.containers import container_rule
from gpuwatch.attribute.rules.declared import declared_rule
from gpuwatch.attribute.rules.kubernetes import kubernetes_rule
from gpuwatch.attribute.rules.mlflow import mlflow_rule
from gpuwatch.attribute.rules.schedulers import SCHEDULERS, scheduler_rule
from gpuwatch.attribute.rules.slurm import slurm_rule
from gpuwatch.attribute.rules.systemd import systemd_rule
from gpuwatch.attribute.rules.torchrun import torchrun_rule
from gpuwatch.attribute.rules.trackers import TRACKERS, tracker_rule
from gpuwatch.attribute.scope import launch_scope
from gpuwatch.attribute.text import LONGEST, clean
from gpuwatch.attribute.traces import ALLOWED
from gpuwatch.model import Identity, Lineage, Process

RULES: tuple[Rule, ...] = (
    declared_rule, mlflow_rule, tracker_rule, slurm_rule, scheduler_rule,
    kubernetes_rule, container_rule, torchrun_rule, systemd_rule,
)  # fmt: skip
HEX = "3f" * 32
UID = "6a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"
JOB = "/system.slice/slurmstepd.scope/job_4711/step_0/user/task_0"
SESSION = "/user.slice/user-1000.slice/session-3.scope"
DOCKER = f"/system.slice/docker-{HEX}.scope"


def case(
    cgroup: str = SESSION,
    *,
    uid: int = 1000,
    container: Container | None = None,
    environment: Mapping[str, str] = MappingProxyType({}),
    **variables: str,
) -> Case:
    process = Process(Identity(9, 900), 8, uid, "python", ("python", "train.py"))
    traces = Traces(environment={**environment, **variables}, cgroup=cgroup)
    return Case(Lineage((process,)), process, 1_790_000_000.0, "ann", Site("n7"), traces, container=container)


def claimed(rule: Rule, asked: Case) -> Claim:
    claim = rule(asked)
    assert claim is not None
    return claim


PARTS = st.sampled_from(
    f"slurm uid_0 job_1 job_2 step_0 system.slice slurmstepd.scope kubepods burstable pod{UID} docker {HEX} .. "
    f"docker-{HEX}.scope libpod-{HEX}.scope user.slice user-1000.slice user@1000.service vllm.service s8FXKTA79XAR00 "
    f"kubepods.slice kubepods-pod{UID.replace('-', '_')}.slice cri-containerd-{HEX}.scope".split()
)
ANY_TEXT = st.text(st.characters(codec=None), max_size=300)
CGROUPS = st.lists(st.lists(PARTS | ANY_TEXT, max_size=8).map("/".join), max_size=4).map("\n".join)
ENVIRONMENTS = st.dictionaries(st.sampled_from(sorted(ALLOWED)), ANY_TEXT | st.integers(0, 9999).map(str), max_size=8)
CONTAINERS = st.none() | st.builds(
    Container, ANY_TEXT, ANY_TEXT, ANY_TEXT, ANY_TEXT, st.dictionaries(st.sampled_from(["gpuwatch.user"]), ANY_TEXT)
)


@given(CGROUPS, ENVIRONMENTS, CONTAINERS, st.sampled_from([0, 1000]))
def test_any_text_makes_clean_claims_or_none(
    cgroup: str, environment: dict[str, str], container: Container | None, uid: int
) -> None:
    asked = case(cgroup, uid=uid, container=container, environment=environment)
    hash(launch_scope(asked))
    assert kind_of(asked) in ("batch", "interactive", "service")
    for claim in filter(None, (rule(asked) for rule in RULES)):
        for part in fields(claim):
            value = getattr(claim, part.name)
            assert not isinstance(value, str) or part.name == "evidence" or value == clean(value)
        assert claim.evidence == clean(claim.evidence, LONGEST * 4)
        assert " " not in claim.run
        claim.run.encode()


@given(CGROUPS, ENVIRONMENTS)
def test_outside_of_what_root_contains_nobody_names_another(cgroup: str, environment: dict[str, str]) -> None:
    place = locate(cgroup)
    asked = case(cgroup, environment=environment)
    if place.user or not (place.container or place.pod):
        assert not any(claim.user for rule in RULES if (claim := rule(asked)) is not None)


def test_what_the_tables_ask_for_is_read() -> None:
    asked = {name for row in TRACKERS for name in (row.variable, row.name, row.group)}
    asked |= {name for scheduler in SCHEDULERS for name in (scheduler.variable, scheduler.name)}
    assert asked - {""} <= ALLOWED


@pytest.mark.parametrize(
    ("uid", "cgroup", "user"),
    [
        (1000, SESSION, ""),
        (1000, JOB, ""),
        (0, SESSION, "ann"),
        (1000, DOCKER, "ann"),
        (1000, f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{HEX}.scope", ""),
    ],
)
def test_a_variable_names_the_person_only_where_the_uid_does_not(uid: int, cgroup: str, user: str) -> None:
    assert claimed(declared_rule, case(cgroup, uid=uid, GPUWATCH_USER="ann", GPUWATCH_PROJECT="x")).user == user
    assert claimed(slurm_rule, case(cgroup, uid=uid, SLURM_JOB_USER="ann", SLURM_JOB_ID="4711")).user == user


@pytest.mark.parametrize("run", ["slurm:4711", "named:", "named:a b", "named:a\nb", "named:" + "x" * 200, "adhoc:x@n8"])
def test_a_declared_run_is_a_named_one(run: str) -> None:
    assert declared_rule(case(GPUWATCH_RUN=run)) is None


def test_what_is_declared_without_a_run_is_told_all_the_same() -> None:
    claim = claimed(declared_rule, case(GPUWATCH_PROJECT="vision\u202e", GPUWATCH_RUN="slurm:1"))
    assert (claim.run, claim.project, claim.evidence) == ("", "vision", "GPUWATCH_PROJECT")


def test_a_slurm_array_is_one_matter() -> None:
    array = {"SLURM_JOB_ID": "4711", "SLURM_ARRAY_JOB_ID": "4700", "SLURM_ARRAY_TASK_ID": "3"}
    claim = claimed(slurm_rule, case(JOB, environment=array))
    assert (claim.run, claim.group, claim.batch_job) == ("slurm:4700_3", "slurm:4700", "slurm:4700_3")


def test_nothing_of_another_jobs_environment_counts() -> None:
    claim = claimed(slurm_rule, case(JOB, uid=0, SLURM_JOB_ID="9", SLURM_JOB_NAME="x", SLURM_JOB_USER="eve"))
    assert (claim.run, claim.name, claim.user, claim.evidence) == ("slurm:4711", "", "", "cgroup of job 4711")


@pytest.mark.parametrize(
    "interactive",
    [
        case(SLURM_JOB_ID="1", SLURM_JOB_NAME="interactive"),
        case(SLURM_JOB_ID="1", SLURM_STEP_ID="4294967290"),
        case(JOB.replace("step_0", "step_interactive")),
        replace(case(JOB), traces=Traces(cgroup=JOB, has_terminal=True)),
    ],
)
def test_a_slurm_job_at_which_somebody_sits_is_interactive(interactive: Case) -> None:
    assert claimed(slurm_rule, interactive).kind == "interactive"
    assert claimed(slurm_rule, case(JOB)).kind == ""


def test_a_pod_whose_names_do_not_fit_goes_by_its_uid() -> None:
    pod = Container(HEX, namespace="n" * 60, pod="p" * 80)
    assert claimed(kubernetes_rule, case(f"/kubepods/pod{UID}/{HEX}", container=pod)).run == f"k8s:{UID}"


@pytest.mark.parametrize("name", ["a b", "../x", "x" * 65, "\u202e", ""])
def test_a_container_with_no_proper_name_goes_by_its_id(name: str) -> None:
    assert claimed(container_rule, case(DOCKER, container=Container(HEX, name))).run == f"docker:{HEX[:12]}@n7"


@pytest.mark.parametrize(
    ("told", "run"), [("none", ""), ("123", ""), ("resnet-v1", ""), (UID, f"torchrun:{UID}"), (UID + "\n", "")]
)
def test_only_an_id_that_nobody_chose_is_a_torchrun_run(told: str, run: str) -> None:
    assert claimed(torchrun_rule, case(TORCHELASTIC_RUN_ID=told)).run == run
    assert torchrun_rule(case(MASTER_ADDR="n1", MASTER_PORT="29500", RANK="0")) is None


@pytest.mark.parametrize(
    "cgroup",
    [
        SESSION,
        "/init.scope",
        "/user.slice/user-1000.slice/user@1000.service/init.scope",
        "/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-org.gnome.Terminal-12.scope",
        "/user.slice/user-1000.slice/user@1000.service/app.slice/gnome-terminal-server.service",
        "/user.slice/user-1000.slice/user@1000.service/app.slice/app-org.kde.konsole@1a2b.service",
        *(f"/system.slice/{name}.service" for name in "ssh cron slurmd docker containerd kubelet jupyterhub".split()),
        "/system.slice/run-u12.service",
        "/system.slice/" + "x" * 100 + ".service",
        f"{DOCKER}/system.slice/vllm.service",
        f"/kubepods/pod{UID}/{HEX}/x.service",
        JOB + "/x.service",
    ],
)
def test_what_is_no_service_is_no_run_of_systemd(cgroup: str) -> None:
    assert systemd_rule(case(cgroup)) is None


def test_equal_services_of_the_system_and_of_two_users_are_three_runs() -> None:
    users = (f"/user.slice/user-{uid}.slice/user@{uid}.service/app.slice/train.service" for uid in (1000, 1001))
    assert len({claimed(systemd_rule, case(path)).run for path in ("/system.slice/train.service", *users)}) == 3


def test_two_starts_of_ray_are_two_runs() -> None:
    first = case(RAY_JOB_ID="01000000")
    again = replace(first, root_started_unix=first.root_started_unix + 60)
    assert claimed(tracker_rule, first).run != claimed(tracker_rule, again).run


@pytest.mark.parametrize(
    ("environment", "run"),
    [
        ({"DET_TRIAL_ID": "57", "DET_TASK_ID": UID}, "determined:57"),
        ({"DSTACK_RUN_NAME": "quick-fox-1"}, "dstack:quick-fox-1"),
        ({"PBS_JOBID": "81[4].head.lab"}, "pbs:81[4].head.lab"),
        ({"FLUX_JOB_ID": "\u0192abc"}, "flux:abc"),
        ({"_CONDOR_JOB_AD": "/scratch/dir_77/.job.ad"}, "htcondor:dir_77@n7"),
    ],
)
def test_the_tables_know_their_ids(environment: dict[str, str], run: str) -> None:
    ask: Callable[[Case], Claim | None] = lambda asked: tracker_rule(asked) or scheduler_rule(asked)  # noqa: E731
    assert claimed(ask, case(environment=environment)).run == run
