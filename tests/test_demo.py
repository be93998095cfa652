"""The demo: its script, the week that the agent's own accounting makes of it, and the command from start to end."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from urllib.request import urlopen

import jsonschema
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rig import free_port, parse, wait_until
from terminals import shown
from test_layers import FILES, imports
from test_layers import ROOT as PACKAGE
from test_status import SCHEMA

from gpuwatch.agent.cycle import Cycle, Moment
from gpuwatch.agent.settings import Settings
from gpuwatch.cli import command
from gpuwatch.cli.fetch import fetch
from gpuwatch.demo import events
from gpuwatch.demo.cast import GPUS, MARK, MEMORY_BYTES, PEOPLE, node_name
from gpuwatch.demo.machine import simulated_machine
from gpuwatch.demo.meters import BUSY_WATTS, CONTEXT_WATTS, IDLE_WATTS
from gpuwatch.demo.past import PAST_SECONDS, play_past
from gpuwatch.demo.script import jobs_between, jobs_on, turns
from gpuwatch.demo.shape import Bursts, Shape, Wave
from gpuwatch.errors import StateError, UsageError
from gpuwatch.model import Snapshot
from gpuwatch.state.file import FILE_NAME
from gpuwatch.state.saved import Saved
from gpuwatch.state.store import Store
from gpuwatch.units import DAY, HOUR, MINUTE

NOON = datetime(2026, 11, 19, 12, 0, 20, tzinfo=UTC).timestamp()
"""Of a Thursday: the GPU that is lost on Wednesday and the one that is serviced on Thursday are behind it."""
SECONDS = 28.0 * HOUR
BOOT_UNIX = NOON - 1000.0
MOMENTS = st.floats(NOON - 400 * DAY, NOON + 400 * DAY)
SHAPES: Sequence[Shape] = (
    Wave(0.5, 0.4, 7.0, 1.3),
    Wave(0.2, 0.1, DAY, 14 * HOUR),
    Bursts(0.7, 30, 90, begins=NOON),
    Bursts(0.9, 20, 180, begins=NOON - HOUR, ends=NOON + HOUR),
)


def device_busy(gpu: int, start: float, end: float) -> float:
    """The script's truth."""
    return sum(job.busy(gpu, start, end) for job in jobs_on(gpu, start, end))


def device_joules(gpu: int, start: float, end: float) -> float:
    drawn = (
        CONTEXT_WATTS * j.held(start, end) + BUSY_WATTS * j.busy(gpu, start, end) for j in jobs_on(gpu, start, end)
    )
    return IDLE_WATTS * (end - start) + sum(drawn)


def settings_in(directory: Path) -> Settings:
    return Settings(node=MARK, state_directory=directory)


