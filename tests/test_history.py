"""The record of a node as reports see it: its sums and their laws, its runs, and what cannot be read."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuwatch.errors import StateError
from gpuwatch.model import Changes, DeviceUse, GpuInfo, Identity, Mark, Owner, Run, RunTotal, States, Use
from gpuwatch.model.history import Bin, Fleet, Source, Usage, Window, WorstRun
from gpuwatch.state import migrations, raw
from gpuwatch.state.bins import HOURS_KEPT_SECONDS, MINUTES_KEPT_SECONDS
from gpuwatch.state.file import FILE_NAME
from gpuwatch.state.history import History, open_history
from gpuwatch.state.store import RECALL_SECONDS, Store
from gpuwatch.units import DAY, HOUR, MINUTE

T0 = 1_790_035_200  # a midnight of UTC
END_OF_MINUTE = MINUTE - 0.001
ANN = Owner("ann", "vision", "wandb:r1")
ANN_TOO = Owner("ann", "", "adhoc:eval.py-k3@n7")
BEN = Owner("ben", "vision", "slurm:4711")
SHORT = Owner("ben", "", "short")
OWNERS = (ANN, ANN_TOO, BEN, SHORT)
WHOLE = GpuInfo("GPU-0", 0, "H100", "0000:01:00.0", memory_bytes=80 << 30)
SLICE = GpuInfo("MIG-1", 1, "H100 MIG 1g.10gb", "0000:02:00.0", mig=3, capacity=1 / 7)
INFOS = {info.uuid: info for info in (WHOLE, SLICE)}
RUNS = {
    ANN: Run(ANN, Identity(7, 700), T0 + 5.0, "wandb", "bert", "training", url="https://wandb.example/r1"),
    ANN_TOO: Run(ANN_TOO, Identity(8, 800), T0 + 6.0, "adhoc", "eval.py"),
    BEN: Run(BEN, Identity(9, 900), T0 + 7.0, "slurm", "bert", "service", batch_job="4711"),
}
NOTHING = Usage()


class Piece(NamedTuple):
    """What happens on a device in one minute; the rest of it is unknown."""

    minute: int
    uuid: str
    charges: dict[Owner, Use]
    free: float = 0.0
    unavailable: float = 0.0


class Scribe:
    """Writes a record as an agent does: what happens in a minute is committed at its end."""

    def __init__(self, directory: Path, *, infos: Sequence[GpuInfo] = (WHOLE, SLICE)) -> None:
        self.store = Store(directory, unix=T0, simulated=True)
        self.store.note_node("n7")
        self.devices = {info.uuid: DeviceUse() for info in infos}
        self.runs: dict[tuple[str, Owner], RunTotal] = {}
        self.cpu: dict[Owner, float] = {}
        self.commit(T0)

    def commit(self, unix: float, *, taken_out: bool = False) -> None:
        """Save all totals, as of `unix`."""
        marks = {} if taken_out else {uuid: Mark(unix, unix, None) for uuid in self.devices}
        owners = {owner for _, owner in self.runs}
        details = {owner: run for owner, run in RUNS.items() if owner in owners}
        changes = Changes(self.devices, marks, {}, self.runs, {}, self.cpu, details)
        self.store.commit(changes, INFOS, unix=unix)

    def write(self, pieces: Sequence[Piece]) -> None:
        """Pieces of the record, of which those of one minute follow each other."""
        for piece in pieces:
            self._enter(piece)
            self.commit(T0 + piece.minute * MINUTE + END_OF_MINUTE)

    def _enter(self, piece: Piece) -> None:
        unix = T0 + piece.minute * MINUTE + END_OF_MINUTE
        held, busy, joules = (sum(use[part] for use in piece.charges.values()) for part in range(3))
        states = States(busy, held - busy, piece.free, piece.unavailable, MINUTE - held - piece.free)
        self.devices[piece.uuid] = self.devices[piece.uuid].plus(DeviceUse(busy + 1.0, joules + 5, 1.0, 5.0, states))
        for owner, use in piece.charges.items():
            total = self.runs.get((piece.uuid, owner), RunTotal())
            sm_active = total.sm_active + (use.busy / 2 if piece.uuid == "GPU-0" else 0.0)
            self.runs[piece.uuid, owner] = RunTotal(total.use.plus(use), 11 << 30, unix, sm_active)
            self.cpu[owner] = self.cpu.get(owner, 0.0) + 30.0


def look(directory: Path, now: float = T0) -> History:
    return open_history(directory, node="elsewhere", now_unix=now)


def hours(start: float, end: float) -> Window:
    return Window(T0 + start * HOUR, T0 + end * HOUR)


def near(value: float) -> Any:
    return pytest.approx(value, rel=1e-9, abs=0.005)


@pytest.fixture
def scribe(tmp_path: Path) -> Iterator[Scribe]:
    scribe = Scribe(tmp_path)
    yield scribe
    scribe.store.close()


@pytest.fixture
def history(scribe: Scribe, tmp_path: Path) -> Iterator[History]:
    """Two minutes, and one that is still open: of a whole GPU and of a seventh of one."""
    scribe.write(
        [
            Piece(0, "GPU-0", {ANN: Use(60.0, 45.0, 6000.0)}),
            Piece(0, "MIG-1", {BEN: Use(35.0, 7.0, 100.0)}, free=21.0),
            Piece(1, "GPU-0", {ANN: Use(30.0, 20.0, 3000.0), ANN_TOO: Use(20.0, 20.0, 2000.0), SHORT: Use(10.0)}),
            Piece(2, "GPU-0", {ANN: Use(10.0, 5.0, 1000.0)}, free=10.0, unavailable=40.0),
        ]
    )
    with look(tmp_path, T0 + 3 * MINUTE) as history:
        yield history


# What it adds up to


def test_use_is_divided_by_any_keys_in_seconds_of_whole_gpus(history: History) -> None:
    source: Source = history
    by_user = source.usage(hours(0, 1), ["user"], {})
    assert by_user == {
        ("ann",): Usage(near(120.0), near(90.0), near(12000.0), near(45.0), 2),
        ("ben",): Usage(near(15.0), near(1.0), near(100.0), 0.0, 1),  # of GPU-0, on which he did nothing
    }
    by_gpu = source.usage(hours(0, 1), ["node", "gpu", "kind"], {})
    assert by_gpu["n7", "n7/1:3", "service"].held == near(5.0)
    assert by_gpu["n7", "n7/0", ""].held == near(30.0)
    assert source.usage(hours(0, 1), [], {})[()].runs == 3


def test_a_filter_takes_any_of_its_values_and_nothing_is_a_value_too(history: History) -> None:
    assert set(history.usage(hours(0, 1), ["user", "project"], {"project": [""]})) == {("ann", ""), ("ben", "")}
    assert set(history.usage(hours(0, 1), ["run"], {"user": ["ann"], "model": ["H100", "A100"]})) == {
        ("wandb:r1",),
        ("adhoc:eval.py-k3@n7",),
    }
    assert history.usage(hours(0, 1), [], {"node": ["n8"]}) == {(): NOTHING}
    assert history.usage(hours(0, 1), ["user"], {"run": ["r1"]}) == {}
    hostile = ["'; DROP TABLE owner; --", "\udcff", "\0"]
    assert history.usage(hours(0, 1), ["user"], {"user": hostile}) == {}
    assert history.usage(hours(0, 1), ["user"], {"user": []}) == {}


def test_a_bin_is_of_the_window_in_which_it_begins(history: History) -> None:
    def held(start: float, end: float) -> float:
        return history.usage(Window(T0 + start, T0 + end), [], {"gpu": ["n7/0"]})[()].held

    assert held(0, 60) == near(60.0)
    assert held(0.5, 60.5) == near(60.0)
    assert held(120, 121) == near(10.0), "the minute that is still open"
    assert held(121, 180) == 0.0


def test_what_became_of_all_time_adds_up_to_what_was_there(history: History) -> None:
    fleet = history.fleet(Window(T0, T0 + 3 * MINUTE), ["gpu"], {})
    assert fleet["n7/0",] == Fleet(
        active=near(90.0), idle=near(40.0), free=near(10.0), unavailable=near(40.0), unknown=near(0.0),
        joules=near(12015.0), unattributed_busy=near(3.0),
    )  # fmt: skip
    assert fleet["n7/1:3",].capacity == near(180 / 7)
    assert fleet["n7/1:3",].unknown == near((4 + 120) / 7)
    assert history.fleet(hours(0, 1), ["model"], {"gpu": ["n7/0"]}).keys() == {("H100",)}


def test_time_without_an_agent_is_unknown_up_to_now(scribe: Scribe, tmp_path: Path) -> None:
    scribe.write([Piece(0, "GPU-0", {}, free=60.0)])

    def unknown(now: float) -> float:
        with look(tmp_path, T0 + now) as history:
            return history.fleet(Window(T0, T0 + 30 * DAY), [], {"gpu": ["n7/0"]})[()].unknown

    assert unknown(119.0) == near(0.0), "the second that runs is not unknown as long as there is an agent"
    assert unknown(3660.0) == near(3600.0)
    assert unknown(7 * DAY) == near(7 * DAY - 60)
    assert unknown(7 * DAY + 60) == near(0.0), "it was taken out when it was last seen"


def test_no_time_passes_for_a_device_that_is_not_there(scribe: Scribe, tmp_path: Path) -> None:
    scribe.write([Piece(0, "GPU-0", {}, free=60.0)])
    scribe.commit(T0 + HOUR, taken_out=True)
    with look(tmp_path, T0 + HOUR) as history:
        assert history.fleet(hours(0, 1), [], {"gpu": ["n7/0"]})[()].capacity == near(60.0)
        assert history.fleet(hours(0.5, 1), ["gpu"], {}) == {}
        assert history.fleet(hours(-9, 0), ["gpu"], {}) == {}
        assert history.fleet(hours(-9, 0), [], {}) == {(): Fleet()}


def test_the_worst_run_is_the_one_with_the_most_idle_time(history: History) -> None:
    worst = history.worst_runs(hours(0, 1), ["user"], {})
    assert worst["ann",] == WorstRun(ANN, near(100.0), near(70.0), "https://wandb.example/r1")
    assert worst["ben",].owner == BEN, "what many runs are charged to together is none"
    assert history.worst_runs(hours(0, 1), [], {})[()].owner == ANN
    assert history.worst_runs(hours(0, 1), ["user"], {"run": [ANN_TOO.run]}) == {}, "it was never idle"
    assert history.worst_runs(hours(9, 10), [], {}) == {}


def test_the_extent_says_since_when_and_up_to_when_and_of_which_node(history: History) -> None:
    newest = T0 + 2 * MINUTE + END_OF_MINUTE
    assert history.extent(hours(0, 1)) == (T0, newest, ("n7",), ())
    assert history.extent(Window(T0, T0 + 60)) == (T0, T0 + 60, ("n7",), ())
    assert history.extent(hours(1, 2)) == (T0, newest, ("n7",), ("n7",))
    assert history.extent(hours(8 * 24, 9 * 24)) == (T0, newest, (), ())
    assert history.extent(hours(-2, -1)) == (T0, None, (), ())


def test_before_the_first_reading_there_is_nothing(tmp_path: Path) -> None:
    Store(tmp_path, unix=T0).close()
    with look(tmp_path) as history:
        assert history.extent(hours(0, 1)) == (None, None, (), ())
        assert history.usage(hours(0, 1), [], {}) == {(): NOTHING}
        assert history.fleet(hours(0, 1), ["gpu"], {}) == {}


# Its runs


def test_a_run_is_found_by_the_most_exact_of_its_names(history: History) -> None:
    assert history.find_runs("wandb:r1") == [ANN]
    assert history.find_runs("r1") == [ANN]
    assert history.find_runs("4711") == [BEN]
    assert history.find_runs("bert") == [BEN, ANN], "the newest first"
    assert history.find_runs("short") == history.find_runs("") == history.find_runs("\udcff") == []


def test_all_of_a_run_is_read(history: History) -> None:
    record = history.read_run(ANN)
    assert record is not None
    (device,) = record.devices
    assert (record.owner, record.about) == (ANN, RUNS[ANN])
    assert device[:7] == ("n7", "0", "GPU-0", "H100", 1.0, 80 << 30, 11 << 30)
    assert device.sm_known
    assert device.bins == (
        Bin(T0, 60, near(60.0), near(45.0), near(6000.0), near(22.5)),
        Bin(T0 + 60, 60, near(30.0), near(20.0), near(3000.0), near(10.0)),
        Bin(T0 + 120, 60, near(10.0), near(5.0), near(1000.0), near(2.5)),
    )
    assert record.cpu == tuple((T0 + 60 * minute, 60, 30.0) for minute in range(3))


def test_what_did_nothing_on_a_gpu_that_tells_had_no_sm_activity(history: History) -> None:
    record = history.read_run(SHORT)
    assert record is not None
    assert [(device.sm_known, device.bins[0].sm_active) for device in record.devices] == [(True, 0.0)]


def test_a_slice_is_in_its_own_seconds_and_tells_no_sm_activity(history: History) -> None:
    record = history.read_run(BEN)
    assert record is not None
    (device,) = record.devices
    assert (device.gpu, device.capacity, device.memory_bytes, device.sm_known) == ("1:3", 1 / 7, None, False)
    assert device.bins[0].held == 35.0
    assert history.read_run(Owner("ben", "", BEN.run)) is None


def test_a_run_of_long_ago_has_its_bins_and_no_peak(scribe: Scribe, tmp_path: Path) -> None:
    scribe.write([Piece(m, "GPU-0", {ANN: Use(60.0, 30.0, 1.0)}) for m in (0, 1, 90)])
    scribe.runs.clear()
    scribe.cpu.clear()
    scribe.commit(T0 + RECALL_SECONDS + DAY)
    scribe.store.tidy(unix=T0 + RECALL_SECONDS + DAY)
    with look(tmp_path, T0 + RECALL_SECONDS + DAY) as history:
        record = history.read_run(ANN)
    assert record is not None
    assert record.devices[0].memory_peak_bytes is None
    assert [one[:3] for one in record.devices[0].bins] == [(T0, HOUR, 120.0), (T0 + HOUR, HOUR, 60.0)]
    assert record.cpu == ((T0, HOUR, 60.0), (T0 + HOUR, HOUR, 30.0))


# Row by row


def test_rows_are_those_of_the_window_in_order(history: History) -> None:
    rows = list(raw.charges(history.reader, Window(T0 + 60, T0 + HOUR)))
    assert [row.start_unix for row in rows] == [T0 + 60] * 3 + [T0 + 120]
    assert rows[-1] == (
        T0 + 120, 60, "n7", "0", "GPU-0", "H100", 1.0, "ann", "vision", "wandb:r1", "training", 10.0, 5.0, 1000.0, 2.5,
    )  # fmt: skip
    slice_ = next(raw.devices(history.reader, Window(T0, T0 + 60)))
    assert (slice_.gpu, slice_.capacity, slice_.active) == ("0", 1.0, 45.0)
    assert raw.count(history.reader, hours(0, 1)) == (6, 4)
    assert raw.count(history.reader, hours(0, 1)).charges == len(list(raw.charges(history.reader, hours(0, 1))))


# The laws

PARTS = st.lists(st.floats(0, 1), min_size=len(OWNERS) + 3, max_size=len(OWNERS) + 3)
SPAN_HOURS = 30


@st.composite
def pieces(draw: st.DrawFn) -> list[Piece]:
    """A random record: whole minutes in which an agent ran, on either device, and gaps in between."""
    minutes = draw(st.lists(st.integers(0, SPAN_HOURS * 60 - 1), min_size=1, max_size=15, unique=True))
    found = []
    for minute in sorted(minutes):
        uuid = draw(st.sampled_from(sorted(INFOS)))
        *shares, free, unavailable, busy = draw(PARTS)
        whole = sum([*shares, free, unavailable]) or 1.0
        seconds = {owner: MINUTE * share / whole for owner, share in zip(OWNERS, shares, strict=True) if share}
        charges = {owner: Use(held, held * busy, held * 300) for owner, held in seconds.items()}
        found.append(Piece(minute, uuid, charges, MINUTE * free / whole, MINUTE * unavailable / whole))
    return found


EDGES = st.lists(st.integers(0, SPAN_HOURS), min_size=3, max_size=3, unique=True).map(sorted)
NOW = T0 + SPAN_HOURS * HOUR


@settings(max_examples=40, deadline=None)
@given(pieces(), EDGES)
def test_the_laws_hold_for_any_record(written: list[Piece], edges: list[int]) -> None:
    first, second, third = edges
    with TemporaryDirectory() as name:
        scribe = Scribe(Path(name))
        with closing(scribe.store) as store:
            scribe.write(written)
            before = figures(Path(name), hours(first, third))
            one, two = (figures(Path(name), window) for window in (hours(first, second), hours(second, third)))
            scribe.commit(NOW)  # which closes the last minute
            store.tidy(unix=NOW + MINUTES_KEPT_SECONDS + DAY)
            assert figures(Path(name), hours(first, third)) == near_all(before), "in hours as in minutes"
            whole_days = figures(Path(name), hours(0, 48))
            store.tidy(unix=NOW + HOURS_KEPT_SECONDS + 3 * DAY)
            assert figures(Path(name), hours(0, 48)) == near_all(whole_days), "in days as in hours"
    assert before == near_all([a + b for a, b in zip(one, two, strict=True)]), "windows that adjoin add up"


def near_all(values: Sequence[float]) -> Any:
    return pytest.approx(list(values), rel=1e-9, abs=0.01)


def figures(directory: Path, window: Window) -> list[float]:
    """The sums of a window, in which all ways to them must agree."""
    with look(directory, NOW) as history:
        total, fleet = history.usage(window, [], {})[()], history.fleet(window, [], {})[()]
        assert total.held == near(fleet.active + fleet.idle)
        assert fleet.capacity == near(min(window.seconds, NOW - window.start) * sum(i.capacity for i in INFOS.values()))
        for by in (["user"], ["gpu", "kind"], ["run", "project"]):
            assert sum(use.held for use in history.usage(window, by, {}).values()) == near(total.held)
        by_gpu = history.fleet(window, ["gpu"], {}).values()
        rows = list(raw.charges(history.reader, window))
        assert [row.start_unix for row in rows] == sorted(row.start_unix for row in rows)
    assert [sum(column) for column in zip(*by_gpu, strict=True)] == near_all(fleet)
    assert sum(row.held * row.capacity for row in rows) == near(total.held)
    assert sum(row.joules for row in rows) == near(total.joules)
    return [total.held, total.busy, total.joules, *fleet]


# Seen without harm


def test_an_agent_goes_on_meanwhile_and_the_report_is_of_one_moment(scribe: Scribe, tmp_path: Path) -> None:
    scribe.write([Piece(0, "GPU-0", {ANN: Use(60.0, 1.0, 1.0)})])
    files = {path.name for path in tmp_path.iterdir()}
    with look(tmp_path) as history:
        before = history.usage(hours(0, 1), [], {})
        scribe.write([Piece(minute, "GPU-0", {ANN: Use(60.0, 1.0, 1.0)}) for minute in range(1, 20)])
        scribe.store.tidy(unix=T0 + 30 * DAY)
        assert history.usage(hours(0, 1), [], {}) == before
    with look(tmp_path) as history:
        assert history.usage(hours(0, 1), [], {})[()].held == near(1200.0)
    assert {path.name for path in tmp_path.iterdir()} == files


def test_nothing_is_made_or_changed_beside_the_file(scribe: Scribe, tmp_path: Path) -> None:
    scribe.write([Piece(0, "GPU-0", {ANN: Use(60.0, 1.0, 1.0)})])
    copy = tmp_path / "killed"
    copy.mkdir()
    for suffix in ("", "-wal", "-shm"):  # as an agent leaves them that was killed
        (copy / f"{FILE_NAME}{suffix}").write_bytes((tmp_path / f"{FILE_NAME}{suffix}").read_bytes())
    scribe.store.close()
    for directory in (tmp_path, copy):
        before = contents(directory)
        with look(directory) as history:
            assert history.usage(hours(0, 1), [], {})[()].held == 60.0
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                history.reader._db.execute("DELETE FROM owner")
        assert contents(directory) == before


def contents(directory: Path) -> dict[str, bytes]:
    """Of all files; of the index that readers share, which is no part of the record, only that it is there."""
    files = [path for path in directory.iterdir() if path.is_file()]
    return {path.name: b"" if path.suffix == ".sqlite3-shm" else path.read_bytes() for path in files}


def test_the_record_says_whose_it_is_and_whether_it_is_real(scribe: Scribe, tmp_path: Path) -> None:
    with look(tmp_path) as history:
        assert (history.reader.node, history.simulated) == ("n7", True)
        assert history.name == f"the record of n7 in {tmp_path}"
    real = tmp_path / "real"
    Store(real, unix=T0).close()
    with look(real) as history:
        assert (history.reader.node, history.simulated) == ("elsewhere", False)


def test_what_was_asked_can_be_asked_again_by_hand(history: History, tmp_path: Path) -> None:
    usage = history.usage(hours(0, 1), ["user", "node"], {"user": ["o'hara", "ann"]})
    history.worst_runs(hours(0, 1), ["user"], {})
    history.fleet(hours(0, 1), ["gpu"], {})
    history.read_run(ANN)
    history.extent(hours(0, 1))
    by_hand = {}
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        for question in history.asked:
            assert question.purpose
            assert question.text.endswith(";")
            by_hand[question.purpose] = connection.execute(question.text).fetchall()
    assert by_hand["usage by user, node"] == [(*key, *use) for key, use in usage.items()]


# What cannot be read


def test_where_there_is_no_record_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"no record in .*/no yet: start the agent, .*--state-dir.*--prometheus"):
        look(tmp_path / "no")
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match=r"cannot read .*Not a directory"):
        look(tmp_path / "file")


@contextmanager
def without_rights(file: Path) -> Iterator[None]:
    """As somebody who may not read the file."""
    file.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_record_of_somebody_else_says_how_it_can_be_read(scribe: Scribe, tmp_path: Path) -> None:
    told = pytest.raises(StateError, match=r"not permitted to read .*sudo.*--prometheus")
    with without_rights(tmp_path / FILE_NAME), told:
        look(tmp_path)


def test_a_record_of_another_version_is_told(scribe: Scribe, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as connection:
        connection.execute("DELETE FROM migration WHERE name LIKE '0003-%'")
        with pytest.raises(StateError, match=r"of an older gpuwatch .*0003-.*has not yet been started on it"):
            look(tmp_path)
        connection.execute("INSERT INTO migration VALUES ('9999-later', 0)")
        with pytest.raises(StateError, match=r"newer gpuwatch .*9999-later"):
            look(tmp_path)


def test_a_damaged_record_is_told(scribe: Scribe, tmp_path: Path) -> None:
    scribe.write([Piece(minute, "GPU-0", {ANN: Use(60.0, 1.0, 1.0)}) for minute in range(200)])
    scribe.store.close()
    path = tmp_path / FILE_NAME
    content = path.read_bytes()
    for damaged in (b"no database" * 99, content[:8192] + b"\xff" * (len(content) - 8192)):
        path.write_bytes(damaged)
        with pytest.raises(StateError, match=r"is damaged .*sets it aside"), look(tmp_path) as history:
            history.usage(hours(0, 9), ["user"], {})


# CPU seconds by minute


def test_cpu_seconds_of_a_minute_are_what_a_runs_total_grew_by(scribe: Scribe, tmp_path: Path) -> None:
    scribe.write([Piece(0, "GPU-0", {ANN: Use(1.0), BEN: Use(1.0)}), Piece(1, "GPU-0", {ANN: Use(1.0)})])
    scribe.cpu = {ANN: 4.0}  # it has come back after so long that its total begins anew
    scribe.commit(T0 + 3 * MINUTE)
    scribe.store.close()
    with look(tmp_path) as history:
        records = [history.read_run(owner) for owner in (ANN, BEN)]
    assert [record and record.cpu for record in records] == [
        ((T0, 60, 30.0), (T0 + 60, 60, 30.0), (T0 + 180, 60, 4.0)),
        ((T0, 60, 30.0),),
    ]


def test_what_was_used_before_there_were_bins_is_of_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as before:
        before.setattr(migrations, "MIGRATIONS", migrations.MIGRATIONS[:2])
        Store(tmp_path, unix=T0).close()
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as connection:
        connection.execute("INSERT INTO owner (user, project, run, cpu_seconds) VALUES (?, ?, ?, 900)", ANN)
    with closing(Store(tmp_path, unix=T0)) as store:
        changes = Changes({}, {}, {}, {}, {}, {ANN: 907.0}, {})
        store.commit(changes, {}, unix=T0)
    with look(tmp_path) as history:
        record = history.read_run(ANN)
    assert record is not None
    assert record.cpu == ((T0, 60, 7.0),)


def test_the_memory_of_a_device_is_in_the_record(scribe: Scribe) -> None:
    saved = scribe.store.load(unix=T0, boot_id="b", boot_unix=0.0, run_seconds=600.0)
    assert saved.devices["GPU-0"].info == WHOLE
    assert saved.devices["MIG-1"].info == SLICE, "of one that does not tell it is not known"
