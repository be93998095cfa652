"""What changes under a running agent: instances come and go, counters of activity fail, a GPU is lost and back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pynvml
import pytest
from conftest import Play
from rig import idle_processes
from standin.trace import Burst, Hold, Trace
from test_rest_of_card import HOPPER, MIG, SECONDS, Node, by_name, total_on

from gpuwatch.agent.fleet import Fleet
from gpuwatch.errors import GpuUnavailable
from gpuwatch.export.status import status_document
from gpuwatch.model import Drain
from gpuwatch.sense import nvml
from gpuwatch.state.store import Store

HOLD = Hold(0, 0, 0.0, SECONDS, 1 << 30)
BURST = Burst(0, 0, 0.0, SECONDS, 1.0)


@pytest.fixture(scope="module")
def pids() -> Iterator[list[int]]:
    with idle_processes(2) as pids:
        yield pids


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "state", unix=1.0)
    yield store
    store.close()


@pytest.fixture
def node(play: Play, pids: list[int]) -> Node:
    """One Hopper that one run uses all the time."""
    driver = play(Trace((HOPPER,), (HOLD,), (BURST,)))
    driver.set_pid(0, pids[0])
    return Node(driver)


def cut_node(play: Play, pid: int, *, gpm: bool, store: Store | None = None) -> Node:
    """A GPU cut in two, of which one run uses the first instance all the time."""
    holds, bursts = (replace(HOLD, instance=0),), (replace(BURST, instance=0),)
    driver = play(Trace((replace(HOPPER, gpm=gpm, mig=MIG),), holds, bursts))
    driver.set_pid(0, pid)
    return Node(driver, store)


def fail(*_: object) -> None:
    raise pynvml.NVMLError(pynvml.NVML_ERROR_UNKNOWN)


def destroy(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """From the next look at the GPU on, there is no such instance."""
    opened = nvml.open_cards

    def open_the_rest(index: int) -> tuple[nvml.Card, ...]:
        return tuple(card for card in opened(index) if card.info.mig != number)

    monkeypatch.setattr(nvml, "open_cards", open_the_rest)


def test_the_time_in_which_a_gpu_was_lost_is_of_nobodys_activity(node: Node) -> None:
    before = total_on(node.run(until=20.0), "GPU-0")[0]
    node.driver.lose(0)
    node.run(until=50.0)
    node.driver.restore(0)
    node.time = 51.0
    after = total_on(node.run(until=65.0), "GPU-0")[0]
    assert 0.0 < after.sm_active - before.sm_active <= 0.25 * (after.use.busy - before.use.busy) + 0.01


def test_the_time_in_which_the_agent_stood_still_is_of_nobodys_activity(node: Node) -> None:
    before = total_on(node.run(until=23.0), "GPU-0")[0]
    node.time = 60.0
    after = total_on(node.run(until=75.0), "GPU-0")[0]
    assert 0.0 < after.sm_active - before.sm_active <= 0.25 * (after.use.busy - before.use.busy) + 0.01


def test_a_reloaded_driver_is_found_by_a_node_whose_gpus_were_all_given_up(node: Node) -> None:
    node.driver.lose(0)
    node.run(until=70.0)
    node.driver.driver_gone()
    node.run(until=72.0)
    node.driver.driver_back()
    node.driver.restore(0)
    assert by_name(node.run(until=90.0))["0"].reading is not None


def test_a_clock_set_back_puts_no_gpu_into_service(play: Play) -> None:
    node = Node(play(Trace((HOPPER,), (), ())))
    node.run(until=3.0)
    node.drains["node"] = Drain(node.now.unix + 3600.0, "new fan", "root")
    states = by_name(node.run(until=13.0))["0"].use.states
    assert states.unavailable == pytest.approx(10.0, abs=1.5)


def test_counters_of_activity_that_fail_cost_nothing_else(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a vGPU they are told to be there, and each sample of them fails."""

    monkeypatch.setattr(pynvml, "nvmlGpmSampleGet", fail)
    device = by_name(node.run(until=21.0))["0"]
    assert device.use.states.unknown == 0
    assert device.use.busy == pytest.approx(21.0, abs=1.0)
    assert not device.activity_known


