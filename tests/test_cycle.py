"""The whole chain but the server, on the real binding and real processes, with a driven clock: exact to the trace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Play
from rig import idle_processes
from standin.driver import StandIn
from standin.trace import Trace, random_trace

from gpuwatch.account.ledger import ROLL_UP_BIRTH_SECONDS
from gpuwatch.agent.cycle import GLANCE_SECONDS, Cycle, Moment
from gpuwatch.agent.machine import this_machine
from gpuwatch.agent.settings import Settings
from gpuwatch.attribute.fold import Bounds
from gpuwatch.errors import DiskRefused
from gpuwatch.model import Snapshot, Use
from gpuwatch.sense import nvml
from gpuwatch.sense.clocks import Clock
from gpuwatch.state.saved import Saved
from gpuwatch.state.store import Store
from gpuwatch.units import DAY

BOOT = 50_000.0
SECONDS, SLOTS = 60.0, 24
SEED = 20261120


class Node:
    """A node whose time is driven: the trace time, from before its zero on."""

    def __init__(self, driver: StandIn, store: Store | None = None, *, short_run_seconds: float = 0.0) -> None:
        self.driver = driver
        self._store = store
        self.time = -1.0
        self._epoch = driver.epoch_us / 1e6
        self._settings = Settings(node="n7", bounds=Bounds(short_run_seconds=short_run_seconds))
        self.start()

    def start(self) -> None:
        """A new agent at this moment, on what the state has."""
        saved = Saved({}, {}, {}, {}, {}, {}, self._epoch - BOOT)
        if self._store is not None:
            saved = self._store.load(unix=self.now.unix, boot_id="b", boot_unix=saved.boot_unix, run_seconds=600)
        clock = Clock(boottime=lambda: self.now.boottime, unix=lambda: self.now.unix)
        self.cycle = Cycle(self._settings, this_machine(clock), self._store, saved, self.now)

    @property
    def now(self) -> Moment:
        return Moment(BOOT + self.time, self._epoch + self.time)

    def run(self, until: float, interval: float) -> Snapshot:
        """Cycles up to a trace time; the last snapshot."""
        while True:
            self.driver.freeze(self.time)
            snapshot = self.cycle.run(self.now)
            if self.time >= until:
                return snapshot
            due = min(until, self.time + interval)
            while due - 10 < self.time < due - GLANCE_SECONDS:
                self.time += GLANCE_SECONDS
                self.driver.freeze(self.time)
                self.cycle.glance()
            self.time = due


@pytest.fixture(scope="module")
def pids() -> Iterator[list[int]]:
    with idle_processes(SLOTS) as pids:
        yield pids


@pytest.fixture
def driver(play: Play, pids: list[int]) -> StandIn:
    return started(play(random_trace(SEED, seconds=SECONDS, slots=SLOTS)), pids)


def started(driver: StandIn, pids: list[int]) -> StandIn:
    for slot, pid in enumerate(pids):
        driver.set_pid(slot, pid)
    return driver


def by_slot(snapshot: Snapshot, pids: list[int], gpu: int) -> dict[int, Use]:
    """What each slot's run was charged on a GPU. Runs are told apart by the pid of their launch root."""
    slots = {pid: slot for slot, pid in enumerate(pids)}
    uuid = snapshot.devices[gpu].info.uuid
    uses = {}
    for (device, owner), there in snapshot.totals.items():
        if device == uuid:
            uses[slots[snapshot.runs[owner].root.pid]] = there.use
    return uses


