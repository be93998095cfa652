"""`gpuwatch stop`: which word ends a run, whom it spares, and that a pid that is used again is never hit."""

from __future__ import annotations

import os
import pty
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from node import environment, program
from rig import wait_until
from standin.driver import StandIn
from standin.trace import steady_trace

from gpuwatch.agent.ending import give_order, hold
from gpuwatch.agent.explanation import Seen
from gpuwatch.agent.stopping import Order, Signal, Step, holders_of, runs_of, steps_for
from gpuwatch.agent.whose import choose, pid_of
from gpuwatch.attribute.case import Case, Container, Site, Traces
from gpuwatch.attribute.resolver import Resolver
from gpuwatch.attribute.rules.adhoc import launch_root
from gpuwatch.errors import GpuwatchError
from gpuwatch.model import Identity, Lineage, Process
from gpuwatch.sense.process import read_stat

ANN, ROOT = 1000, 0
HEX = "3f" * 32
POD = "1f0e8a44-9a55-4f0c-8f2e-7f4f0f6b2b11"
STEP = "/system.slice/slurmstepd.scope/job_4711/step_0/user/task_0"
SHELL = Process(Identity(2, 200), 0, ANN, "bash", ("bash",))


def process(pid: int, *arguments: str, uid: int = ANN) -> Process:
    arguments = arguments or ("python", "train.py", "--token", "geheim")
    return Process(Identity(pid, pid * 100), 0, uid, arguments[0], arguments)


def case(*members: Process, cgroup: str = "", container: Container | None = None, **variables: str) -> Case:
    lineage = Lineage((*members, SHELL))
    traces = Traces(environment=variables, cgroup=cgroup)
    return Case(lineage, launch_root(lineage), 1_790_000_000.0, "ann", Site("n7"), traces, container=container)


def seen(*cases: Case) -> Seen:
    """All of these are on GPU 0."""
    by_pid = {one.lineage.process.identity.pid: one for one in cases}
    return Seen(tuple(by_pid), by_pid, Resolver().resolve(by_pid), dict.fromkeys(by_pid, ("0",)))


def steps(around: Seen, run: str, *, uid: int = ANN, asking: Sequence[Process] = ()) -> list[Step]:
    """What ends a run of ann's."""
    (whose,) = (whose for whose in runs_of(around) if whose[1].startswith(run))
    return steps_for(around, whose, uid=uid, asking=[one.identity for one in asking])


# By which word, and to whom.


def test_a_launch_from_a_shell_is_told_at_its_top_and_once() -> None:
    top = process(10, "python", "/usr/bin/torchrun", "train.py")
    around = seen(*(case(process(pid), top, RANK="1") for pid in (11, 12)))
    assert steps(around, "adhoc:train.py") == [Signal(top)]


def test_of_a_launch_that_has_another_run_in_it_only_its_own_part_is_told() -> None:
    """The sweep's agent is above both; the runs are declared by what it started."""
    agent, first, second = process(10, "python", "sweep.py"), process(11), process(21)
    around = seen(
        case(process(12), first, agent, GPUWATCH_RUN="named:a-1"),
        case(process(22), second, agent, GPUWATCH_RUN="named:b-1"),
    )
    assert steps(around, "named:a-1") == [Signal(first)]
    assert steps(around, "named:b-1") == [Signal(second)]


def test_who_asks_is_spared_with_all_that_it_runs_under() -> None:
    """In a notebook server's own terminal: the kernel is told, and not the server."""
    server, kernel = process(10, "jupyter-lab"), process(11, "python", "-m", "ipykernel_launcher")
    around = seen(case(kernel, server))
    assert steps(around, "adhoc:", asking=[process(31, "gpuwatch"), process(30, "bash"), server]) == [Signal(kernel)]
    assert steps(around, "adhoc:") == [Signal(server)]


def test_no_process_of_another_user_is_told() -> None:
    own, other = process(11), process(10, "python", "pool.py", uid=ANN + 1)
    assert steps(seen(case(own, other)), "adhoc:") == [Signal(own)]


def test_a_slurm_job_is_cancelled_and_for_root_only_if_it_is_that_users() -> None:
    around = seen(case(process(11), cgroup=STEP, SLURM_JOB_ID="4711"))
    assert steps(around, "slurm:4711") == [Order(("scancel", "4711"))]
    assert steps(around, "slurm:4711", uid=ROOT) == [Order(("scancel", "--user=1000", "4711"))]


