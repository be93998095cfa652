"""`gpuwatch free`: which GPUs somebody gets, and that nobody gets one that is not known to be free."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from node import node
from rig import free_port, idle_processes, wait_until
from slurm import GPUS, slurm
from slurm import NODE as SLURM_NODE
from standin.driver import StandIn
from standin.trace import steady_trace
from terminals import GIB, crowd, stub_agent

from gpuwatch.agent.maintenance import NODE, change
from gpuwatch.cli import command
from gpuwatch.cli.free import find, parse_size
from gpuwatch.cli.look import Look
from gpuwatch.errors import GpuwatchError, UsageError
from gpuwatch.export.status import status_document
from gpuwatch.model import Drain
from gpuwatch.model.live import FREE, STATES, Device, Node
from gpuwatch.terminal.choice import Wish, choose
from gpuwatch.terminal.document import parse_node
from gpuwatch.terminal.page import Scene


def device(gpu: str, state: str = FREE, *, used: float = 0.0, total: float = 80.0) -> Device:
    uuid = f"MIG-{gpu}" if ":" in gpu else f"GPU-{gpu}"
    capacity = total / 80 if ":" in gpu else 1.0
    return Device(gpu, uuid, "H100", state, "", capacity, memory_used_bytes=used * GIB, memory_total_bytes=total * GIB)


def names(devices: Sequence[Device]) -> list[str]:
    return [device.gpu for device in devices]


THERE = (
    device("0", "held"), device("1"), device("2:1", total=10), device("2:3", total=40), device("3", used=70),
    device("4", "unknown"), device("5", "unavailable"), device("10"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("wish", "found"),
    [
        (Wish(), ["1", "3", "10", "2:3", "2:1"]),
        (Wish(1), ["1"]),
        (Wish(3), ["1", "3", "10"]),
        (Wish(4), []),
        (Wish(2, 40 * GIB), ["1", "10"]),
        (Wish(None, 20 * GIB), ["1", "10", "2:3"]),
        (Wish(1, 81 * GIB), []),
    ],
)
def test_whole_gpus_come_first_and_instances_go_alone(wish: Wish, found: list[str]) -> None:
    assert names(choose(THERE, wish)) == found


@given(
    st.lists(st.builds(device, st.from_regex(r"[0-9](:[0-9])?", fullmatch=True), st.sampled_from(STATES)), max_size=9),
    st.none() | st.integers(1, 4),
)
def test_only_what_is_free_is_ever_chosen(devices: list[Device], count: int | None) -> None:
    found = choose(devices, Wish(count))
    assert all(one.state == FREE for one in found)
    assert count is None or len(found) in (0, count)
    assert len(found) < 2 or count is None or not any(one.is_instance for one in found)


def test_a_driver_that_tells_no_memory_has_none_to_promise() -> None:
    untold = THERE[1]._replace(memory_used_bytes=None)
    assert choose([untold], Wish()) == [untold]
    assert choose([untold], Wish(None, GIB)) == []


@pytest.mark.parametrize(
    ("text", "size"), [("500M", 500 * 2**20), ("40G", 40 * GIB), ("1.5 GiB", 1.5 * GIB), ("1T", 2**40)]
)
def test_sizes(text: str, size: float) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["40", "G", "-1G", "40 K", "\u0664G", "1e3G"])
def test_a_wrong_size_is_told_what_is_right(text: str) -> None:
    with pytest.raises(UsageError, match="like 40G"):
        parse_size(text)


class Clock:
    """Time that passes by sleeping alone."""

    def __init__(self) -> None:
        self.now = 0.0

    def read(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


def reader(*answers: Device | Exception, doubt: str = "") -> Callable[[], tuple[Scene, str]]:
    """What gives these one after the other, and then the last one for good."""
    left: Iterator[Device | Exception] = iter(answers)
    last: list[Device | Exception] = []

    def read() -> tuple[Scene, str]:
        last[:] = [next(left, last[0] if last else answers[0])]
        if isinstance(last[0], Exception):
            raise last[0]
        return Scene((Node("n7", 0.0, (last[0],)),)), doubt

    return read


def test_who_waits_gets_the_first_that_is_free() -> None:
    clock = Clock()
    read = reader(device("0", "held"), GpuwatchError("the agent restarts"), device("0", "held"), device("0"))
    found, _ = find(read, Wish(1), wait_seconds=3600, clock=clock.read, sleep=clock.sleep)
    assert (names(found), clock.now) == (["0"], 6.0)


def test_nobody_waits_for_longer_than_they_said() -> None:
    clock = Clock()
    found, why = find(reader(device("0", "held")), Wish(1), wait_seconds=61, clock=clock.read, sleep=clock.sleep)
    assert (found, why, clock.now) == ([], "no GPU is free", 61)


def test_an_error_is_told_to_who_does_not_wait() -> None:
    with pytest.raises(GpuwatchError, match="asks for a password"):
        find(reader(GpuwatchError("it asks for a password")), Wish())


def test_what_is_not_known_is_not_free() -> None:
    found, why = find(reader(device("0"), doubt="Slurm does not answer"), Wish())
    assert (found, why) == ([], "it is not known which GPUs are free: Slurm does not answer")


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        (Wish(2), "2 GPUs wanted, and 1 free"),
        (Wish(1, 100 * GIB), "no GPU with 100 GiB is free"),
    ],
)
def test_why_there_are_too_few_is_told(wish: Wish, why: str) -> None:
    assert find(reader(device("0")), wish) == ([], why)


def test_instances_are_told_of_where_they_do_not_add_up() -> None:
    _, why = find(lambda: (Scene((Node("n7", 0.0, THERE),)), ""), Wish(4))
    assert why == "4 GPUs wanted, and 3 free, beside 2 MIG instances: a program can use one of these alone"


def test_a_stale_document_has_nothing_free() -> None:
    document = status_document(crowd())
    assert names(choose(parse_node(document, now_unix=document["taken_unix"] + 1).devices, Wish())) == ["5"]
    assert choose(parse_node(document, now_unix=document["taken_unix"] + 3600).devices, Wish()) == []


def run_free(at: str, *arguments: str) -> Result:
    return CliRunner().invoke(command, ["free", "--listen", at, *arguments])


def test_the_command_prints_what_cuda_takes() -> None:
    with stub_agent() as stub:
        assert run_free(stub.at).stdout == "GPU-5000\n"
        assert run_free(stub.at, "-n", "1", "--min-memory", "40G").stdout == "GPU-5000\n"
        (row,) = json.loads(run_free(stub.at, "--json").stdout)
        assert row == {
            "gpu": "5", "uuid": "GPU-5000", "model": "NVIDIA H100 80GB HBM3", "capacity": 1.0,
            "memory_free_bytes": 80 * GIB,
        }  # fmt: skip
        few = run_free(stub.at, "-n", "2")
        assert (few.exit_code, few.stdout, few.stderr) == (1, "", "gpuwatch: 2 GPUs wanted, and 1 free\n")
        assert json.loads(run_free(stub.at, "-n", "2", "--json").stdout) == []
        stub.snapshot = replace(
            stub.snapshot, sensors={"slurm": replace(stub.snapshot.sensors["host"], problem="late")}
        )
        assert run_free(stub.at).stderr == "gpuwatch: it is not known which GPUs are free: late\n"


def test_what_others_wrote_moves_no_cursor() -> None:
    evil = "\x1b]0;owned\x07"
    with stub_agent() as stub:
        problem = replace(stub.snapshot.sensors["host"], problem=evil)
        devices = [replace(one, info=replace(one.info, uuid=evil)) for one in stub.snapshot.devices]
        stub.snapshot = replace(stub.snapshot, devices=tuple(devices), holding={})
        assert run_free(stub.at).stdout.replace("\n", "").isprintable()
        stub.snapshot = replace(stub.snapshot, sensors={"slurm": problem})
        assert run_free(stub.at).stderr.strip().isprintable()


def test_a_simulated_gpu_is_for_nobody() -> None:
    with stub_agent() as stub:
        stub.snapshot = replace(stub.snapshot, simulated=True)
        result = run_free(stub.at)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "the agent is a simulation" in result.stderr


def test_whose_a_mig_instance_is_slurm_does_not_tell() -> None:
    with stub_agent() as stub:
        crowded, fine = stub.snapshot, replace(stub.snapshot.sensors["host"], problem="")
        instances = [
            replace(device, info=replace(device.info, mig=1)) if device.info.index == 4 else device
            for device in crowded.devices
        ]
        stub.snapshot = replace(crowded, devices=tuple(instances), sensors={"host": fine})
        assert run_free(stub.at).stdout == "GPU-5000\n"
        stub.snapshot = replace(stub.snapshot, sensors={"host": fine, "slurm": fine})
        result = run_free(stub.at)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "does not say who has which MIG instance" in result.stderr
        stub.snapshot = replace(crowded, sensors={"host": fine, "slurm": fine})
        assert run_free(stub.at).stdout == "GPU-5000\n"


def test_a_wrong_wait_is_told_what_is_right() -> None:
    result = CliRunner().invoke(command, ["free", "--wait", "soon"])
    assert "--wait soon: a length of time" in str(result.exception)


def test_a_real_agent_knows_what_is_free(tmp_path: Path) -> None:
    with node(tmp_path, 3) as here, idle_processes(1) as (pid,):
        at = f"127.0.0.1:{here.agent.port}"
        uuids = [gpu["uuid"] for gpu in here.agent.status()["gpus"]]
        here.put(1, pid)
        here.wait_for(1, seconds=20)
        assert run_free(at).stdout == f"{uuids[0]},{uuids[2]}\n"
        change(here.agent.state, lambda _: {uuids[0]: Drain(1.0, "new fan", "root")})
        assert run_free(at, "-n", "1", "--wait", "1m").stdout in (f"{uuids[0]}\n", f"{uuids[2]}\n")


def test_a_look_knows_what_is_out_of_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look = Look()
    assert look.doubt() == ""
    monkeypatch.setenv("GPUWATCH_STATE_DIR", str(tmp_path))
    change(tmp_path, lambda _: {NODE: Drain(1.0, "new fan", "root")})
    (tmp_path / "maintenance.json").write_text("[")
    assert not math.isnan(look.read()["taken_unix"])
    assert "maintenance.json is damaged" in look.doubt()
    look.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run the jobs of others")
def test_a_look_knows_what_slurm_has_given_away(tmp_path: Path) -> None:
    with slurm() as cluster, StandIn(tmp_path, steady_trace(GPUS, 1, 3600.0, 0.8)) as driver:
        driver.start()
        cluster.start("sbatch", "--gres=gpu:2", "--output=/dev/null", "--wrap", "sleep 600")
        wait_until(
            lambda: "IDX:0-1" in cluster.tell("show", "node", SLURM_NODE, "-d"), seconds=20, what="the job's GPUs"
        )
        variables = {**cluster.environment, **driver.environment(), "GPUWATCH_SLURM_NODE": SLURM_NODE}
        variables["GPUWATCH_STATE_DIR"] = str(tmp_path)
        at = f"127.0.0.1:{free_port()}"
        arguments = [sys.executable, "-m", "gpuwatch", "free", "--json", "--listen", at]
        done = subprocess.run(arguments, env=variables, capture_output=True, text=True, check=True)
        # Slurm counts by the number in /dev/nvidiaN, and the stand-in's go the other way round.
        assert [row["gpu"] for row in json.loads(done.stdout)] == ["0", "1"]
        cluster.cancel_all()