@pytest.mark.parametrize("interval", [1.0, 5.0])
def test_devices_and_owners_get_what_the_trace_says(driver: StandIn, pids: list[int], interval: float) -> None:
    node = Node(driver)
    snapshot = node.run(SECONDS + 6.0, interval)
    trace = driver.trace
    for gpu, device in enumerate(snapshot.devices):
        elapsed = sum(device.use.states)
        assert device.use.busy == pytest.approx(trace.busy(gpu, 0, SECONDS), rel=0.005)
        assert device.use.joules == pytest.approx(trace.joules(gpu, -1.0, SECONDS + 6.0), rel=0.005)
        assert device.use.states.unknown == 0
        assert elapsed == pytest.approx(SECONDS + 7.0, abs=2 * trace.sample_period)
        check_owners(trace, gpu, by_slot(snapshot, pids, gpu), [-1.0, *driver.queries(gpu)[1:]], interval)
        assert device.use.unattributed_busy == 0


def check_owners(trace: Trace, gpu: int, uses: dict[int, Use], cuts: list[float], interval: float) -> None:
    truth = trace.split(gpu, sorted(set(cuts)))
    # The driver rounds each use to a percent of the time between two looks: sigma is 0.29 % of it each time.
    rounding = 4 * 0.0029 * (GLANCE_SECONDS * SECONDS) ** 0.5
    for slot, share in truth.items():
        assert uses[slot].busy == pytest.approx(share.busy, rel=0.005, abs=rounding)
        held = [hold for hold in trace.holds if (hold.gpu, hold.slot) == (gpu, slot)]
        assert uses[slot].held == pytest.approx(share.held, abs=2 * len(held) * interval)
    assert sum(use.busy for use in uses.values()) == pytest.approx(sum(s.busy for s in truth.values()), rel=0.005)


def test_the_peak_of_memory_is_known_though_it_never_changes(driver: StandIn) -> None:
    snapshot = Node(driver).run(5.0, 1.0)
    assert snapshot.holding
    for key, size in snapshot.holding.items():
        assert snapshot.totals[key].memory_peak_bytes >= (size or 0) > 0


def test_a_lost_gpu_is_unknown_and_costs_the_others_nothing(play: Play, pids: list[int]) -> None:
    first = started(play(random_trace(1, seconds=20, gpus=2, slots=SLOTS)), pids)
    node = Node(first)
    node.run(5.0, 1.0)
    first.lose(1)
    snapshot = node.run(10.0, 1.0)
    lost = snapshot.devices[1]
    assert lost.reading is None
    assert "lost" in lost.problem.lower()
    first.restore(1)
    snapshot = node.run(15.0, 1.0)
    assert snapshot.devices[1].use.states.unknown == pytest.approx(5.0, abs=1.2)
    assert snapshot.devices[0].use.states.unknown == 0


def test_a_restart_within_ten_seconds_loses_nothing(play: Play, pids: list[int], tmp_path: Path) -> None:
    driver = started(play(random_trace(SEED, seconds=SECONDS, slots=SLOTS)), pids)
    store = Store(tmp_path / "state", unix=driver.epoch_us / 1e6)
    node = Node(driver, store)
    node.run(20.0, 1.0)
    node.time = 28.5
    node.start()
    snapshot = node.run(SECONDS + 2, 1.0)
    for gpu, device in enumerate(snapshot.devices):
        assert device.use.busy == pytest.approx(driver.trace.busy(gpu, 0, SECONDS), rel=0.005)
        assert device.use.states.unknown == 0
    store.close()


def test_a_longer_absence_is_unknown_and_nothing_falls(play: Play, pids: list[int], tmp_path: Path) -> None:
    driver = started(play(random_trace(SEED, seconds=SECONDS, slots=SLOTS)), pids)
    store = Store(tmp_path / "state", unix=driver.epoch_us / 1e6)
    node = Node(driver, store)
    before = node.run(20.0, 1.0)
    node.time = 40.0
    node.start()
    after = node.run(41.0, 1.0)
    for old, new in zip(before.devices, after.devices, strict=True):
        assert new.use.states.unknown == pytest.approx(20.0, abs=0.2)
        assert new.use.busy >= old.use.busy
    for key, there in before.totals.items():
        assert after.totals[key].use.held >= there.use.held
    store.close()


