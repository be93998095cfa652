"""How Slurm is asked about the node: a `scontrol` that misbehaves, and a real Slurm."""

from __future__ import annotations

import getpass
import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rig import wait_until
from servers import program
from slurm import NODE, Slurm, slurm

from gpuwatch.errors import SlurmUnavailable
from gpuwatch.model import Drain
from gpuwatch.sense.inquiry import PATIENCE_SECONDS, STANDS_SECONDS
from gpuwatch.sense.slurm import ASK_SECONDS, SlurmNode, find_slurm

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()
TEN = datetime(2026, 11, 20, 10, tzinfo=UTC).timestamp()
LATE = "scontrol gave no answer within 20 s"
FAN = Drain(TEN, "fan", "slurm:ann")
DRAINED = "echo ' State=IDLE+DRAIN Reason=fan [ann@2026-11-20T10:00:00]'"


class Asked:
    """A node that is asked for on a clock that the test drives: `now` counts from `epoch` on."""

    def __init__(self, node: SlurmNode, epoch: float = NOW) -> None:
        self.node = node
        self.epoch = epoch
        self.now = 0.0

    def read(self) -> Drain | str | None:
        """What is known now; what the problem is where nothing is."""
        try:
            return self.node.read(now=self.now, unix=self.epoch + self.now)
        except SlurmUnavailable as error:
            return str(error)

    def settled(self) -> Drain | str | None:
        """What is known once a question that is under way, or due, has come to its end."""
        self.read()
        wait_until(self._has_ended, seconds=20, what="an end of scontrol")
        return self.read()

    def _has_ended(self) -> bool:
        self.read()
        return not self.node.is_asking


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a `scontrol` that does what a test says."""
    script = tmp_path / "scontrol"
    script.write_text('#!/bin/sh\n. "$0.script"\n')
    script.chmod(0o755)
    return tmp_path


@pytest.fixture
def asked(folder: Path) -> Iterator[Asked]:
    node = SlurmNode([str(folder / "scontrol")], {"PATH": os.environ["PATH"]})
    yield Asked(node)
    node.close()


def says(folder: Path, script: str) -> None:
    (folder / "scontrol.script").write_text(script)


def test_a_question_is_never_waited_for(folder: Path, asked: Asked) -> None:
    says(folder, "exec sleep 3600")
    for now, known in ((0.0, None), (PATIENCE_SECONDS - 1, None), (PATIENCE_SECONDS, LATE)):
        asked.now = now
        assert asked.read() == known


def test_after_one_that_hung_the_next_is_asked(folder: Path, asked: Asked) -> None:
    says(folder, "exec sleep 3600")
    asked.read()
    asked.now = PATIENCE_SECONDS
    assert asked.settled() == LATE
    says(folder, DRAINED)
    asked.now = ASK_SECONDS - 1
    assert asked.settled() == LATE
    asked.now = ASK_SECONDS
    assert asked.settled() == FAN


def test_it_is_asked_once_a_minute(folder: Path, asked: Asked) -> None:
    says(folder, f"echo again >>{folder}/asked; {DRAINED}")
    for now in (0.0, 1.0, 59.0, 60.0, 61.0, 119.0):
        asked.now = now
        assert asked.settled() == FAN
    assert (folder / "asked").read_text() == "again\nagain\n"


def test_the_last_answer_stands_for_ten_minutes(folder: Path, asked: Asked) -> None:
    says(folder, DRAINED)
    assert asked.settled() == FAN
    says(folder, "echo no contact >&2; exit 1")
    for now, known in ((ASK_SECONDS, FAN), (STANDS_SECONDS - 1, FAN), (STANDS_SECONDS, "scontrol failed: no contact")):
        asked.now = now
        assert asked.settled() == known
    says(folder, "echo ' State=IDLE'")
    asked.now += ASK_SECONDS
    assert asked.settled() is None


def test_it_is_drained_since_it_was_first_seen_so(folder: Path, asked: Asked) -> None:
    """Where Slurm does not say it."""
    for now, state, since in (
        (0, "IDLE+DRAIN", 0),
        (60, "IDLE+DRAIN", 0),
        (120, "IDLE", None),
        (180, "IDLE+MAINT", 180),
    ):
        says(folder, f"echo ' State={state}'")
        asked.now = now
        assert asked.settled() == (None if since is None else Drain(NOW + since, "", "slurm"))


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("exit 3", "scontrol failed: it ended with status 3"),
        (
            "echo Node n8 not found; exit 1",
            "Slurm says 'Node n8 not found': name this node as Slurm does, with slurm.node",
        ),
        ("printf '\\377\\033[31m'", "scontrol shows no state of this node, but '\ufffd [31m'"),
        ("true", "scontrol shows no state of this node, but 'nothing'"),
        ("sleep 3 & exit 4", "scontrol failed: it ended with status 4"),
        ("echo retrying; echo; echo fatal: gone >&2; exit 1", "scontrol failed: fatal: gone"),
        ("kill -KILL $$", LATE),
    ],
)
def test_what_is_no_answer_is_told(folder: Path, asked: Asked, script: str, problem: str) -> None:
    says(folder, script)
    assert asked.settled() == problem


def test_slurms_tools_without_a_cluster_are_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real `scontrol` on a machine that no configuration is for."""
    program("scontrol")
    if Path("/etc/slurm/slurm.conf").exists():
        pytest.skip("this machine belongs to a cluster")
    monkeypatch.delenv("SLURM_CONF", raising=False)
    node = find_slurm(NODE)
    assert node is not None
    assert Asked(node).settled() is None


