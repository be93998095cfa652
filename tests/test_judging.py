"""The judge in the agent: minutes cut out of the ledger, verdicts in what is published, restarts that change none."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from examples import SHORT, reading
from hypothesis import given, settings
from hypothesis import strategies as st
from rig import Agent, Exposition, idle_processes, wait_until
from standin.driver import StandIn
from standin.trace import Gpu, Hold, Trace

from gpuwatch.account.device import Outcome
from gpuwatch.account.ledger import LINGER_SECONDS, Ledger
from gpuwatch.agent.cycle import Cycle, Moment
from gpuwatch.agent.judging import CPU_MINUTES, Judging, Scene
from gpuwatch.agent.record import Record
from gpuwatch.agent.settings import Settings
from gpuwatch.demo.machine import simulated_machine
from gpuwatch.demo.past import play_past
from gpuwatch.judge.overrides import Overrides
from gpuwatch.model import DeviceUse, GpuInfo, Identity, Mark, OnDevice, Owner, Run, States, Use
from gpuwatch.model.judgement import Judged, Snooze, Snoozes
from gpuwatch.state import recent
from gpuwatch.state.file import FILE_NAME
from gpuwatch.state.store import Store
from gpuwatch.units import HOUR, MINUTE

T0 = 1_794_182_400 + 12 * HOUR + 10
"""Ten seconds into a minute: the readings of a minute are then of that minute."""
STEP = 20
IDLE_WATTS, BUSY_WATTS = 80.0, 600.0
BEN = Owner("ben", "nlp", "slurm:4711_3")
CAT = Owner("cat", "", "docker:server@n7")
ON_0, ON_1 = ("GPU-0", BEN), ("GPU-1", CAT)


class Node:
    """The accounting of two GPUs without the GPUs: time and use are driven, state and judgement are real."""

    def __init__(self, folder: Path, *, overrides: Sequence[Mapping[str, object]] = ()) -> None:
        self._folder = folder
        self._overrides = overrides
        self.now = float(T0)
        self.snoozes: Snoozes = {}
        self.reserved: Mapping[str, Owner] = {}
        self.started = {BEN: T0 - HOUR, CAT: T0 - HOUR}
        self.start()

    def start(self) -> None:
        """An agent begins, on what the state has."""
        self.store = Store(self._folder, unix=self.now, simulated=True)
        self.ledger = Ledger()
        self._record = Record(self.ledger, self.store)
        saved = self.store.load(unix=self.now, boot_id="b", boot_unix=0.0, run_seconds=LINGER_SECONDS)
        self._infos = {f"GPU-{n}": GpuInfo(f"GPU-{n}", n, "H100", f"0000:0{n}:00.0") for n in range(2)}
        self._record.restore(saved, boottime=self.now, unix=self.now)
        self.judging = Judging(self.ledger, Overrides(self._overrides), self.store)

    def restart(self, *, after: float = 0.0) -> None:
        """The agent is killed, and the next one begins after so many seconds."""
        self.store.close()
        self.now += after
        self.start()

    def live(
        self, uses: Mapping[OnDevice, float], *, minutes: float = 1, watts: float | None = None, cores: float = 0.0
    ) -> Judged:
        """Let these runs, and no others, hold their GPUs and use them so much; what is thought of them at the end."""
        judged = Judged()
        for _ in range(round(minutes * MINUTE / STEP)):
            self.now += STEP
            self.judging.cut(self.now)
            for uuid in self._infos:
                self.enter(uuid, {owner: use for (of, owner), use in uses.items() if of == uuid}, watts)
            for owner in {owner for _, owner in uses}:
                self.ledger.describe(
                    owner, Run(owner, Identity(1, 1), self.started[owner], "slurm", group="slurm:4711")
                )
                self.ledger.enter_cpu(owner, cores * STEP)
            judged = self.judge(uses)
        return judged

    def judge(self, holding: Mapping[OnDevice, float], *, unread: Collection[str] = ()) -> Judged:
        readings = {uuid: reading(info) for uuid, info in self._infos.items() if uuid not in unread}
        judged = self.judging.judge(Scene(holding, self.reserved, readings), self.snoozes, unix=self.now)
        self.ledger.put_away({owner for _, owner in holding}, self.now)
        self._record.save(self._infos, unix=self.now)
        self.judging.add_past(self._record.take_recalled())
        return judged

    def enter(self, uuid: str, uses: Mapping[Owner, float], watts: float | None) -> None:
        held, busy = STEP / max(1, len(uses)), sum(uses.values()) * STEP / max(1, len(uses))
        joules = STEP * (watts if watts is not None else BUSY_WATTS if busy else IDLE_WATTS)
        states = States(busy, STEP - busy) if uses else States(free=STEP)
        charges = {owner: Use(held, use * held, joules / len(uses)) for owner, use in uses.items()}
        outcome = Outcome(Mark(self.now, self.now, None), DeviceUse(busy, joules, states=states), charges)
        self.ledger.enter(uuid, outcome, unix=self.now)


@contextmanager
def nodes(count: int = 1) -> Iterator[list[Node]]:
    with TemporaryDirectory() as name:
        made = []
        for number in range(count):
            folder = Path(name) / str(number)
            folder.mkdir()
            made.append(Node(folder))
        yield made
        for node in made:
            node.store.close()


@pytest.fixture
def node() -> Iterator[Node]:
    with nodes() as (node,):
        yield node


def verdicts(judged: Judged) -> dict[OnDevice, str]:
    return {key: judgement.verdict for key, judgement in judged.judgements.items()}


def test_a_run_that_was_just_seen_is_ok_and_one_that_stops_working_becomes_idle(node: Node) -> None:
    assert verdicts(node.live({ON_0: 0.9}, minutes=1 / 3)) == {ON_0: "ok"}
    assert verdicts(node.live({ON_0: 0.9}, minutes=5)) == {ON_0: "ok"}
    assert verdicts(node.live({ON_0: 0.0}, minutes=14)) == {ON_0: "ok"}
    judged = node.live({ON_0: 0.0}, minutes=3)
    assert verdicts(judged) == {ON_0: "idle"}
    assert judged.judgements[ON_0].idle_seconds == pytest.approx(16 * MINUTE, abs=MINUTE)


def test_it_is_judged_once_a_minute_and_not_in_between(node: Node) -> None:
    first = node.live({ON_0: 0.5}, minutes=2)
    same = node.live({ON_0: 0.5}, minutes=1 / 3)
    assert same is first or node.live({ON_0: 0.5}, minutes=1 / 3) is same


def test_what_is_no_single_run_is_not_judged(node: Node) -> None:
    node.ledger.enter("GPU-0", Outcome(Mark(0, 0, None), DeviceUse(), {SHORT: Use(1.0)}), unix=node.now)
    node.judging.cut(node.now)
    assert node.judge({("GPU-0", SHORT): 0.0}).judgements == {}


def test_a_snooze_is_seen_at_once_and_not_at_the_next_minute(node: Node) -> None:
    node.live({ON_0: 0.0}, minutes=40 + 1 / 3)
    node.snoozes = {(BEN.user, BEN.run): Snooze(BEN.run, node.now + HOUR, "labels", "ben")}
    assert verdicts(node.judge({ON_0: 0.0})) == {ON_0: "snoozed"}
    node.snoozes = {}
    assert verdicts(node.judge({ON_0: 0.0})) == {ON_0: "idle"}


def test_a_gpu_that_a_job_has_and_does_not_use_is_reserved(node: Node) -> None:
    node.reserved = {"GPU-0": BEN}
    assert verdicts(node.live({ON_0: 0.0, ON_1: 0.0}, minutes=40)) == {ON_0: "reserved", ON_1: "idle"}


def test_a_gpu_that_does_not_answer_changes_no_verdict(node: Node) -> None:
    node.live({ON_0: 0.0, ON_1: 0.0}, minutes=40)
    for _ in range(6):
        node.now += STEP
        node.judging.cut(node.now)
        judged = node.judge({}, unread=["GPU-0"])
    assert verdicts(judged) == {ON_0: "idle"}


def test_the_operators_word_on_some_runs_is_handed_on() -> None:
    rows: list[Mapping[str, object]] = [
        {"user": "ben", "idle_after": "5m", "push_after": "2h"},
        {"user": "cat", "quiet": True},
    ]
    with TemporaryDirectory() as name:
        node = Node(Path(name), overrides=rows)
        judged = node.live({ON_0: 0.0, ON_1: 0.0}, minutes=8)
        node.store.close()
    assert verdicts(judged) == {ON_0: "idle", ON_1: "ok"}
    assert (judged.push_after, judged.quiet) == ({BEN: 2 * HOUR}, {CAT})


def test_busy_cpus_buy_time_over_a_restart_too(node: Node) -> None:
    node.live({ON_0: 0.0}, minutes=20, cores=2.0)
    node.restart()
    judged = node.live({ON_0: 0.0}, minutes=1, cores=2.0)
    assert verdicts(judged) == {ON_0: "ok"}
    assert judged.cpu_cores[BEN] == pytest.approx(2.0, rel=1 / CPU_MINUTES)
    assert verdicts(node.live({ON_0: 0.0}, minutes=6, cores=0.0)) == {ON_0: "idle"}


# Restarts

STEPS = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from([ON_0, ON_1, ("GPU-1", BEN)]), st.sampled_from([0.0, 0.04, 0.06, 1.0])),
        st.sampled_from([IDLE_WATTS, BUSY_WATTS]),
        st.integers(1, 25),
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=25, deadline=None)
@given(STEPS, st.sets(st.integers(0, 125), max_size=3))
def test_restarts_change_no_verdict(story: list[tuple[dict[OnDevice, float], float, int]], restarts: set[int]) -> None:
    steps = [(uses, watts) for uses, watts, minutes in story for _ in range(minutes)]
    with nodes(2) as (steady, restarted):
        for minute, (uses, watts) in enumerate(steps):
            judged = steady.live(uses, watts=watts)
            if minute in restarts:
                restarted.live(uses, watts=watts, minutes=1 / 3)
                restarted.restart()
                again = restarted.live(uses, watts=watts, minutes=2 / 3)
            else:
                again = restarted.live(uses, watts=watts)
            assert rounded(again) == rounded(judged)


def rounded(judged: Judged) -> dict[OnDevice, tuple[str, int, int]]:
    return {
        key: (judgement.verdict, round(judgement.idle_seconds), round(judgement.wasted_seconds))
        for key, judgement in judged.judgements.items()
    }


def test_a_run_that_is_stuck_is_so_after_a_restart_by_the_idle_power_that_was_learnt(node: Node) -> None:
    node.live({}, watts=200.0, minutes=5)
    node.live({ON_0: 0.9}, watts=600.0, minutes=150)
    before = node.live({ON_0: 1.0}, watts=220.0, minutes=12)
    node.restart()
    after = node.live({ON_0: 1.0}, watts=220.0, minutes=1 / 3)
    assert verdicts(after) == verdicts(before) == {ON_0: "stuck"}
    assert verdicts(node.live({ON_0: 1.0}, watts=220.0, minutes=5)) == {ON_0: "stuck"}


def test_idleness_of_many_hours_goes_on(node: Node) -> None:
    node.live({ON_0: 0.9, ON_1: 0.9}, minutes=2)
    node.live({ON_0: 0.0, ON_1: 0.9}, minutes=200)
    before = node.live({ON_0: 0.0, ON_1: 0.0}, minutes=150)
    node.restart()
    after = node.live({ON_0: 0.0, ON_1: 0.0}, minutes=1 / 3)
    assert rounded(after) == rounded(before)
    assert after.judgements[ON_0].idle_seconds > 5 * HOUR
    assert after.judgements[ON_0].since_unix == pytest.approx(before.judgements[ON_0].since_unix)


def test_what_has_been_moved_into_hours_still_counts(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.live({ON_0: 0.9}, minutes=130)
    node.live({ON_0: 0.0}, minutes=300)
    monkeypatch.setattr("gpuwatch.state.bins.MINUTES_KEPT_SECONDS", 2.5 * HOUR)
    node.restart()
    after = node.live({ON_0: 0.0}, minutes=2)
    node.restart()
    assert node.live({ON_0: 0.0}).judgements[ON_0].idle_seconds >= 4 * HOUR
    assert verdicts(after) == {ON_0: "idle"}


def test_while_no_agent_is_there_the_clock_stands_still(node: Node) -> None:
    before = node.live({ON_0: 0.0}, minutes=60).judgements[ON_0]
    node.restart(after=3 * HOUR)
    after = node.live({ON_0: 0.0}, minutes=2).judgements[ON_0]
    assert after.verdict == before.verdict == "idle"
    assert after.idle_seconds == pytest.approx(before.idle_seconds, abs=3 * MINUTE)
    assert after.coverage < 0.5


def test_who_had_gone_before_a_restart_begins_anew(node: Node) -> None:
    node.live({ON_0: 0.0}, minutes=60)
    node.live({}, minutes=10)
    node.restart()
    assert verdicts(node.live({ON_0: 0.0}, minutes=5)) == {ON_0: "ok"}


def test_the_past_of_a_run_that_comes_back_is_not_of_the_minute(node: Node) -> None:
    node.live({ON_0: 0.9}, minutes=60)
    node.live({}, minutes=30)
    assert node.ledger.runs == {}
    judged = node.live({ON_0: 0.0}, minutes=3)
    assert node.ledger.runs[ON_0].use.busy > 50 * MINUTE
    assert judged.judgements[ON_0].mean_use == 0.0


def test_a_record_that_cannot_be_read_costs_the_memory_and_no_more(
    node: Node, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    node.live({ON_0: 0.0}, minutes=60)

    def refuse(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(recent.Recent, "minutes", refuse)
    node.restart()
    assert verdicts(node.live({ON_0: 0.0}, minutes=5)) == {ON_0: "ok"}
    assert "disk I/O error; nothing is idle before it is seen to be so again" in caplog.text
    assert verdicts(node.live({ON_0: 0.0}, minutes=12)) == {ON_0: "idle"}


def test_the_array_of_a_run_is_kept(node: Node) -> None:
    node.live({ON_0: 0.5})
    node.restart()
    assert node.ledger.details[BEN].group == "slurm:4711"


# The whole agent


def test_the_forgotten_notebook_of_the_demo_is_idle_at_the_first_reading(tmp_path: Path) -> None:
    noon, boot_unix = T0 + 10.0, T0 - 9 * 24 * HOUR
    play_past(Settings(node="SIMULATED", state_directory=tmp_path), until_unix=noon, seconds=4 * HOUR)
    with closing(Store(tmp_path, unix=noon, simulated=True)) as store:
        saved = store.load(unix=noon, boot_id="b", boot_unix=boot_unix, run_seconds=LINGER_SECONDS)
        now = Moment(noon - boot_unix, noon)
        shown = Cycle(Settings(node="SIMULATED"), simulated_machine(boot_unix), store, saved, now).run(now)
    found = {shown.devices[4].info.uuid: "ok", shown.devices[5].info.uuid: "idle"}
    assert {uuid: judgement.verdict for (uuid, _), judgement in shown.judgements.items() if uuid in found} == found


def test_an_agent_that_is_killed_in_an_idle_stretch_says_idle_again_at_once(tmp_path: Path) -> None:
    trace = Trace((Gpu("GPU-0", "NVIDIA H100", 80 << 30, 70.0, 700.0),), (Hold(0, 0, 0.0, 3600.0, 1 << 30),), ())
    with StandIn(tmp_path, trace) as driver, idle_processes(1) as (pid,):
        driver.set_pid(0, pid)
        driver.start()
        with Agent(tmp_path, driver.environment(), interval=0.2) as agent:
            wait_until(lambda: "ok" in shown_verdicts(agent.scrape()), seconds=10, what="a verdict")
            agent.kill()
            record_past_hour(agent.state / FILE_NAME)
            agent.start()
            wait_until(lambda: "idle" in shown_verdicts(agent.scrape()), seconds=10, what="the idle run")
            (before,) = idle_seconds(agent)
            agent.kill()
            agent.start()
            wait_until(lambda: "idle" in shown_verdicts(agent.scrape()), seconds=10, what="the idle run again")
            (after,) = idle_seconds(agent)
    assert 55 * MINUTE < before <= after < 65 * MINUTE


def shown_verdicts(exposition: Exposition) -> set[str]:
    return {dict(labels)["verdict"] for name, labels in exposition if name == "gpuwatch_run_verdict"}


def idle_seconds(agent: Agent) -> list[float]:
    return [value for (name, _), value in agent.scrape().items() if name == "gpuwatch_run_gpu_idle_seconds"]


def record_past_hour(path: Path) -> None:
    """As if the run had idled for the hour before the open minute."""
    with closing(sqlite3.connect(path)) as connection, connection:
        ((minute,),) = connection.execute("SELECT value FROM meta WHERE key = 'minute'")
        ((device, owner),) = connection.execute("SELECT device, owner FROM run_total")
        for start in range((minute - 60) * MINUTE, minute * MINUTE, MINUTE):
            connection.execute(
                "INSERT OR REPLACE INTO charge_minute (start, device, owner, held, busy, joules) VALUES (?,?,?,60,0,0)",
                (start, device, owner),
            )
            connection.execute(
                "INSERT OR REPLACE INTO device_minute VALUES (?, ?, 0, 0, 0, 0, 0, 60, 0, 0)", (start, device)
            )