def load(store: Store, unix: float) -> Saved:
    return store.load(unix=unix, boot_id="a look", boot_unix=BOOT_UNIX, run_seconds=40 * DAY)


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state with the time before noon in it."""
    directory = tmp_path_factory.mktemp("past")
    play_past(settings_in(directory), until_unix=NOON, seconds=SECONDS)
    return directory


@pytest.fixture(scope="module")
def saved(past: Path) -> Saved:
    with closing(Store(past, unix=NOON, simulated=True)) as store:
        return load(store, NOON)


# The script


@given(st.sampled_from(SHAPES), st.floats(0, 3 * DAY), st.floats(0, 3 * DAY), st.floats(-DAY, DAY))
def test_a_shape_is_an_integral(shape: Shape, first: float, second: float, offset: float) -> None:
    start, middle, end = NOON + offset, NOON + offset + first, NOON + offset + first + second
    assert shape.busy(start, end) == pytest.approx(shape.busy(start, middle) + shape.busy(middle, end), abs=1e-4)
    assert -1e-6 <= shape.busy(start, middle) <= (middle - start) + 1e-6


@given(MOMENTS, st.floats(1, HOUR))
def test_the_script_asks_nothing_impossible_of_a_gpu(start: float, seconds: float) -> None:
    for gpu in range(len(GPUS)):
        assert device_busy(gpu, start, start + seconds) <= seconds + 1e-6
        holders = [job for job in jobs_on(gpu, start, start + 0.001) if job.holds(start)]
        assert sum(job.memory_bytes for job in holders) < MEMORY_BYTES
        assert len(holders) <= (2 if gpu == 6 else 1)
        assert not (holders and events.is_lost(gpu, start))
        assert not (holders and (events.serviced(start) or (None,))[0] == gpu)


@given(MOMENTS)
def test_processes_have_pids_of_their_own(at: float) -> None:
    jobs = [job for job in jobs_between(at - 7 * DAY, at) if job.holds(at)]
    pids = [pid for job in jobs for pid in {job.pid, job.root_pid, *map(job.pid_on, job.gpus)}]
    assert len(pids) == len(set(pids))


@given(MOMENTS)
def test_there_is_always_something_to_see(at: float) -> None:
    held = {gpu for gpu in range(len(GPUS)) if any(job.holds(at) for job in jobs_on(gpu, at - 1, at))}
    assert 1 <= len(held) <= len(GPUS)
    edges = [at, *turns(at, at + 11 * MINUTE), at + 11 * MINUTE]
    assert max(after - before for before, after in pairwise(edges)) <= 8 * MINUTE


def test_a_week_has_it_all() -> None:
    jobs = jobs_between(NOON - PAST_SECONDS, NOON)
    assert {job.person for job in jobs} == set(PEOPLE)
    names = [job.tracked.name for job in jobs if job.tracked]
    assert len(names) == len(set(names)) >= 12
    for gpu, least, most in ((0, 0.9, 0.96), (1, 0.58, 0.64), (4, 0.56, 0.62), (6, 0.3, 0.45)):
        held = sum(job.held(NOON - PAST_SECONDS, NOON) for job in jobs if gpu in job.gpus) / (2 if gpu == 6 else 1)
        assert least <= device_busy(gpu, NOON - PAST_SECONDS, NOON) / held <= most
    notebook = next(job for job in jobs if 5 in job.gpus)
    assert notebook.busy(5, notebook.start + HOUR, notebook.end) == 0 < notebook.busy(5, notebook.start, notebook.end)


# The past, through the agent's own cycle


def test_the_states_of_a_device_sum_to_the_time(saved: Saved) -> None:
    for gpu, info in enumerate(GPUS):
        states = saved.devices[info.uuid].use.states
        assert sum(states) == pytest.approx(SECONDS, abs=0.01)
        assert states.unknown == pytest.approx(events.LOST_UNTIL - events.LOST_FROM if gpu == 3 else 0.0, abs=0.01)
        assert states.unavailable == pytest.approx(1.5 * HOUR if gpu == 5 else 0.0, abs=0.01)


def test_devices_are_as_busy_as_the_script_says(saved: Saved) -> None:
    for gpu, info in enumerate(GPUS):
        use = saved.devices[info.uuid].use
        assert use.busy == pytest.approx(device_busy(gpu, NOON - SECONDS, NOON), rel=1e-6)
        assert use.states.active == pytest.approx(use.busy)
        assert use.unattributed_busy == pytest.approx(0.0, abs=1e-6)
        assert use.joules == pytest.approx(device_joules(gpu, NOON - SECONDS, NOON), rel=1e-6)


def test_people_are_charged_what_the_devices_did(saved: Saved) -> None:
    devices = [device.use for device in saved.devices.values()]
    people = [roll_up.use for roll_up in saved.people.values()]
    assert {user for user, _ in saved.people} == {person.name for person in PEOPLE}
    assert sum(use.busy for use in people) == pytest.approx(sum(use.busy for use in devices))
    assert sum(use.held for use in people) == pytest.approx(sum(use.states.active + use.states.idle for use in devices))
    assert sum(use.joules for use in people) == pytest.approx(
        sum(use.joules - use.unattributed_joules for use in devices)
    )


def test_runs_are_recognised_and_charged_as_the_script_says(saved: Saved) -> None:
    tracked = {f"wandb:{job.tracked.id}": job for job in jobs_between(NOON - SECONDS, NOON) if job.tracked}
    runs = {owner.run: total for (uuid, owner), total in saved.runs.items() if uuid == GPUS[0].uuid}
    assert runs.keys() == tracked.keys()
    for run, job in tracked.items():
        assert runs[run].use.held == pytest.approx(job.held(NOON - SECONDS, NOON), abs=0.01)
        assert runs[run].use.busy == pytest.approx(job.busy(0, NOON - SECONDS, NOON), rel=1e-6)
        assert runs[run].memory_peak_bytes == job.memory_bytes
        assert runs[run].sm_active == pytest.approx(runs[run].use.busy * job.sm_activity, rel=0.01)
    details = {run.owner.run: run for run in saved.details.values()}
    newest = max(tracked, key=lambda run: tracked[run].start)
    assert (details[newest].source, details[newest].owner.project) == ("wandb", "vision")
    assert details[newest].url == f"https://wandb.example/lab/vision/runs/{newest.removeprefix('wandb:')}"
    others = {run.partition("-")[0] for run in details if run not in tracked}
    assert others > {"adhoc:pretrain.py", "adhoc:jupyter", "adhoc:serve.py", "adhoc:evaluate.py"}


def test_each_minute_has_its_own_charges(past: Path) -> None:
    with closing(sqlite3.connect(past / FILE_NAME)) as state:
        bins = state.execute(
            "SELECT b.start, d.gpu, b.busy, b.active + b.idle + b.free + b.unavailable"
            " FROM device_minute b JOIN device d ON d.id = b.device"
        ).fetchall()
        (total,) = state.execute("SELECT sum(busy_mark) FROM device").fetchone()
        (excess,) = state.execute(
            "SELECT max(held) FROM (SELECT sum(held) AS held FROM charge_minute GROUP BY start, device)"
        ).fetchone()
    assert sum(busy for _, _, busy, _ in bins) == pytest.approx(total)
    for start, gpu, busy, seen in bins:
        first = max(start, NOON - SECONDS)
        assert busy == pytest.approx(device_busy(gpu, first, start + MINUTE), abs=0.001)
        assert seen <= MINUTE + 0.01
    assert excess <= MINUTE + 0.01


def test_a_kept_state_goes_on_as_if_nothing_had_been_missed(past: Path, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes((past / FILE_NAME).read_bytes())
    (tmp_path / MARK).write_bytes((past / MARK).read_bytes())
    with closing(Store(tmp_path, unix=NOON, simulated=True)) as store:
        load(store, NOON)  # as the agent does, in the boot of now
    play_past(settings_in(tmp_path), until_unix=NOON + HOUR)
    with closing(Store(tmp_path, unix=NOON + HOUR, simulated=True)) as store:
        after = load(store, NOON + HOUR)
    for gpu, info in enumerate(GPUS):
        use = after.devices[info.uuid].use
        assert sum(use.states) == pytest.approx(SECONDS + HOUR, abs=0.01)
        assert use.busy == pytest.approx(device_busy(gpu, NOON - SECONDS, NOON + HOUR), rel=1e-6)
    # The energy of a card begins anew with each driver: over one step it is power by time.
    assert after.devices[GPUS[0].uuid].use.joules == pytest.approx(
        device_joules(0, NOON - SECONDS, NOON + HOUR), rel=1e-3
    )


# What is shown from then on


@contextmanager
def going_on(past: Path, directory: Path) -> Iterator[Cycle]:
    """The agent's cycle on the simulated machine, from noon on."""
    (directory / FILE_NAME).write_bytes((past / FILE_NAME).read_bytes())
    (directory / MARK).write_bytes((past / MARK).read_bytes())
    with closing(Store(directory, unix=NOON, simulated=True)) as store:
        saved = store.load(unix=NOON, boot_id="now", boot_unix=BOOT_UNIX, run_seconds=600)
        now = Moment(NOON - BOOT_UNIX, NOON)
        yield Cycle(settings_in(directory), simulated_machine(BOOT_UNIX), store, saved, now)