def test_a_cluster_that_has_gone_is_a_fault(folder: Path, asked: Asked) -> None:
    says(folder, DRAINED)
    assert asked.settled() == FAN
    says(folder, "echo scontrol: fatal: Could not establish a configuration source; exit 1")
    for asked.now in range(60, 700, 60):
        known = asked.settled()
    assert known == "scontrol failed: scontrol: fatal: Could not establish a configuration source"


def test_an_answer_without_end_is_cut_off(folder: Path, asked: Asked) -> None:
    says(folder, "exec yes State=IDLE+DRAIN")
    asked.read()
    asked.now = PATIENCE_SECONDS
    assert asked.settled() == LATE


def test_a_program_that_has_gone_is_a_problem(tmp_path: Path) -> None:
    asked = Asked(SlurmNode([str(tmp_path / "scontrol")], {}))
    assert "scontrol: not found" in str(asked.settled())


def test_at_the_end_nothing_is_left_running(folder: Path, asked: Asked) -> None:
    says(folder, f"echo $$ >{folder}/pid; exec sleep 3600")
    asked.read()
    wait_until(lambda: (folder / "pid").exists() and (folder / "pid").read_text() != "", seconds=20, what="its pid")
    asked.node.close()
    assert not Path(f"/proc/{(folder / 'pid').read_text().strip()}").exists()


def test_without_slurm_there_is_nothing_to_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_slurm(NODE) is None


def test_only_what_slurm_needs_is_handed_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_CONF", "/a/slurm.conf")
    monkeypatch.setenv("SOMEBODYS_TOKEN", "secret")
    says(folder, f"env >{folder}/environment; echo \"$@\" >{folder}/arguments; echo ' State=IDLE'")
    node = find_slurm(NODE)
    assert node is not None
    assert Asked(node).settled() is None
    assert (folder / "arguments").read_text() == "show node n7 -d -o\n"
    names = {line.partition("=")[0] for line in (folder / "environment").read_text().splitlines()}
    assert names - {"PWD", "OLDPWD", "SHLVL", "_"} == {"PATH", "SLURM_CONF", "TZ"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Slurm]:
    with slurm() as running:
        yield running


def ask(cluster: Slurm, monkeypatch: pytest.MonkeyPatch, node: str = NODE) -> Drain | str | None:
    """What gpuwatch knows after its first question, asked now."""
    monkeypatch.setenv("SLURM_CONF", cluster.environment["SLURM_CONF"])
    found = find_slurm(node)
    assert found is not None
    return Asked(found, epoch=time.time()).settled()


def test_a_real_node_is_drained_and_resumed(cluster: Slurm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever zone the agent is in, and however the operator writes."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert ask(cluster, monkeypatch) is None
    began = time.time()
    cluster.update_node(state="drain", reason="bad fan [x@y] State=IDLE")
    drain = ask(cluster, monkeypatch)
    assert isinstance(drain, Drain)
    assert (drain.reason, drain.by) == ("bad fan [x@y] State=IDLE", f"slurm:{getpass.getuser()}")
    assert began - 1 <= drain.since_unix <= time.time()
    cluster.update_node(state="resume")
    assert ask(cluster, monkeypatch) is None


def test_a_real_node_that_is_only_down_is_in_service(cluster: Slurm, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.update_node(state="down", reason="gone")
    assert ask(cluster, monkeypatch) is None
    cluster.update_node(state="resume")


def test_a_real_node_under_a_maintenance_reservation_is_not(cluster: Slurm, monkeypatch: pytest.MonkeyPatch) -> None:
    reservation = ("starttime=now", "duration=60", "user=root", "flags=maint,ignore_jobs", f"nodes={NODE}")
    cluster.tell("create", "reservation", "reservationname=fans", *reservation)
    wait_until(lambda: "+MAINT" in cluster.tell("show", "node", NODE), seconds=30, what="the reservation's begin")
    drain = ask(cluster, monkeypatch)
    assert isinstance(drain, Drain)
    assert (drain.reason, drain.by) == ("", "slurm")
    cluster.tell("delete", "reservationname=fans")


def test_a_node_that_a_real_slurm_does_not_know_is_told(cluster: Slurm, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(cluster, monkeypatch, node="n8") == (
        "Slurm says 'Node n8 not found': name this node as Slurm does, with slurm.node"
    )


def test_a_real_controller_that_hangs_or_is_gone_is_told(cluster: Slurm, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.hold_controller(signal.SIGSTOP)
    assert "timed out" in str(ask(cluster, monkeypatch))
    cluster.hold_controller(signal.SIGCONT)
    assert ask(cluster, monkeypatch) is None
    cluster.stop_controller()
    assert "Unable to contact slurm controller" in str(ask(cluster, monkeypatch))
