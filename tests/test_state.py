"""The state file: what survives, what is set aside, what is rolled up, and what a disk that refuses costs."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from gpuwatch.errors import DiskRefused, StateError
from gpuwatch.model import (
    Changes,
    Count,
    CountKey,
    DeviceUse,
    GpuInfo,
    Identity,
    Mark,
    Owner,
    RollUp,
    Run,
    RunTotal,
    States,
    Use,
)  # fmt: skip
from gpuwatch.state import migrations
from gpuwatch.state.bins import HOURS_KEPT_SECONDS, MINUTES_KEPT_SECONDS
from gpuwatch.state.file import FILE_NAME
from gpuwatch.state.saved import Saved
from gpuwatch.state.store import RECALL_SECONDS, Store
from gpuwatch.units import DAY, HOUR, MINUTE

T0 = 1_790_000_040.0  # a whole minute
ANN = Owner("ann", "p", "r1")
INFO = GpuInfo("GPU-0", 0, "H100", "0000:01:00.0")
RUN = Run(ANN, Identity(7, 700), 1234.5, "adhoc", "train.py")


def changes(seconds: float, *, owner: Owner = ANN, unix: float = T0) -> Changes:
    """Totals of a device that one owner has held for `seconds`, half of it busy."""
    use = Use(seconds, seconds / 2, seconds * 100)
    device = DeviceUse(use.busy, use.joules, 0.0, 0.0, States(active=use.busy, idle=use.busy, unknown=3.0))
    return Changes(
        devices={"GPU-0": device},
        marks={"GPU-0": Mark(seconds, seconds + 0.5, 77.0, 0.0)},
        counts={"GPU-0": {CountKey("ecc", "corrected"): Count(seconds, seconds + 3)}},
        runs={("GPU-0", owner): RunTotal(use, 9, unix)},
        people={(owner.user, owner.project): RollUp(use, unix, T0 + 60)},
        cpu_seconds={owner: 5.0},
        details={owner: replace(RUN, owner=owner)},
    )


def commit(store: Store, seconds: float, *, unix: float = T0, owner: Owner = ANN) -> None:
    store.commit(changes(seconds, unix=unix, owner=owner), {"GPU-0": INFO}, unix=unix)


def load(store: Store, *, unix: float = T0, boot_id: str = "boot-a", boot_unix: float = 100.0) -> Saved:
    return store.load(unix=unix, boot_id=boot_id, boot_unix=boot_unix, run_seconds=600.0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path, unix=T0)
    load(store)
    yield store
    store.close()


def again(store: Store) -> Store:
    """The same directory, opened anew."""
    store.close()
    return Store(store.directory, unix=T0)


def query(store: Store, sql: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(store.directory / FILE_NAME) as connection:
        return connection.execute(sql).fetchall()


def test_everything_comes_back(store: Store) -> None:
    commit(store, 10.0)
    expected = changes(10.0)
    store = again(store)
    saved = load(store)
    store.close()
    device = saved.devices["GPU-0"]
    assert (device.info, device.use, device.mark) == (INFO, expected.devices["GPU-0"], expected.marks["GPU-0"])
    assert saved.runs == expected.runs
    assert saved.people == expected.people
    assert saved.cpu_seconds == expected.cpu_seconds
    assert saved.details == expected.details


def test_a_mark_holds_no_longer_than_its_boot(store: Store) -> None:
    commit(store, 10.0)
    saved = load(store, boot_id="boot-b", boot_unix=900.0)
    assert saved.devices["GPU-0"].mark is None
    assert saved.devices["GPU-0"].use.busy == 5.0
    assert saved.boot_unix == 900.0
    again = load(store, boot_id="boot-b", boot_unix=900.0)  # that agent was killed before its first commit
    assert again.devices["GPU-0"].mark is None


def test_the_time_of_boot_is_written_down_once(store: Store) -> None:
    assert load(store, boot_unix=101.0).boot_unix == 100.0


def test_only_recent_runs_are_loaded_and_others_recalled(store: Store) -> None:
    commit(store, 10.0)
    assert load(store, unix=T0 + 601).runs == {}
    totals, cpu_seconds = store.recall(ANN, unix=T0 + RECALL_SECONDS)
    assert totals == {"GPU-0": RunTotal(Use(10.0, 5.0, 1000.0), 9, T0)}
    assert cpu_seconds == 5.0
    assert store.recall(ANN, unix=T0 + RECALL_SECONDS + 1) == ({}, 0.0)
    assert store.recall(Owner("eve", "", "r"), unix=T0) == ({}, 0.0)


def test_a_minutes_charges_are_what_the_totals_grew_by(store: Store) -> None:
    for second in range(0, 181, 20):
        commit(store, float(second), unix=T0 + second)
    rows = query(store, "SELECT start, held, busy, joules FROM charge_minute ORDER BY start")
    assert rows == [(T0, 40.0, 20.0, 4000.0), (T0 + 60, 60.0, 30.0, 6000.0), (T0 + 120, 60.0, 30.0, 6000.0)]
    devices = query(store, "SELECT start, active, idle, free FROM device_minute ORDER BY start")
    assert devices[1] == (T0 + 60, 30.0, 30.0, 0.0)


def test_no_charge_is_lost_or_doubled_by_a_restart(store: Store) -> None:
    commit(store, 5.0, unix=T0)
    store = again(store)
    load(store)
    commit(store, 12.0, unix=T0 + 20)
    store = again(store)
    load(store, unix=T0 + 7200)
    commit(store, 20.0, unix=T0 + 7200)
    commit(store, 21.0, unix=T0 + 7260)
    store.close()
    rows = query(store, "SELECT start, held FROM charge_minute ORDER BY start")
    assert rows == [(T0, 12.0), (T0 + 7200, 8.0)]


def test_old_minutes_move_to_hours_and_old_hours_to_days(store: Store) -> None:
    for minute in range(0, 181):
        commit(store, minute * 10.0, unix=T0 + minute * MINUTE)
    held = query(store, "SELECT sum(held) FROM charge_minute")[0][0]
    store.tidy(unix=T0 + MINUTES_KEPT_SECONDS + DAY)
    assert query(store, "SELECT count(*) FROM charge_minute") == [(0,)]
    assert query(store, "SELECT sum(held), min(start % 3600) FROM charge_hour") == [(held, 0)]
    store.tidy(unix=T0 + HOURS_KEPT_SECONDS + 2 * DAY)
    assert query(store, "SELECT count(*) FROM charge_hour") == [(0,)]
    assert query(store, "SELECT sum(held), min(start % 86400) FROM charge_day") == [(held, 0)]
    assert query(store, "SELECT sum(active + idle) FROM device_day") == [(held,)]


def test_totals_that_nobody_can_come_back_to_are_dropped(store: Store) -> None:
    commit(store, 10.0)
    store.tidy(unix=T0 + RECALL_SECONDS + HOUR)
    assert query(store, "SELECT count(*) FROM run_total") == [(0,)]
    commit(store, 1.0, unix=T0 + RECALL_SECONDS + HOUR)
    assert query(store, "SELECT held FROM run_total") == [(1.0,)]


def test_a_second_agent_is_refused_by_name(store: Store) -> None:
    with pytest.raises(StateError, match=rf"another agent \(pid {os.getpid()}\).*--state-dir"):
        Store(store.directory, unix=T0)


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match=r"cannot use the state directory .*--state-dir"):
        Store(tmp_path / "file" / "state", unix=T0)


@pytest.mark.parametrize("damage", [b"not a database at all" * 99, b""], ids=["foreign", "torn"])
def test_a_damaged_file_is_set_aside_and_kept(store: Store, damage: bytes) -> None:
    commit(store, 10.0)
    store.close()
    path = store.directory / FILE_NAME
    content = damage or path.read_bytes()[:100] + b"\xff" * 8000
    path.write_bytes(content)
    fresh = Store(store.directory, unix=T0)
    assert fresh.set_aside is not None
    assert fresh.set_aside.read_bytes() == content
    assert load(fresh).devices == {}
    fresh.close()
    path.write_bytes(content)
    second = Store(store.directory, unix=T0)
    assert second.set_aside not in (None, fresh.set_aside)
    assert fresh.set_aside.read_bytes() == content
    second.close()


def test_a_newer_state_is_refused_and_left_alone(store: Store) -> None:
    store.close()
    with sqlite3.connect(store.directory / FILE_NAME) as connection:
        connection.execute("INSERT INTO migration VALUES ('9999-later', 0)")
    before = (store.directory / FILE_NAME).read_bytes()
    with pytest.raises(StateError, match=r"newer gpuwatch .*9999-later"):
        Store(store.directory, unix=T0)
    assert (store.directory / FILE_NAME).read_bytes() == before


def test_a_migration_happens_wholly_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(tmp_path, unix=T0).close()
    broken = ("0002-broken", "CREATE TABLE half (x); CREATE TABLE device (x);")
    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, broken))
    with pytest.raises(StateError, match="0002-broken"):
        Store(tmp_path, unix=T0)
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    assert "device" in tables
    assert "half" not in tables


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file can grow beyond `size` bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_disk_that_refuses_loses_nothing_once_it_takes_again(store: Store) -> None:
    commit(store, 10.0)
    with (
        full_disk((store.directory / f"{FILE_NAME}-wal").stat().st_size),
        pytest.raises(DiskRefused, match="cannot write"),
    ):
        commit(store, 11.0, owner=Owner("ben", "", "r2"))
    commit(store, 99.0)
    commit(store, 12.0, owner=Owner("ben", "", "r2"))
    rows = query(store, "SELECT run, held FROM run_total t JOIN owner o ON o.id = t.owner ORDER BY run")
    assert rows == [("r1", 99.0), ("r2", 12.0)]


def test_a_disk_that_refuses_at_the_start_is_told_apart(tmp_path: Path) -> None:
    with full_disk(0), pytest.raises(DiskRefused, match="cannot open the state file"):
        Store(tmp_path, unix=T0)
    Store(tmp_path, unix=T0).close()


def test_a_device_that_is_not_read_was_not_used(store: Store) -> None:
    commit(store, 10.0)
    missed = changes(10.0)
    missed.marks["GPU-0"] = missed.marks["GPU-0"]._replace(unseen=60.0)  # type: ignore[index]
    store.commit(missed, {"GPU-0": INFO}, unix=T0 + 60)
    assert load(store).devices["GPU-0"].used_unix == T0


def test_what_a_device_is_can_change(store: Store) -> None:
    commit(store, 10.0)
    made_anew = replace(INFO, index=2, model="H100 MIG 1g.10gb", pci="0000:02:00.0", mig=3, capacity=1 / 7)
    store.commit(changes(11.0), {"GPU-0": made_anew}, unix=T0)
    assert load(store).devices["GPU-0"].info == made_anew


def test_a_device_that_was_taken_out_is_so_for_good(store: Store) -> None:
    commit(store, 10.0)
    store.commit(changes(11.0)._replace(marks={}), {"GPU-0": INFO}, unix=T0)
    device = load(store, boot_id="boot-b").devices["GPU-0"]
    assert (device.taken_out, device.mark, device.use.busy) == (True, None, 5.5)
    commit(store, 12.0)
    assert not load(store).devices["GPU-0"].taken_out


def test_a_kill_in_the_middle_of_a_commit_keeps_the_file_whole(tmp_path: Path) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[2]); from pathlib import Path; import test_state as t\n"
        "store = t.Store(Path(sys.argv[1]), unix=t.T0); t.load(store); n = 0\n"
        "while True:\n    n += 1\n    t.commit(store, float(n), unix=t.T0 + n)\n    print(n, flush=True)"
    )
    command = [sys.executable, "-c", program, str(tmp_path), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        for _ in range(50):
            last = int(writer.stdout.readline())
        writer.kill()
        last = max([last, *map(int, writer.stdout.read().split())])
    store = Store(tmp_path, unix=T0)
    saved = load(store, unix=T0 + last)
    store.close()
    assert saved.runs["GPU-0", ANN].use.held >= last, "what was announced as committed is there"