def test_a_tracked_run_that_is_alone_in_its_job_ends_with_it() -> None:

    def task(pid: int, run: str, name: str = "sweep") -> Case:
        return case(
            process(pid), cgroup=STEP, GPUWATCH_RUN=run, SLURM_JOB_ID="4711", SLURM_ARRAY_JOB_ID="4700",
            SLURM_ARRAY_TASK_ID="3", SLURM_JOB_NAME=name,
        )  # fmt: skip

    one, other = task(11, "named:a-1"), task(12, "named:b-1")
    assert steps(seen(one), "named:a-1") == [Order(("scancel", "4700_3"))]
    assert steps(seen(one, other), "named:a-1") == [Signal(process(11))]
    at_it = task(13, "named:c-1", "interactive")
    assert steps(seen(at_it), "named:c-1") == [Signal(process(13))]


@pytest.mark.parametrize("job", ["--signal=KILL", "4711; rm", "4711\n1", "", "9" * 40])
def test_a_job_with_a_number_that_is_none_is_no_order(job: str) -> None:
    around = seen(case(process(11), SLURM_JOB_ID=job))
    assert steps(around, "adhoc:") == [Signal(process(11))]


@pytest.mark.parametrize(("scope", "engine"), [("docker", "docker"), ("libpod", "podman")])
def test_a_container_is_stopped_by_its_id_whatever_it_is_called(scope: str, engine: str) -> None:
    around = seen(case(process(11), cgroup=f"/system.slice/{scope}-{HEX}.scope", container=Container(HEX, "--help")))
    assert steps(around, engine, uid=ROOT) == [Order((engine, "stop", HEX))]


def test_root_does_not_take_a_users_word_for_a_container() -> None:
    """A user calls cgroups below their own as they like, and could name another's container."""
    around = seen(case(process(11), cgroup=f"/user.slice/user-1000.slice/libpod-{HEX}.scope"))
    assert steps(around, "podman:") == [Order(("podman", "stop", HEX))]
    assert steps(around, "podman:", uid=ROOT) == [Signal(process(11))]


def test_a_pod_is_only_told() -> None:
    pod = Container(POD, namespace="vision", pod="resnet-0")
    around = seen(case(process(11), cgroup=f"/kubepods/pod{POD}/{HEX}", container=pod))
    order = Order(("kubectl", "delete", "pod", "--namespace", "vision", "resnet-0"), is_ours=False)
    assert steps(around, "k8s:vision/resnet-0") == [order]
    hostile = Container(POD, namespace="-A", pod="--all")
    (told,) = steps(seen(case(process(11), cgroup=f"/kubepods/pod{POD}/{HEX}", container=hostile)), "k8s:")
    assert isinstance(told, Order)
    assert not told.is_ours
    assert not {"-A", "--all"} & set(told.words)


def test_arguments_are_not_shown() -> None:
    around = seen(case(process(11, "/usr/bin/python3", "/home/ann/tr\x1b[2Jain.py", "--token", "geheim")))
    (whose,) = runs_of(around)
    (holder,) = holders_of(around, whose).values()
    assert holder.command == "python3 tr[2Jain.py"


def test_what_is_on_no_gpu_is_no_holder() -> None:
    around = seen(case(process(11)))._replace(gpus={})
    assert runs_of(around) == set()


def test_a_run_is_known_by_its_name_or_what_stands_behind_its_source() -> None:
    known = {("ann", "wandb:x1"), ("ben", "wandb:x2"), ("ann", "slurm:4711"), ("ben", "named:4711"), ("ann", "short")}
    assert choose("wandb:x1", known, person="ann") == choose("x1", known, person="ann") == ("ann", "wandb:x1")
    assert choose("x2", known, person=None) == ("ben", "wandb:x2")
    assert choose("4711", known, person="ann") == ("ann", "slurm:4711")
    assert choose("short", known, person="ann") is choose("x", known, person=None) is None
    with pytest.raises(ValueError, match="x2 is no run of ann: people speak for their own runs, and root for all"):
        choose("x2", known, person="ann")
    with pytest.raises(ValueError, match="4711 may be slurm:4711 of ann or named:4711 of ben"):
        choose("4711", known, person=None)


