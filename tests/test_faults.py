"""The agent from outside, while the driver fails: what is seen stays exact, what is not seen is unknown.

Every story (stories.py) is one agent on one stand-in driver under a scraper that never stops asking (stage.py). Those
that the chosen tests need are told at the same time, once.
"""

from __future__ import annotations

import ctypes.util
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import pytest
from rig import Agent, idle_processes, total
from stage import INTERVAL, Record, telling
from stories import FAULTY, FREE, LONG, MIXED, OTHER, STORIES

PERIOD = 1 / 6
"""Seconds between two samples of the driver."""
NO_DRIVER = "no NVIDIA driver is installed here: libnvidia-ml.so.1 was not found"
PROVE = pytest.param("hung-30s", marks=pytest.mark.prove)
SERVING = tuple(name for name in STORIES if name not in ("hung-30s", "upgrade-stuck"))
UNTOUCHED = {
    "lost-and-hung": (MIXED, FREE),
    "vanished": (OTHER, MIXED, FREE),
    "garbage": range(4),
    "clock": range(4),
    "stamps-ahead": range(4),
    "stamps-behind": range(4),
}
"""The GPUs of a story that lose nothing."""


def judging(*stories: object) -> pytest.MarkDecorator:
    """The test judges the record of a story, or of each of some."""
    return pytest.mark.parametrize("record", stories, indirect=True)


@pytest.fixture(scope="module")
def tellings(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, Future[Record]]]:
    """The stories that the tests of this file ask for."""
    items = [item for item in request.session.items if item.path == request.path and hasattr(item, "callspec")]
    specs = [item.callspec.params for item in items]
    wanted = {str(params["record"]) for params in specs if "record" in params}
    folder = tmp_path_factory.mktemp("stories")
    with idle_processes(4) as pids, telling({name: STORIES[name] for name in wanted}, folder, pids) as told:
        yield told


@pytest.fixture
def record(request: pytest.FixtureRequest, tellings: Mapping[str, Future[Record]]) -> Record:
    return tellings[str(request.param)].result()


def check_unknown(record: Record, gpu: int, injected: float) -> None:
    """Unknown is the injected time within an interval, and one more sample of the driver."""
    account = record.account(gpu)
    assert injected - INTERVAL <= account.unknown <= injected + INTERVAL + PERIOD
    check_elapsed(record, gpu)


def check_elapsed(record: Record, gpu: int) -> None:
    """All the time since the first reading is in some state."""
    behind = record.times["end"] - record.began[gpu] - record.account(gpu).elapsed
    assert -0.05 <= behind <= 3 * INTERVAL + PERIOD


def check_seen(record: Record, gpu: int) -> None:
    """Nothing of the GPU was lost."""
    check_elapsed(record, gpu)
    account, trace, start = record.account(gpu), record.trace, record.began[gpu]
    end = start + account.elapsed
    assert account.unknown == 0
    assert account.busy == account.active == pytest.approx(trace.busy(gpu, start, end), rel=0.01, abs=PERIOD)
    assert account.joules == pytest.approx(trace.joules(gpu, start, end), rel=0.02, abs=700 * INTERVAL)
    assert account.free == (account.elapsed if gpu == FREE else 0)


@judging(*SERVING, PROVE)
def test_metrics_answers_at_once(record: Record) -> None:
    asked = sorted(scrape.seconds for scrape in record.scrapes)
    assert asked[int(0.95 * len(asked))] < 0.1
    assert record.late_part("start", "end") < 0.03


@judging(*SERVING, "upgrade-stuck", PROVE)
def test_no_counter_falls(record: Record) -> None:
    assert record.falls() == []


@judging(*UNTOUCHED, PROVE)
def test_the_other_gpus_lose_nothing(record: Record, request: pytest.FixtureRequest) -> None:
    story = request.node.callspec.params["record"]
    for gpu in UNTOUCHED.get(story, UNTOUCHED["lost-and-hung"]):
        check_seen(record, gpu)


@judging(*UNTOUCHED, PROVE)
def test_runs_that_share_a_gpu_get_what_they_used(record: Record) -> None:
    start, end = record.began[MIXED], record.began[MIXED] + record.account(MIXED).elapsed
    for slot in (2, 3):
        used = record.trace.slot_busy(MIXED, slot, start, end)
        assert record.of_run(MIXED, slot, "busy_seconds") == pytest.approx(used, rel=0.03, abs=PERIOD)
    assert record.account(MIXED).unattributed_busy == 0


@judging(*(name for name in SERVING if name != "no-driver"), "upgrade-stuck", PROVE)
def test_what_runs_are_charged_adds_up(record: Record) -> None:
    for gpu in range(4):
        account = record.account(gpu)
        held, busy, joules = map(partial(record.of_all_runs, gpu), ("held_seconds", "busy_seconds", "energy_joules"))
        assert held == pytest.approx(account.active + account.idle, rel=0.001)
        assert busy + account.unattributed_busy == pytest.approx(account.busy, rel=0.001)
        assert joules + account.unattributed_joules == pytest.approx(account.joules, rel=0.001)