def run_until(cycle: Cycle, start: float, end: float) -> Snapshot:
    """A reading a second."""
    for second in range(1, int(end - start) + 1):
        snapshot = cycle.run(Moment(start + second - BOOT_UNIX, start + second))
    return snapshot


def test_the_agent_goes_on_exactly(past: Path, saved: Saved, tmp_path: Path) -> None:
    with going_on(past, tmp_path) as cycle:
        snapshot = run_until(cycle, NOON, NOON + 4 * MINUTE)
    assert snapshot.persisted
    for gpu, view in enumerate(snapshot.devices):
        before, after = saved.devices[view.info.uuid].use, view.use
        assert view.reading is not None
        until = view.reading.pieces[-1].end + BOOT_UNIX
        assert NOON + 4 * MINUTE - until < 0.2
        assert len(view.reading.pieces) == 6
        assert sum(after.states) - sum(before.states) == pytest.approx(until - NOON, abs=0.01)
        assert after.busy - before.busy == pytest.approx(device_busy(gpu, NOON, until), abs=0.01)
        assert after.states.unknown == before.states.unknown
        assert after.joules - before.joules == pytest.approx(device_joules(gpu, NOON, until), rel=0.02)
    assert all(snapshot.sensors[name].up for name in ("gpu", "processes", "host", "runs"))


def test_a_reading_is_of_one_piece(past: Path, tmp_path: Path) -> None:
    with going_on(past, tmp_path) as cycle:
        first, snapshot = run_until(cycle, NOON, NOON + 20), run_until(cycle, NOON + 20, NOON + 90)
    for view in snapshot.devices:
        assert MARK in view.info.model
        assert view.reading is not None
        condition, power = view.reading.condition, view.reading.power_watts
        assert condition.activity is not None
        assert condition.activity.sm is not None
        assert 0 <= condition.activity.sm <= 1
        assert condition.memory_used_bytes is not None
        assert sum(filter(None, (view.reading.processes or {}).values())) < condition.memory_used_bytes < MEMORY_BYTES
        assert power is not None
        assert IDLE_WATTS <= power < 700
        assert condition.temperature_celsius is not None
        assert 25 <= condition.temperature_celsius < 80
        assert (power > 400) == (view.info.index in (0, 1, 2, 3, 4)) or view.info.index in (6, 7)
    assert first.host is not None
    assert snapshot.host is not None
    assert all(snapshot.host.cpu_seconds[mode] > seconds for mode, seconds in first.host.cpu_seconds.items())
    assert snapshot.memory_bytes.keys() == {owner for _, owner in snapshot.holding}


