"""What systemd is told: over a real socket, by the notifier on a driven clock and by an agent that fails."""

from __future__ import annotations

import secrets
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from examples import reading, snapshot
from hypothesis import given
from hypothesis import strategies as st
from manager import Manager, freeze
from rig import Agent, wait_until
from standin.driver import StandIn
from standin.trace import steady_trace

from gpuwatch.agent.notify import Notifier, notifier_of, summary
from gpuwatch.model import SensorState

HERE = "http://127.0.0.1:9469/"
PID = 4711
SNAPSHOT = replace(snapshot(), devices=snapshot().devices[:2])
STATUS = f"STATUS=2 GPUs, 1 held, 1 not answering; state saved; {HERE}"


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    address = f"@gpuwatch-{secrets.token_hex(8)}" if request.param == "abstract" else str(tmp_path / "notify")
    with closing(Manager(address)) as manager:
        yield manager


@contextmanager
def notifier(manager: Manager, watchdog_seconds: float | None = None) -> Iterator[Notifier]:
    """A notifier as the environment asks for it."""
    environment = {"NOTIFY_SOCKET": manager.address}
    if watchdog_seconds is not None:
        environment |= {"WATCHDOG_USEC": str(round(watchdog_seconds * 1e6)), "WATCHDOG_PID": str(PID)}
    with closing(notifier_of(environment, pid=PID)) as notifier:
        yield notifier


# The notifier, on a driven clock


def test_readiness_comes_with_the_first_cycle_that_is_served(manager: Manager) -> None:
    with notifier(manager) as notify:
        notify.cycled(SNAPSHOT, served="", boottime=100.0)
        assert manager.told() == []
        notify.cycled(SNAPSHOT, served=HERE, boottime=101.0)
        assert manager.told() == ["READY=1", STATUS]


def test_the_status_is_told_only_when_it_changes(manager: Manager) -> None:
    with notifier(manager) as notify:
        for second in range(20):
            notify.cycled(SNAPSHOT, served=HERE, boottime=100.0 + second)
        manager.told()
        assert manager.told() == []
        refused = replace(SNAPSHOT, persisted=False)
        notify.cycled(refused, served=HERE, boottime=130.0)
        assert manager.told() == [STATUS.replace("saved", "NOT saved")]
        notify.cycled(SNAPSHOT, served=HERE, boottime=131.0)
        assert manager.told() == []  # too soon, and not forgotten
        notify.cycled(SNAPSHOT, served=HERE, boottime=135.0)
        assert manager.told() == [STATUS]


@pytest.mark.parametrize(("watchdog", "period"), [(60.0, 5.0), (8.0, 2.0), (0.5, 1.0)])
def test_the_watchdog_is_fed_by_cycles_and_no_more_often_than_it_needs(
    manager: Manager, watchdog: float, period: float
) -> None:
    with notifier(manager, watchdog) as notify:
        fed = []
        for second in range(20):
            notify.cycled(SNAPSHOT, served=HERE, boottime=100.0 + second)
            fed += [float(second)] * ("WATCHDOG=1" in manager.told())
        assert fed == [step * period for step in range(int(20 / period))]


@given(watchdog=st.floats(1.0, 1e5), cycles=st.lists(st.floats(0.1, 5.0), min_size=1, max_size=200))
def test_no_watchdog_bites_while_cycles_end(watchdog: float, cycles: list[float]) -> None:
    """Between two datagrams lies at most a quarter of its time and one cycle, and never under that or 5 s."""
    period = min(5.0, watchdog / 4)
    with closing(Manager(f"@gpuwatch-{secrets.token_hex(8)}")) as manager, notifier(manager, watchdog) as notify:
        now = fed = 1000.0
        notify.cycled(SNAPSHOT, served=HERE, boottime=now)
        manager.forget()
        for seconds in cycles:
            now += seconds
            notify.cycled(SNAPSHOT, served=HERE, boottime=now)
            if manager.told():
                assert period - 0.001 <= now - fed <= period + seconds + 0.001
                fed = now
            assert now - fed < period + 0.001


def test_a_watchdog_of_another_process_is_not_fed(manager: Manager) -> None:
    environment = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}
    with closing(notifier_of(environment, pid=PID)) as notify:
        notify.cycled(SNAPSHOT, served=HERE, boottime=100.0)
    assert manager.told() == ["READY=1", STATUS]


def test_nothing_is_sent_where_nobody_listens() -> None:
    for environment in ({}, {"WATCHDOG_USEC": "1"}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}):
        notify = notifier_of(environment, pid=PID)
        notify.cycled(SNAPSHOT, served=HERE, boottime=100.0)
        notify.stopping()
        assert notify._socket is None


