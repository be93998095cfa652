"""`gpuwatch explain`: for real processes the run, the rule, the evidence, and what could not be read."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner
from doorway import doorway, knock, registered, say, say_as
from node import QUICK, TRAINERS, environment, program
from rig import idle_processes, wait_until
from standin.driver import StandIn
from standin.trace import steady_trace

from gpuwatch.agent.explanation import AskedRegistrations
from gpuwatch.agent.registry import Registry
from gpuwatch.attribute.resolver import RULES
from gpuwatch.cli import command
from gpuwatch.sense.process import read_lineage

RUN = "named:resnet-tosrqhnh1z"
NOBODY_LISTENS = "could not read its registration: no agent listens on this node: start one with `gpuwatch agent`"
UNPRIVILEGED = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
"""Root without a capability: another user, who can yet read this checkout."""


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def at(registry: Registry, tmp_path: Path) -> Iterator[Path]:
    with doorway(registry, tmp_path / "agent.sock"):
        yield tmp_path / "agent.sock"


def explained(
    pid: int, folder: Path, *wrapper: str, driver: StandIn | None = None, socket: Path | None = None
) -> tuple[int, list[str], str]:
    """How it ended, the lines that it printed, and what it said was wrong."""
    variables = {"GPUWATCH_SOCKET": str(socket or folder / "nowhere"), "GPUWATCH_NODE": "n7"}
    variables |= driver.environment() if driver is not None else {}
    done = subprocess.run(
        [*wrapper, sys.executable, "-m", "gpuwatch", "explain", str(pid)], env=environment(folder) | variables,
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout.splitlines(), done.stderr


def said(lines: Sequence[str], rule: str) -> str:
    """The line of a rule; empty where it had nothing to say."""
    (silent,) = (line for line in lines if line.startswith("nothing to say had: "))
    found = [" ".join(line.split()) for line in lines if line.startswith(f"  {rule} ")]
    assert bool(found) != (rule in silent.partition(": ")[2].split(", "))
    return "".join(found)


def value(lines: Sequence[str], label: str) -> str:
    """What stands beside a label; empty where it is not there."""
    return next((line[9:] for line in lines if line[:9].strip() == label), "")


def test_a_process_of_a_shell_is_what_was_launched(tmp_path: Path) -> None:
    with idle_processes(1) as (pid,):
        status, lines, errors = explained(pid, tmp_path)
    assert (status, errors) == (0, "")
    assert lines[0] == f"process  {pid}, sleep"
    assert value(lines, "run").startswith("adhoc:sleep-")
    assert value(lines, "user") == pwd.getpwuid(os.geteuid()).pw_name
    assert said(lines, "adhoc") == f"adhoc weak {value(lines, 'run')} (launched as process {pid})"
    assert lines[-1] == NOBODY_LISTENS
    for rule in RULES[:3]:
        assert said(lines, rule.__name__.removesuffix("_rule")) == ""


def test_a_rank_has_the_run_that_another_of_its_launch_began(tmp_path: Path) -> None:
    """That one is known by the file that it writes; for the others it is looked for among what is on the GPUs."""
    launch = (sys.executable, str(TRAINERS / "launch.py"), "2")
    with StandIn(tmp_path, steady_trace(2, 1, 600.0, 0.8)) as driver, program(*launch, folder=tmp_path, **QUICK) as of:
        (_, first, run), (_, second, _) = sorted(of.told() for _ in range(2))
        for slot, pid in enumerate((first, second)):
            driver.set_pid(slot, int(pid))
        driver.start()
        log = next((tmp_path / "wandb").glob(f"*-{run}/logs/debug.log"))
        wait_until(lambda: (log.parents[1] / f"run-{run}.wandb").stat().st_size > 100, seconds=5, what="a run file")
        began, other = (explained(int(pid), tmp_path, driver=driver)[1] for pid in (first, second))
    for lines in (began, other):
        assert (value(lines, "run"), value(lines, "project"), value(lines, "name")) == (
            f"wandb:{run}", "distributed", "four-ranks",
        )  # fmt: skip
    assert said(began, "wandb") == f"wandb certain wandb:{run} ({log})"
    assert said(other, "wandb") == f"wandb likely wandb:{run} (the one run of its launch, begun by process {first})"
    assert said(other, "adhoc")


def test_what_a_process_told_the_agent_is_asked_of_it(registry: Registry, at: Path, tmp_path: Path) -> None:
    """Of its ancestors too: the process here is a child of the one that registered."""
    say(at, {"run": RUN, "name": "resnet", "project": "vision"})
    with program("cat", folder=tmp_path) as child:
        status, lines, _ = explained(child.pid, tmp_path, socket=at)
    assert status == 0
    assert (value(lines, "run"), value(lines, "project"), value(lines, "name")) == (RUN, "vision", "resnet")
    assert said(lines, "registered") == f"registered certain {RUN} (it or an ancestor told the agent)"
    assert not any("could not read" in line for line in lines)


def test_a_user_may_ask_what_their_own_process_said(registry: Registry, at: Path) -> None:
    """What nobody said is null, and to ask changes nothing."""
    assert say(at, {"ask": True}) == {"ok": True, "registered": None}
    say(at, {"run": RUN, "name": "resnet"})
    asked = say(at, {"ask": True})
    assert (asked["registered"]["run"], asked["registered"]["name"]) == (RUN, "resnet")
    if os.geteuid() == 0:
        refused = say_as(12345, at, {"ask": True, "pid": os.getpid()})
        assert refused["error"] == "a user speaks for their own processes only"
    assert registered(registry).keys() == {os.getpid()}
    assert "ask must be true or false" in say(at, {"ask": 1})["error"]
    with knock(at) as connection:
        connection.send(b'{"ask": true, "pid": 4194303}')
        assert b"no such process" in connection.recv(4096)


def test_the_agent_is_not_asked_about_others_which_it_would_not_tell(registry: Registry, at: Path) -> None:
    """It would refuse, as of this process's own ancestors here, and of a person's own it was never asked then."""
    say(at, {"run": RUN})
    with idle_processes(1) as (pid,):
        lineage, own = read_lineage(pid), read_lineage(os.getpid())
        assert lineage is not None
        assert own is not None
        others = AskedRegistrations([at], uid=os.geteuid() + 1)
        assert (others.of(lineage), others.of(own), others.problem) == (None, None, "")
        asked = AskedRegistrations([at], uid=os.geteuid())
        said = asked.of(own)
        assert said is not None
        assert (said.run, asked.problem) == (RUN, "")


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root can take rights away")
def test_what_could_not_be_read_is_told_with_the_right_that_is_missing(tmp_path: Path) -> None:
    """Of another user's process the run is told as well as it can be: by its command, which all may see."""
    with idle_processes(1, uids=[12345]) as (pid,):
        status, lines, _ = explained(pid, tmp_path, *UNPRIVILEGED)
    assert status == 0
    assert (value(lines, "run").partition("-")[0], value(lines, "user")) == ("adhoc:sleep", "uid:12345")
    unread = [line for line in lines if line.startswith("could not read its ")]
    assert len(unread) == 3
    assert all("CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH" in line for line in unread[:2])


def test_a_process_that_is_not_there_is_told_in_a_line(tmp_path: Path) -> None:
    assert explained(4194303, tmp_path) == (
        2, [], "gpuwatch: there is no process 4194303 that this user can see; `gpuwatch check` says what is hidden\n",
    )  # fmt: skip


def test_what_no_pid_can_be_is_told() -> None:
    result = CliRunner().invoke(command, ["explain", "99999999999"])
    assert result.exit_code == 2
    assert "not in the range 1<=x<=4194304" in result.output