def test_who_was_busy_while_the_counters_failed_has_no_part_in_what_follows(
    play: Play, pids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    bursts = (Burst(0, 0, 0.0, 23.0, 1.0), Burst(0, 1, 23.0, SECONDS, 1.0))
    driver = play(Trace((HOPPER,), (HOLD, replace(HOLD, slot=1)), bursts))
    for slot, pid in enumerate(pids):
        driver.set_pid(slot, pid)
    node = Node(driver)
    node.run(until=18.0)
    with monkeypatch.context() as failing:
        failing.setattr(pynvml, "nvmlGpmSampleGet", fail)
        before = [total.sm_active for total in total_on(node.run(until=24.0), "GPU-0")]
    after = [total.sm_active for total in total_on(node.run(until=34.0), "GPU-0")]
    assert after[0] == before[0] > before[1] == 0.0
    assert after[1] > 0.0


def test_a_runs_activity_is_told_while_its_gpu_is_lost(play: Play, pids: list[int], store: Store) -> None:
    driver = play(Trace((HOPPER,), (HOLD,), (BURST,)))
    driver.set_pid(0, pids[0])
    node = Node(driver, store)
    node.run(until=20.0)
    driver.lose(0)
    node.start()
    (run,) = status_document(node.run(until=22.0))["gpus"][0]["runs"]
    assert run["sm_active_seconds"] == pytest.approx(5.0)


def test_to_look_which_devices_there_are_takes_no_memory(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    allocate, made = pynvml.nvmlGpmSampleAlloc, count(0)

    def make_sample() -> object:
        next(made)
        return allocate()

    monkeypatch.setattr(pynvml, "nvmlGpmSampleAlloc", make_sample)
    node.run(until=4 * SECONDS)
    assert next(made) == 2


def test_an_instance_made_anew_in_the_place_of_its_like_is_read_again(play: Play, pids: list[int]) -> None:
    """Its UUID comes from its place; the handle of the one before is an invalid argument from then on."""
    node = cut_node(play, pids[0], gpm=False)
    node.run(until=3.0)
    node.driver.lose(0, pynvml.NVML_ERROR_INVALID_ARGUMENT)
    assert by_name(node.run(until=8.0))["0:0"].reading is None
    node.driver.restore(0)
    device = by_name(node.run(until=75.0))["0:0"]
    assert device.strangers == 0
    assert device.reading is not None
    assert device.reading.condition.memory_used_bytes is not None


def test_instances_that_share_their_counters_are_not_told_apart_by_them(
    play: Play, pids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two compute instances in one GPU instance."""
    monkeypatch.setattr(pynvml, "nvmlDeviceGetGpuInstanceId", lambda _: MIG[0].gpu_instance_id)
    devices = by_name(cut_node(play, pids[0], gpm=True).run(until=20.0))
    assert [device.busy_known for device in devices.values()] == [False, False]
    assert devices["0:0"].use.states.unknown == pytest.approx(20.0, abs=3.0)
    assert devices["0:1"].use.states.free == pytest.approx(20.0, abs=3.0)


def test_an_instance_that_is_gone_leaves_no_problem_behind(
    play: Play, pids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    node = cut_node(play, pids[0], gpm=True)
    node.run(until=28.0)
    read = nvml.Card.read_processes

    def read_or_fail(card: nvml.Card) -> dict[int, int | None] | None:
        if card.info.mig == 1:
            raise GpuUnavailable("Not Found")
        return read(card)

    monkeypatch.setattr(nvml.Card, "read_processes", read_or_fail)
    assert by_name(node.run(until=29.0))["0:1"].problem == "Not Found"
    destroy(monkeypatch, 1)
    assert by_name(node.run(until=33.0)).keys() == {"0:0"}
    fleet = node.cycle._machine.gpus
    assert isinstance(fleet, Fleet)
    assert not fleet._problems
    assert not fleet._failing_since


def test_what_was_taken_out_does_not_come_back_with_a_restart(
    play: Play, pids: list[int], monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    node = cut_node(play, pids[0], gpm=True, store=store)
    before = by_name(node.run(until=10.0))["0:1"].use
    destroy(monkeypatch, 1)
    node.run(until=40.0)
    node.driver.driver_gone()
    node.time = 60.0
    node.start()
    assert by_name(node.run(until=61.0)).keys() == {"0:0"}
    node.driver.driver_back()
    monkeypatch.undo()
    node.time = 80.0
    node.start()
    after = by_name(node.run(until=95.0))["0:1"].use
    assert after.states.unknown == before.states.unknown == 0
    assert after.states.free > before.states.free


def test_what_came_and_went_while_the_disk_refused_is_saved(
    play: Play, pids: list[int], monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    node = cut_node(play, pids[0], gpm=True, store=store)
    store._db.execute("PRAGMA query_only = ON")
    shown = by_name(node.run(until=20.0))["0:0"]
    destroy(monkeypatch, 0)
    assert not node.run(until=35.0).persisted
    store._db.execute("PRAGMA query_only = OFF")
    assert node.run(until=37.0).persisted
    (busy,) = store._db.execute("SELECT busy FROM device WHERE uuid = 'MIG-a'").fetchone()
    assert busy >= shown.use.busy > 15.0