def test_who_calls_their_run_like_the_number_of_a_process_is_not_taken_for_it() -> None:
    known, of_process = {("ben", "named:4711"), ("ann", "wandb:x1")}, ("ann", "wandb:x1")
    assert choose("4711", known, person="ann", of_process=of_process) == of_process
    assert choose("4712", known, person=None, of_process=of_process) == of_process
    with pytest.raises(ValueError, match="4711 may be wandb:x1 of ann or named:4711 of ben"):
        choose("4711", known, person=None, of_process=of_process)
    with pytest.raises(ValueError, match="no run of cat"):
        choose("4711", known, person="cat", of_process=of_process)
    assert choose("4712", {("ann", "short")}, person="ann", of_process=("ann", "short")) is None


def test_a_pid_is_a_number_that_a_process_can_have() -> None:
    assert [pid_of(text) for text in ("4711", "0", "-1", "٤", "9" * 30, "x")] == [4711, None, None, None, None, None]


# Real processes.


def test_a_pid_that_is_another_process_by_now_is_never_hit() -> None:
    with subprocess.Popen(["sleep", "60"]) as victim:
        stat = read_stat(victim.pid)
        assert stat is not None
        real, former = Identity(victim.pid, stat.start_ticks), Identity(victim.pid, stat.start_ticks - 1)
        with hold([former]) as held:
            assert not held.interrupt(former)
            assert not held.interrupt(real)
            assert held.wait([former], seconds=0.0)
        assert victim.poll() is None
        with hold([real]) as held:
            assert not held.wait([real], seconds=0.0)
            assert held.interrupt(real)
            assert held.wait([real], seconds=10.0)
            victim.wait()
            assert not held.interrupt(real)
        assert victim.returncode == -signal.SIGINT
    with hold([real]) as held:
        assert not held.interrupt(real)


def test_an_order_that_cannot_be_given_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(GpuwatchError, match="podman9 is not on the PATH: run it where it is, as `podman9 stop x`"):
        give_order(("podman9", "stop", "x"))
    fake(tmp_path, "podman9", "echo first >&2; echo 'no such\x1b[2J container' >&2; exit 3")
    with pytest.raises(GpuwatchError, match=re.escape("`podman9 stop x` was refused: no such[2J container")):
        give_order(("podman9", "stop", "x"))


def fake(folder: Path, name: str, script: str) -> None:
    """A program on the PATH that writes its arguments down, one a line."""
    (folder / name).write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >>{shlex.quote(str(folder))}/{name}.told\n{script}\n')
    (folder / name).chmod(0o755)


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[StandIn]:
    with StandIn(tmp_path, steady_trace(2, 1, 600.0, 0.8)) as standin:
        standin.start()
        yield standin


def stopped(
    driver: StandIn, folder: Path, *arguments: str, patience: float = 20.0, at: int = subprocess.DEVNULL
) -> tuple[int, str, str]:
    """How `gpuwatch stop` ended, what it printed, and what it said was wrong. `at` is what it reads from."""
    script = f"import gpuwatch.cli.stop as it, gpuwatch.cli as cli; it._PATIENCE_SECONDS = {patience}; cli.main()"
    variables = {"GPUWATCH_SOCKET": str(folder / "nowhere"), "GPUWATCH_NODE": "n7", **driver.environment()}
    variables["PATH"] = f"{folder}:{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, "-c", script, "stop", *arguments], env=environment(folder) | variables,
        stdin=at, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


TRAINER = "import signal, sys; signal.signal(signal.SIGINT, {}); print('ready', flush=True); sys.stdin.read()"
CALM, DEAF = TRAINER.format("lambda *_: sys.exit(7)"), TRAINER.format("signal.SIG_IGN")


def test_a_run_is_told_to_end_and_another_is_not(driver: StandIn, tmp_path: Path) -> None:
    command = (sys.executable, "-c", CALM)
    with (
        program(*command, folder=tmp_path, GPUWATCH_RUN="named:a-1") as mine,
        program(*command, folder=tmp_path, GPUWATCH_RUN="named:b-1") as other,
    ):
        for slot, one in enumerate((mine, other)):
            assert one.told() == ["ready"]
            driver.set_pid(slot, one.pid)
        status, output, errors = stopped(driver, tmp_path, "a-1", "--yes")
        assert (status, errors) == (0, "waiting for it to let go …\n")
        lines = output.splitlines()
        assert lines[0].startswith("named:a-1 of ")
        assert re.fullmatch(rf"{mine.pid} +\w+ +python[\d.]* +0 +\d{{4}}-.*", lines[2])
        assert lines[3].startswith(f"it is stopped by SIGINT to process {mine.pid}, python")
        assert lines[4:] == ["named:a-1 holds no GPU of this node any more"]
        assert mine.end()[0] == 7
        assert other.end()[0] == 0