def test_the_first_minute_is_short_and_the_roll_up_has_it_all(play: Play, pids: list[int]) -> None:
    driver = started(play(random_trace(SEED, seconds=SECONDS, slots=SLOTS)), pids)
    node = Node(driver, short_run_seconds=1e9)
    snapshot = node.run(SECONDS + 6, 1.0)
    assert {owner.run for _, owner in snapshot.totals} == {"short"}
    ((person, use),) = snapshot.people.items()
    assert person[1] == ""
    assert use.busy == pytest.approx(sum(device.use.busy for device in snapshot.devices))
    young = Node(driver, short_run_seconds=1e9)
    young.time = 0.0
    assert set(young.run(ROLL_UP_BIRTH_SECONDS - 5, 5.0).people.values()) == {Use()}


@pytest.mark.parametrize("interval", [0.5, 1.0])
def test_a_driver_that_samples_slowly_loses_nobodys_use(play: Play, pids: list[int], interval: float) -> None:
    trace = random_trace(SEED, seconds=SECONDS, slots=SLOTS, sample_period=1.0)
    driver = started(play(trace), pids)
    node = Node(driver)
    snapshot = node.run(SECONDS + 6.0, interval)
    for gpu, device in enumerate(snapshot.devices):
        assert device.use.busy == pytest.approx(trace.busy(gpu, 0, SECONDS), rel=0.01)
        for slot, use in by_slot(snapshot, pids, gpu).items():
            assert use.busy == pytest.approx(trace.slot_busy(gpu, slot, 0, SECONDS), rel=0.02, abs=0.3)


def test_a_past_that_cannot_be_read_yet_is_added_later(
    play: Play, pids: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = started(play(random_trace(SEED, seconds=SECONDS, slots=SLOTS)), pids)
    store = Store(tmp_path / "state", unix=driver.epoch_us / 1e6)
    before = Node(driver, store).run(20.0, 1.0)
    monkeypatch.setattr(Store, "load", lambda *_, **__: Saved({}, {}, {}, {}, {}, {}, driver.epoch_us / 1e6 - BOOT))
    node = Node(driver, store)
    node.time = 21.0

    def refuse(*_: object, **__: object) -> None:
        raise DiskRefused("cannot read")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "recall", refuse)
        assert not node.run(30.0, 1.0).persisted
    node.time = 31.0
    after = node.run(40.0, 1.0)
    assert after.persisted
    for key, total in before.totals.items():
        assert key not in after.totals or after.totals[key].use.held >= total.use.held
    store.close()


def test_a_gpu_missing_for_a_week_is_taken_out_of_a_running_agent(play: Play, pids: list[int]) -> None:
    driver = started(play(random_trace(SEED, seconds=20, gpus=2, slots=SLOTS)), pids)
    node = Node(driver)
    node.run(5.0, 1.0)
    driver.lose(1)
    assert len(node.run(6 * DAY, DAY / 2).devices) == 2
    assert [device.info.index for device in node.run(9 * DAY, DAY / 2).devices] == [0]


def test_a_gpu_taken_out_long_ago_is_not_shown_and_keeps_its_totals(
    play: Play, pids: list[int], tmp_path: Path
) -> None:
    driver = started(play(random_trace(SEED, seconds=20, slots=SLOTS)), pids)
    store = Store(tmp_path / "state", unix=driver.epoch_us / 1e6)
    taken_out = Node(driver, store).run(10.0, 1.0).devices[0]
    other = started(play(random_trace(SEED + 1, seconds=20, slots=SLOTS)), pids)
    other.epoch_us = driver.epoch_us + round(8 * DAY * 1e6)
    nvml.close_driver()
    later = Node(other, store)
    snapshot = later.run(5.0, 1.0)
    assert taken_out.info.uuid not in {device.info.uuid for device in snapshot.devices}
    saved = store.load(unix=later.now.unix, boot_id="b", boot_unix=0.0, run_seconds=600)
    assert saved.devices[taken_out.info.uuid].use.busy == taken_out.use.busy
    store.close()