def test_a_lost_gpu_is_told(past: Path, tmp_path: Path) -> None:
    lost_unix = NOON - NOON % DAY - DAY + events.LOST_FROM
    with closing(Store(tmp_path, unix=lost_unix, simulated=True)) as store:
        saved = store.load(unix=lost_unix, boot_id="now", boot_unix=lost_unix - 99, run_seconds=600)
        now = Moment(98.0, lost_unix - 1)
        cycle = Cycle(settings_in(tmp_path), simulated_machine(lost_unix - 99), store, saved, now)
        assert all(view.reading is not None for view in cycle.run(now).devices)
        lost = cycle.run(Moment(101.0, lost_unix + 2)).devices[3]
    assert lost.reading is None
    assert lost.problem == "GPU 3 has fallen off the bus (simulated)"


# Apart from everything real


def test_real_and_simulated_totals_never_meet(past: Path, tmp_path: Path) -> None:
    with pytest.raises(StateError, match="are simulated, by `gpuwatch demo`: name another --state-dir"):
        Store(past, unix=NOON)
    Store(tmp_path, unix=NOON).close()
    before = (tmp_path / FILE_NAME).read_bytes()
    with pytest.raises(StateError, match="are real, and not for a demo: name another --state-dir, or none"):
        play_past(settings_in(tmp_path), until_unix=NOON, seconds=HOUR)
    assert (tmp_path / FILE_NAME).read_bytes() == before
    Store(tmp_path, unix=NOON).close()


def test_only_the_command_imports_the_demo() -> None:
    importers = {
        path.as_posix() for path in FILES for name in imports(PACKAGE / path) if name.startswith("gpuwatch.demo.")
    }
    assert {path for path in importers if not path.startswith("demo/")} == {"cli/demo.py"}


def test_the_node_is_always_marked() -> None:
    assert node_name(None) == "SIMULATED"
    assert node_name("n7") == "n7 (SIMULATED)"


def test_a_port_in_use_is_told_before_anything_is_played() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        result = CliRunner().invoke(command, ["demo", "--listen", f"127.0.0.1:{server.getsockname()[1]}"])
    assert isinstance(result.exception, UsageError)
    assert "cannot listen on" in str(result.exception)
    assert "--listen" in str(result.exception)


def test_a_wrong_flag_is_told() -> None:
    result = CliRunner().invoke(command, ["demo", "--interval", "60"])
    assert isinstance(result.exception, UsageError)
    assert str(result.exception).startswith("--interval is")


def test_the_demo_from_start_to_end(tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    (tmp_path / "tmp").mkdir()
    arguments = [sys.executable, "-m", "gpuwatch", "demo", "--listen", f"127.0.0.1:{port}", "--node", "n7"]
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp"), "GPUWATCH_NODE": "real"}
    with log.open("wb") as out, subprocess.Popen(arguments, env=environment, stdout=out, stderr=out) as demo:
        try:
            wait_until(partial(_answers, port), seconds=120, what=f"the demo; its log: {log}")
            index, health, metrics = (get(port, path) for path in ("/", "/healthz", "/metrics"))
            document = fetch(f"127.0.0.1:{port}")
            demo.send_signal(signal.SIGINT)
            assert demo.wait(timeout=30) == 0
        finally:
            demo.kill()
    assert re.search(r"<title>SIMULATED: .*<strong>SIMULATED</strong>", index, re.DOTALL)
    assert "SIMULATED" in health
    samples = parse(metrics)
    assert all(("node", "n7 (SIMULATED)") in labels for _, labels in samples)
    assert document is not None
    jsonschema.validate(document, SCHEMA)
    assert document["simulated"] is True
    assert shown(document).startswith("n7 (SIMULATED)  (simulated: nothing here is real)  8 GPUs: ")
    for gpu in document["gpus"]:
        assert sum(gpu["state_seconds"].values()) >= PAST_SECONDS - 1
    lines = log.read_text(encoding="utf-8").splitlines()
    assert "SIMULATED" in lines[0]
    assert f"look at http://127.0.0.1:{port}/" in lines[-1]
    assert list((tmp_path / "tmp").iterdir()) == []


def get(port: int, path: str) -> str:
    with urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        body: bytes = answer.read()
    return body.decode()


def _answers(port: int) -> bool:
    try:
        return bool(json.loads(get(port, "/api/v1/status")))
    except OSError:
        return False