def test_what_does_not_end_is_told_with_the_commands_that_would(driver: StandIn, tmp_path: Path) -> None:
    with program(sys.executable, "-c", DEAF, folder=tmp_path, GPUWATCH_RUN="named:a-1") as deaf:
        deaf.told()
        driver.set_pid(0, deaf.pid)
        status, _, errors = stopped(driver, tmp_path, str(deaf.pid), "--yes", patience=0.2)
        assert status == 1
        assert errors.splitlines()[-1] == (
            f"gpuwatch: to end it without waiting: kill -TERM {deaf.pid}; if that does nothing: kill -KILL {deaf.pid}"
        )
        assert deaf.end()[0] == 0


def test_a_job_is_ended_by_its_scheduler(driver: StandIn, tmp_path: Path) -> None:
    with program("cat", folder=tmp_path, SLURM_JOB_ID="4711", SLURM_JOB_NAME="--signal=KILL; touch x") as job:
        driver.set_pid(0, job.pid)
        fake(tmp_path, "scancel", f"kill {job.pid}")
        status, output, _ = stopped(driver, tmp_path, "4711", "--yes")
        assert status == 0
        told = (tmp_path / "scancel.told").read_text().splitlines()
        assert told == ["4711"] if os.geteuid() else ["--user=0", "4711"]
        assert f"it is stopped by: scancel {' '.join(told)}" in output
        assert job.end()[0] == -signal.SIGTERM


def test_nothing_is_done_without_a_yes(driver: StandIn, tmp_path: Path) -> None:
    with program("cat", folder=tmp_path, GPUWATCH_RUN="named:a-1") as run:
        driver.set_pid(0, run.pid)
        assert stopped(driver, tmp_path, "a-1") == (
            2, "", "gpuwatch: there is no terminal to ask at: with --yes it is stopped without being asked about\n",
        )  # fmt: skip
        assert run.end()[0] == 0


@pytest.mark.parametrize(("answer", "is_done"), [("y", True), ("n", False), ("", False)])
def test_at_a_terminal_it_asks(driver: StandIn, tmp_path: Path, answer: str, is_done: bool) -> None:
    with program(sys.executable, "-c", CALM, folder=tmp_path, GPUWATCH_RUN="named:a-1") as run:
        run.told()
        driver.set_pid(0, run.pid)
        keyboard, terminal = pty.openpty()
        os.write(keyboard, f"{answer}\n".encode())
        status, output, _ = stopped(driver, tmp_path, "a-1", at=terminal)
        os.close(keyboard)
        os.close(terminal)
        assert (status, "do it? [y/N]: " in output) == (0 if is_done else 1, True)
        assert run.end()[0] == (7 if is_done else 0)


def test_a_run_that_is_not_here_is_told_in_a_line(driver: StandIn, tmp_path: Path) -> None:
    assert stopped(driver, tmp_path, "--yes", "--", "--help") == (
        1, "", "gpuwatch: no run --help is on a GPU of this node: see `gpuwatch status`\n",
    )  # fmt: skip


def test_a_job_that_only_reserves_a_gpu_is_left_to_its_scheduler(driver: StandIn, tmp_path: Path) -> None:
    assert stopped(driver, tmp_path, "slurm:alps/4711_3", "--yes") == (
        1, "", "gpuwatch: slurm:alps/4711_3 has no process on a GPU of this node; where it only reserves one: "
        "scancel 4711_3\n",
    )  # fmt: skip


def test_all_ranks_of_a_launch_end_with_it(driver: StandIn, tmp_path: Path) -> None:
    launch = (sys.executable, "-c", LAUNCH, sys.executable, "-c", "input()")
    with program(*launch, folder=tmp_path) as top:
        ranks = [int(pid) for pid in top.told()]
        for slot, pid in enumerate(ranks):
            driver.set_pid(slot, pid)
        status, output, _ = stopped(driver, tmp_path, str(ranks[0]), "--yes")
        assert (status, output.count("SIGINT")) == (0, 1)
        assert f"SIGINT to process {top.pid}," in output
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in ranks), seconds=10, what="the ranks' end")
        top.end()


LAUNCH = """
import signal, subprocess, sys
ranks = [subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE) for _ in range(2)]
def end(*_):
    for rank in ranks:
        rank.kill()
    for rank in ranks:
        rank.wait()
signal.signal(signal.SIGINT, end)
print(*(rank.pid for rank in ranks), flush=True)
sys.stdin.read()
"""