def test_what_was_not_taken_is_said_again(tmp_path: Path) -> None:
    """The socket is missing, there, full, and there again; the agent never notices."""
    address = str(tmp_path / "notify")
    with closing(notifier_of({"NOTIFY_SOCKET": address}, pid=PID)) as notify:
        notify.cycled(SNAPSHOT, served=HERE, boottime=100.0)
        with closing(Manager(address)) as manager:
            notify.cycled(SNAPSHOT, served=HERE, boottime=101.0)
            assert manager.told() == ["READY=1", STATUS]
            for cycle in range(2000):  # more than any queue takes
                notify.cycled(replace(SNAPSHOT, persisted=cycle % 2 == 1), served=HERE, boottime=200.0 + 10 * cycle)
            manager.forget()
            notify.cycled(replace(SNAPSHOT, devices=()), served=HERE, boottime=99_999.0)
            assert manager.told() == [f"STATUS=no GPUs; state saved; {HERE}"]


@pytest.mark.parametrize("address", ["/", "/nowhere/at/all", "/" + "x" * 4000, "@" + "x" * 4000])
def test_an_address_that_is_none_disturbs_nobody(address: str) -> None:
    notify = notifier_of({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "many"}, pid=PID)
    notify.cycled(SNAPSHOT, served=HERE, boottime=100.0)
    notify.stopping()
    notify.close()


def test_the_status_is_a_line_that_a_person_reads() -> None:
    assert summary(SNAPSHOT) == "2 GPUs, 1 held, 1 not answering; state saved"
    here, lost = SNAPSHOT.devices
    both = (here, replace(lost, reading=reading(lost.info), strangers=3))
    assert summary(replace(SNAPSHOT, devices=both)) == "2 GPUs, 2 held; state saved"
    problem = {"gpu": SensorState(False, 0.0, 0.0, "no driver\nREADY=1" + "!" * 9999)}
    status = summary(replace(SNAPSHOT, devices=(), sensors=problem))
    assert status.startswith("no driver READY=1!!")
    assert "\n" not in status
    assert len(status) < 250


# An agent, as systemd would run it


@contextmanager
def watched(folder: Path, *, watchdog_seconds: float = 0.4, nodelete: bool = False) -> Iterator[tuple[Agent, StandIn]]:
    """An agent on a stand-in driver, launched and not waited for, with the environment of a unit's main process."""
    with StandIn(folder, steady_trace(2, 1, 600.0, 0.8), nodelete=nodelete) as driver:
        driver.start()
        notify = {"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": str(round(watchdog_seconds * 1e6))}
        agent = Agent(folder, {**driver.environment(), **notify}, interval=0.1)
        try:
            yield agent, driver
        finally:
            agent.kill()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Manager]:
    with closing(Manager(str(tmp_path / "notify"))) as manager:
        yield manager


def feeds(manager: Manager, count: int = 5) -> None:
    """The watchdog is fed some times more."""
    manager.forget()
    for _ in range(count):
        manager.wait_for("WATCHDOG=1")


def test_an_agent_is_ready_once_it_serves_a_reading_and_says_when_it_stops(tmp_path: Path, systemd: Manager) -> None:
    with watched(tmp_path) as (agent, driver):
        for gpu in range(2):
            driver.hang(gpu, 60.0)  # so the first cycle takes a while
        agent.launch()
        told = systemd.told(seconds=20)
        assert told == ["READY=1", "WATCHDOG=1", told[2]]
        assert agent.get("/healthz").startswith(b"ok")  # this page does not wait for the first reading
        assert told[2].endswith(f"; state saved; http://127.0.0.1:{agent.port}/")
        feeds(systemd)
        assert agent.kill(signal.SIGTERM) == 0
        assert "STOPPING=1" in systemd.wait_for("STOPPING=1")


def test_a_gpu_that_hangs_costs_no_feeding(tmp_path: Path, systemd: Manager) -> None:
    with watched(tmp_path) as (agent, driver):
        agent.start()
        driver.hang(0, 60.0)
        wait_until(lambda: any(gpu["problem"] for gpu in agent.status()["gpus"]), seconds=20, what="a GPU that hangs")
        feeds(systemd)


def test_when_sampling_stands_still_the_watchdog_goes_hungry(tmp_path: Path, systemd: Manager) -> None:
    """All threads but the one that serves are stopped, as by a disk that never answers."""
    with watched(tmp_path) as (agent, _):
        agent.start()
        feeds(systemd)
        thaw = freeze(agent.pid)
        try:
            systemd.forget()
            assert systemd.told(seconds=2.0) == []
        finally:
            thaw()
        feeds(systemd)


def test_a_fresh_process_is_the_same_service(tmp_path: Path, systemd: Manager) -> None:
    with watched(tmp_path, nodelete=True) as (agent, driver):
        agent.launch()
        systemd.wait_for("READY=1")
        driver.upgrade()  # and the old library cannot be unloaded
        lines = systemd.wait_for("READY=1")
        assert "STOPPING=1" not in lines
        assert "afresh" in agent.log.read_text(encoding="utf-8")
        feeds(systemd)