@judging("lost-and-hung")
def test_a_lost_gpu_is_unknown_until_it_is_back(record: Record) -> None:
    check_unknown(record, FAULTY, record.span("lost", "back"))
    assert record.account(FAULTY).free == 0


@judging("lost-and-hung", PROVE)
def test_a_hanging_gpu_is_unknown_until_it_answers(record: Record) -> None:
    check_unknown(record, OTHER, record.span("hung", "released"))
    assert record.account(OTHER).free == 0
    assert int(record.facts["threads more"]) <= 0  # a hang holds one thread, however long it lasts


@judging("reload")
def test_without_its_driver_a_gpu_is_unknown(record: Record) -> None:
    for gpu in range(4):
        check_unknown(record, gpu, record.span("gone", "back"))
        seen = record.account(gpu).elapsed - record.account(gpu).unknown
        mean = record.trace.busy(gpu, 0, LONG) / LONG
        assert record.account(gpu).busy == pytest.approx(mean * seen, rel=0.05, abs=2 * PERIOD)


@judging("upgrade")
def test_an_upgraded_driver_is_loaded_in_place(record: Record) -> None:
    for gpu in range(4):
        check_unknown(record, gpu, 0.0)
    assert "gpuwatch" in record.facts["command of the process"]
    assert "afresh" not in record.log


@judging("upgrade-stuck")
def test_a_library_that_stays_mapped_takes_a_fresh_process(record: Record) -> None:
    """On the same port, as the same process. There /metrics is late by what the start takes, and no later."""
    for gpu in range(4):
        check_unknown(record, gpu, record.span("upgraded", "recovered"))
    assert "gpuwatch" in record.facts["command of the process"]
    assert record.log.count("starting afresh") == 1
    assert record.late_part("start", "end") * record.span("start", "end") < 3.0


@judging("garbage")
def test_no_gpu_is_shown_as_more_than_busy(record: Record) -> None:
    shown = [value for (name, _), value in record.shots["end"].items() if name == "gpuwatch_gpu_utilization_ratio"]
    assert len(shown) == 4
    assert all(0 <= value <= 1 for value in shown)


@judging("clock")
def test_a_set_clock_stops_nothing(record: Record) -> None:
    for gpu in range(4):
        assert record.longest_standstill(gpu) < 2 * INTERVAL + PERIOD


@judging("vanished")
def test_nobody_is_charged_for_a_process_that_nobody_saw(record: Record) -> None:
    listed, account = record.span("vanished", "back"), record.account(FAULTY)
    check_unknown(record, FAULTY, listed)
    assert account.free == 0
    assert account.unattributed_busy == pytest.approx(0.7 * listed, abs=0.7 * (INTERVAL + PERIOD))
    assert account.idle == pytest.approx(0.3 * (account.elapsed - account.unknown), rel=0.02)


@judging("old-driver")
def test_an_old_driver_is_read_by_its_rates(record: Record) -> None:
    share = {FAULTY: 0.7, OTHER: 0.4, MIXED: 0.8, FREE: 0.0}
    for gpu, ratio in share.items():
        first, account = record.account(gpu, "first"), record.account(gpu)
        passed = account.elapsed - first.elapsed
        assert passed == pytest.approx(record.span("first", "end"), abs=INTERVAL + PERIOD)
        assert account.unknown == 0
        assert account.busy == pytest.approx(ratio * account.elapsed, rel=0.01)
        assert account.joules == pytest.approx(record.trace.joules(gpu, 0, account.elapsed), rel=0.01)
    third, fourth = (record.of_run(MIXED, slot, "busy_seconds") for slot in (2, 3))
    assert third == pytest.approx(fourth, rel=0.001)


@pytest.mark.skipif(bool(ctypes.util.find_library("nvidia-ml")), reason="there is a driver here")
@judging("no-driver")
def test_without_any_driver_the_cpu_is_read_and_one_line_says_why(record: Record) -> None:
    cpu = [total(record.shots[shot], "gpuwatch_host_cpu_seconds_total") for shot in ("first", "end")]
    assert cpu[0] < cpu[1]
    lines = [line for line in record.log.splitlines() if "driver" in line.lower() or "gpu" in line.lower()]
    assert lines == [f"WARNING sensor gpu: {NO_DRIVER}"]
    assert not [name for name, _ in record.shots["end"] if name.startswith("gpuwatch_gpu_")]
    ups = [total(record.shots["end"], "gpuwatch_sensor_up", sensor=sensor) for sensor in ("gpu", "host")]
    assert ups == [0, 1]
    assert record.facts["/healthz"].startswith("ok")
    assert NO_DRIVER in record.facts["/"]


def test_a_second_agent_on_the_same_state_is_refused(tmp_path: Path) -> None:
    first, second = (Agent(tmp_path, {"LD_LIBRARY_PATH": ""}) for _ in range(2))
    with first, second.log.open(encoding="utf-8") as log:
        log.seek(0, 2)
        try:
            second.launch()
            assert second.process is not None
            assert second.process.wait(timeout=10) == 2
        finally:
            second.kill()
        assert log.read() == (
            f"gpuwatch: another agent (pid {first.pid}) uses the state directory {first.state}: "
            "stop it, or name another --state-dir\n"
        )
        assert first.is_serving()
