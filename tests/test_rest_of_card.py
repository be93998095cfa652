"""Throttling, memory errors, activity, MIG and drained GPUs through the whole chain, on the real binding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from conftest import Play
from rig import idle_processes
from standin.driver import StandIn
from standin.trace import Burst, Gpu, Hold, MigInstance, Throttle, Trace

from gpuwatch.agent.cycle import Cycle, Moment
from gpuwatch.agent.machine import this_machine
from gpuwatch.agent.settings import Settings
from gpuwatch.attribute.fold import Bounds
from gpuwatch.model import CountKey, DeviceView, Drain, RunTotal, Snapshot
from gpuwatch.sense.clocks import Clock
from gpuwatch.state.saved import Saved
from gpuwatch.state.store import Store

BOOT = 50_000.0
SECONDS = 80.0
HOPPER = Gpu("GPU-0", "NVIDIA H100 80GB HBM3", 80 << 30, 70.0, 700.0, gpm=True, sm_share=0.25)


@pytest.fixture(scope="module")
def pids() -> Iterator[list[int]]:
    with idle_processes(2) as pids:
        yield pids


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "state", unix=1.0)
    yield store
    store.close()


@dataclass
class Node:
    """A node at a driven time, on whatever state and drains it is given."""

    driver: StandIn
    store: Store | None = None
    drains: dict[str, Drain] = field(default_factory=dict)
    time: float = 0.0

    def __post_init__(self) -> None:
        self.start()

    @property
    def now(self) -> Moment:
        return Moment(BOOT + self.time, self.driver.epoch_us / 1e6 + self.time)

    def start(self) -> None:
        clock = Clock(boottime=lambda: self.now.boottime, unix=lambda: self.now.unix)
        saved = Saved({}, {}, {}, {}, {}, {}, self.now.unix - BOOT)
        if self.store is not None:
            saved = self.store.load(unix=self.now.unix, boot_id="b", boot_unix=1.0, run_seconds=600)
        machine = this_machine(clock)._replace(read_maintenance=lambda: self.drains)
        settings = Settings(node="n7", bounds=Bounds(short_run_seconds=0.0))
        self.cycle = Cycle(settings, machine, self.store, saved, self.now)

    def run(self, until: float) -> Snapshot:
        while True:
            self.driver.freeze(self.time)
            snapshot = self.cycle.run(self.now)
            if self.time >= until:
                return snapshot
            self.time = min(until, self.time + 1.0)


def counted(node: Node, *, until: float) -> dict[CountKey, float]:
    """What is published of the counts of GPU 0."""
    return {key: count.total for key, count in by_name(node.run(until))["0"].counts.items()}


def by_name(snapshot: Snapshot) -> Mapping[str, DeviceView]:
    return {device.info.name: device for device in snapshot.devices}


def total_on(snapshot: Snapshot, uuid: str) -> list[RunTotal]:
    return sorted((total for (on, _), total in snapshot.totals.items() if on == uuid), key=lambda t: -t.use.busy)


@pytest.fixture
def two_runs(play: Play, pids: list[int]) -> Node:
    """One Hopper, used by two runs one after the other, and throttled in between."""
    holds = (Hold(0, 0, 0.0, SECONDS, 1 << 30), Hold(0, 1, 0.0, SECONDS, 1 << 30))
    bursts = (Burst(0, 0, 5.0, 15.0, 1.0), Burst(0, 1, 20.0, 25.0, 1.0))
    throttles = (Throttle(0, "power_cap", 6.0, 9.5), Throttle(0, "hw_thermal", 8.0, 8.5))
    driver = play(Trace((HOPPER,), holds, bursts, throttles=throttles))
    for slot, pid in enumerate(pids):
        driver.set_pid(slot, pid)
    return Node(driver)


def test_sm_active_seconds_are_those_of_the_trace_and_go_with_busy(two_runs: Node) -> None:
    snapshot = two_runs.run(until=35.0)
    first, second = total_on(snapshot, "GPU-0")
    assert first.sm_active == pytest.approx(two_runs.driver.trace.sm_active(0, 5.0, 15.0), abs=0.1)
    assert second.sm_active == pytest.approx(two_runs.driver.trace.sm_active(0, 20.0, 25.0), abs=0.1)


def test_activity_now_is_the_mean_of_the_last_seconds(two_runs: Node) -> None:
    activity = by_name(two_runs.run(until=12.0))["0"].reading.condition.activity  # type: ignore[union-attr]
    assert activity is not None
    assert activity.ended - activity.began == pytest.approx(5.0)
    assert (activity.graphics, activity.sm) == pytest.approx((1.0, 0.25))
    assert by_name(two_runs.run(until=32.0))["0"].reading.condition.activity.sm == 0  # type: ignore[union-attr]


def test_a_card_without_such_counters_shows_none(play: Play) -> None:
    node = Node(play(Trace((replace(HOPPER, gpm=False),), (), ())))
    device = by_name(node.run(until=7.0))["0"]
    assert device.reading is not None
    assert device.reading.condition.activity is None
    assert not device.activity_known


def test_throttled_seconds_are_those_of_the_trace(two_runs: Node) -> None:
    counts = counted(two_runs, until=65.0)
    assert counts[CountKey("throttle", "power_cap")] == pytest.approx(3.5)
    assert counts[CountKey("throttle", "hw_thermal")] == pytest.approx(0.5)
    assert counts[CountKey("throttle", "sw_thermal")] == 0


def test_a_reloaded_driver_takes_no_throttled_second_back(two_runs: Node) -> None:
    two_runs.run(until=35.0)
    two_runs.driver.driver_gone()
    two_runs.run(until=37.0)
    two_runs.driver.driver_back()
    counts = counted(two_runs, until=65.0)
    assert counts[CountKey("throttle", "power_cap")] == pytest.approx(3.5)


def test_old_cards_tell_of_heat_without_its_reason(two_runs: Node) -> None:
    two_runs.driver.unsupported("throttle_new")
    counts = counted(two_runs, until=65.0)
    reasons = {key.which for key in counts if key.what == "throttle"}
    assert reasons == {"power_cap", "thermal", "sync_boost", "board_limit", "reliability"}


def test_a_card_that_counts_nothing_has_no_counts(two_runs: Node) -> None:
    two_runs.driver.unsupported("throttle", "ecc")
    assert counted(two_runs, until=7.0) == {}


def test_counts_survive_a_restart(play: Play, store: Store) -> None:
    driver = play(Trace((HOPPER,), (), (), throttles=(Throttle(0, "power_cap", 1.0, 30.0),)))
    node = Node(driver, store)
    driver.set_ecc(0, corrected=4, uncorrected=1)
    node.run(until=10.0)
    node.time = 20.0
    node.start()
    driver.set_ecc(0, corrected=5, uncorrected=1)
    counts = counted(node, until=20.0)
    assert counts[CountKey("throttle", "power_cap")] == pytest.approx(19.0)
    assert counts[CountKey("ecc", "corrected")] == 5
    assert counts[CountKey("ecc", "uncorrected")] == 1


def test_a_driver_that_says_nobody_used_anything_is_asked_the_newer_way(play: Play, pids: list[int]) -> None:
    holds = (Hold(0, 0, 0.0, SECONDS, 1 << 30), Hold(0, 1, 0.0, SECONDS, 1 << 30))
    driver = play(Trace((HOPPER,), holds, (Burst(0, 0, 0.0, 20.0, 0.6), Burst(0, 1, 0.0, 20.0, 0.2))))
    for slot, pid in enumerate(pids):
        driver.set_pid(slot, pid)
    driver.unsupported("process_utilization_zero")
    first, second = total_on(Node(driver).run(until=20.0), "GPU-0")
    assert first.use.busy == pytest.approx(3 * second.use.busy, rel=0.02)


MIG = (
    MigInstance("MIG-a", "3g.40gb", 3, 40 << 30, gpu_instance_id=1, compute_instance_id=0),
    MigInstance("MIG-b", "1g.10gb", 1, 10 << 30, gpu_instance_id=9, compute_instance_id=0),
)


def mig_node(play: Play, pids: list[int], *, gpm: bool) -> Node:
    """A GPU cut in two, of which one run uses three sevenths, beside one that is whole."""
    whole = replace(HOPPER, uuid="GPU-1")
    holds = (Hold(0, 0, 0.0, SECONDS, 5 << 30, instance=0),)
    bursts = (Burst(0, 0, 10.0, 20.0, 0.5, instance=0),)
    driver = play(Trace((replace(HOPPER, gpm=gpm, mig=MIG), whole), holds, bursts))
    driver.set_pid(0, pids[0])
    return Node(driver)


def test_mig_instances_are_the_devices_and_their_gpu_is_none(play: Play, pids: list[int]) -> None:
    devices = by_name(mig_node(play, pids, gpm=True).run(until=3.0))
    assert devices.keys() == {"0:0", "0:1", "1"}
    assert [devices[name].info.uuid for name in ("0:0", "0:1")] == ["MIG-a", "MIG-b"]
    assert devices["0:0"].info.capacity == pytest.approx(3 / 7)
    assert [devices[name].info.memory_bytes for name in ("0:0", "1")] == [40 << 30, HOPPER.memory_total]
    assert devices["0:1"].info.model == "NVIDIA H100 80GB HBM3 MIG 1g.10gb"
    assert devices["0:0"].info.pci == devices["0:1"].info.pci != devices["1"].info.pci


def test_with_gpm_an_instance_is_accounted_like_any_device(play: Play, pids: list[int]) -> None:
    node = mig_node(play, pids, gpm=True)
    snapshot = node.run(until=30.0)
    device, (total,) = by_name(snapshot)["0:0"], total_on(snapshot, "MIG-a")
    busy = node.driver.trace.busy(0, 0.0, 30.0, instance=0)
    assert device.use.busy == pytest.approx(busy, rel=0.005)
    assert total.use.busy == pytest.approx(busy, rel=0.005)
    assert total.use.held == pytest.approx(30.0, abs=1.5)
    assert total.sm_active == pytest.approx(busy * 0.25, rel=0.01)
    assert device.use.states.unknown == pytest.approx(0.0, abs=0.05)
    assert not device.energy_known


def test_people_are_charged_their_part_of_the_gpu(play: Play, pids: list[int]) -> None:
    snapshot = mig_node(play, pids, gpm=True).run(until=SECONDS)
    later = replace(snapshot, people=dict(snapshot.people))
    (total,) = total_on(later, "MIG-a")
    node = mig_node(play, pids, gpm=True)
    node.run(until=SECONDS)
    (roll_up,) = node.cycle.ledger.people.values()
    assert roll_up.use.held == pytest.approx(total.use.held * 3 / 7)


def test_without_gpm_nobody_is_called_busy_or_idle(play: Play, pids: list[int]) -> None:
    snapshot = mig_node(play, pids, gpm=False).run(until=20.0)
    held, free = by_name(snapshot)["0:0"], by_name(snapshot)["0:1"]
    assert not held.busy_known
    assert held.use.states.active == held.use.states.idle == 0
    assert held.use.states.unknown == pytest.approx(20.0, abs=3.0)
    assert free.use.states.free == pytest.approx(20.0, abs=3.0)
    assert [owner.run for uuid, owner in snapshot.holding if uuid == "MIG-a"]


def test_instances_made_anew_take_the_place_of_their_gpu(play: Play, store: Store) -> None:
    """MIG was switched on while the agent was down: the GPU of before is not lost."""
    Node(play(Trace((HOPPER,), (), ())), store).run(until=3.0)
    cut = Node(play(Trace((replace(HOPPER, mig=MIG),), (), ())), store)
    cut.time = 5.0
    cut.start()
    assert by_name(cut.run(until=7.0)).keys() == {"0:0", "0:1"}


def test_nobodys_time_on_a_drained_gpu_is_unavailable(two_runs: Node) -> None:
    two_runs.run(until=3.0)
    two_runs.drains["node"] = Drain(two_runs.now.unix, "new fan", "root")
    device = by_name(two_runs.run(until=10.0))["0"]
    assert device.drain == two_runs.drains["node"]
    assert device.use.states.unavailable == 0  # it is held
    two_runs.driver.hide_processes()
    two_runs.driver.lose(0)
    assert by_name(two_runs.run(until=20.0))["0"].use.states.unavailable == pytest.approx(10.0, abs=1.5)
    two_runs.drains.clear()
    after = by_name(two_runs.run(until=25.0))["0"]
    assert after.drain is None
    assert after.use.states.unknown == pytest.approx(5.0, abs=1.5)
