"""`gpuwatch maintenance`: what an operator types, and what it does."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from click.testing import CliRunner
from conftest import Play
from rig import Agent, free_port
from standin.driver import StandIn
from standin.trace import steady_trace

from gpuwatch.agent.maintenance import NODE, read_drains
from gpuwatch.cli import command
from gpuwatch.cli.maintenance import uuids_of
from gpuwatch.errors import StateError, UsageError

OPERATOR = pwd.getpwuid(os.getuid()).pw_name
TAKEN_UNIX = 1_790_000_000.0


def gpuwatch(*arguments: str | Path) -> list[str]:
    """The lines that `gpuwatch maintenance` prints. Raises what it raises."""
    done = CliRunner().invoke(command, ["maintenance", *map(str, arguments)])
    if done.exception is not None:
        raise done.exception
    return done.output.splitlines()


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory, on a node where no agent listens."""
    monkeypatch.setenv("GPUWATCH_LISTEN", f"127.0.0.1:{free_port()}")
    monkeypatch.setenv("GPUWATCH_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("SUDO_USER", raising=False)
    return tmp_path / "state"


def test_the_node_is_taken_out_and_brought_back(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    since = datetime.fromtimestamp(TAKEN_UNIX).astimezone().isoformat(" ", "minutes")
    monkeypatch.setattr("time.time", lambda: TAKEN_UNIX)
    assert gpuwatch() == ["nothing is out of service"]
    assert not state.exists()
    title, line = gpuwatch("on", "--reason", "new\nfans")
    assert re.split("  +", title) == ["OUT OF SERVICE", "SINCE", "BY", "REASON"]
    assert re.split("  +", line) == ["the node", since, OPERATOR, "newfans"]
    monkeypatch.setattr("time.time", lambda: TAKEN_UNIX + 9999)
    _, line = shown = gpuwatch("on", "--reason", "disk")
    assert re.split("  +", line) == ["the node", since, OPERATOR, "disk"]
    assert gpuwatch("on") == gpuwatch() == shown
    assert gpuwatch("off") == ["nothing is out of service"]
    assert gpuwatch("off") == ["the node is not out of service", "nothing is out of service"]


def test_any_place_of_the_state_directory_counts(state: Path, tmp_path: Path) -> None:
    gpuwatch("--state-dir", tmp_path / "a", "on")
    gpuwatch("on", "--state-dir", tmp_path / "b")
    assert [path.name for path in sorted(tmp_path.glob("?"))] == ["a", "b"]
    assert gpuwatch("--state-dir", tmp_path / "a") == gpuwatch("--state-dir", tmp_path / "a", "on")
    assert gpuwatch("off", "--state-dir", tmp_path / "b") == ["nothing is out of service"]


@pytest.mark.parametrize("there", [True, False])
def test_the_nodes_own_agent_comes_first(state: Path, monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    """Somebody who is not root would else change a directory that no agent looks at."""
    monkeypatch.delenv("GPUWATCH_STATE_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", str(state / "own"))
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("gpuwatch.state.file.SYSTEM_DIRECTORY", state / "system")
    if there:
        (state / "system").mkdir(parents=True)
    gpuwatch("on")
    assert [path.name for path in state.iterdir()] == ["system" if there else "own"]


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_somebody_who_may_not_is_told(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service's directory is a link into one that only root may enter."""
    monkeypatch.delenv("GPUWATCH_STATE_DIR")
    with TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        (Path(name) / "private/gpuwatch").mkdir(parents=True)
        (Path(name) / "private").chmod(0o700)
        (Path(name) / "gpuwatch").symlink_to("private/gpuwatch")
        monkeypatch.setattr("gpuwatch.state.file.SYSTEM_DIRECTORY", Path(name) / "gpuwatch")
        os.seteuid(65534)
        try:
            with pytest.raises(StateError, match=r"not permitted to read .*: try with sudo"):
                gpuwatch()
            with pytest.raises(StateError, match=r"not permitted to write .*: try with sudo"):
                gpuwatch("on")
        finally:
            os.seteuid(0)


def test_under_sudo_it_is_the_caller(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "ann\x1b")
    gpuwatch("on")
    assert read_drains(state)[NODE].by == ("ann" if os.geteuid() == 0 else OPERATOR)


@pytest.fixture
def node(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    """An agent on two GPUs."""
    with StandIn(tmp_path, steady_trace(2, 0, 600.0, 0.0)) as driver, Agent(tmp_path, driver.environment()) as agent:
        monkeypatch.setenv("GPUWATCH_LISTEN", f"127.0.0.1:{agent.port}")
        yield agent


def test_gpus_are_called_by_number_or_uuid(state: Path, node: Agent) -> None:
    first, second = (gpu["uuid"] for gpu in node.status()["gpus"])
    gpuwatch("on", "--gpu", "1", "--gpu", first, "--gpu", second)
    assert read_drains(state).keys() == {first, second}
    assert [line.partition("  ")[0] for line in gpuwatch()] == ["OUT OF SERVICE", f"GPU 0, {first}", f"GPU 1, {second}"]
    with pytest.raises(UsageError, match=rf"--gpu '7' is no GPU of this node; there is: 0 \({first}\), 1 \({second}\)"):
        gpuwatch("on", "--gpu", "7")
    assert len(gpuwatch("off", "--gpu", "0")) == 2
    assert gpuwatch("off", "--gpu", "0")[0] == f"GPU 0, {first} is not out of service"
    assert len(gpuwatch("on")) == 3
    assert gpuwatch("off", "--gpu", "0")[0] == f"GPU 0, {first} is not out of service by itself"
    node.kill()
    gpuwatch("off", "--gpu", second)
    assert read_drains(state).keys() == {NODE}


def test_gpus_are_found_without_an_agent(state: Path, play: Play) -> None:
    play(steady_trace(2, 0, 600.0, 0.0))
    assert gpuwatch("on", "--gpu", "1")[1].startswith("GPU 1, GPU-")


def test_where_there_is_no_gpu_it_is_told_why() -> None:
    document = {"gpus": [], "sensors": {"gpu": {"problem": "no NVIDIA driver is installed here"}}}
    with pytest.raises(
        UsageError, match="--gpu '0' is no GPU of this node; there is: no NVIDIA driver is installed here"
    ):
        uuids_of(["0"], document)


def test_a_number_stands_for_all_instances() -> None:
    document = {
        "gpus": [{"gpu": "3:0", "uuid": "MIG-a"}, {"gpu": "3:1", "uuid": "MIG-b"}, {"gpu": "33", "uuid": "GPU-c"}]
    }
    assert uuids_of(["3"], document) == ["MIG-a", "MIG-b"]
    assert uuids_of(["3:1"], document) == uuids_of(["MIG-b"], document) == ["MIG-b"]
