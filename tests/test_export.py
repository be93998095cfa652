"""`gpuwatch export`: the rows of a real state as text, whole, in order, and harmless."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from node import environment

from gpuwatch.account.device import Outcome
from gpuwatch.account.ledger import Ledger
from gpuwatch.account.split import Stretch, split
from gpuwatch.cli import command
from gpuwatch.errors import GpuwatchError, UsageError
from gpuwatch.model import GpuInfo, Mark, Owner
from gpuwatch.report.raw import csv_lines, json_lines
from gpuwatch.state.raw import ChargeRow
from gpuwatch.state.store import Store
from gpuwatch.units import MINUTE

T0 = 1_790_000_040  # a whole minute: 2026-09-21 14:14 UTC
ANN, FORMULA = Owner("ann", "vision", "wandb:x1"), Owner("=cmd|'/c calc'!A1", "a,b", 'adhoc:x"y@n7')
SINCE = ("--since", "2026-09-21T14:14Z", "--until", "2026-09-21T15:14Z")
COLUMNS = (
    "start,start_unix,seconds,node,gpu,uuid,model,capacity,user,project,run,kind,held_seconds,busy_seconds,joules,"
    "sm_active_seconds"
)


def write_state(directory: Path, minutes: int = 20) -> None:
    """Two owners share a GPU that is half busy."""
    ledger, info = Ledger(), GpuInfo("GPU-0", 0, "H100", "")
    with closing(Store(directory, unix=T0, simulated=True)) as store:  # which does not wait for the disk
        for unix in range(T0, T0 + (minutes + 1) * MINUTE, MINUTE):
            division = split(Stretch(60.0, 30.0, 6000.0), [ANN, FORMULA], {ANN: 1.0, FORMULA: 1.0})
            ledger.enter("GPU-0", Outcome(Mark(unix, unix, 0.0), division.device, division.charges), unix=unix)
            store.commit(ledger.changes(), {"GPU-0": info}, unix=unix)
            ledger.settle()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    write_state(tmp_path / "state")
    return tmp_path / "state"


def export(state: Path, *arguments: str) -> Result:
    return CliRunner().invoke(command, ["export", "--state-dir", str(state), *SINCE, *arguments])


def test_csv_has_a_line_of_names_with_units_and_one_for_each_row(state: Path) -> None:
    text = export(state).stdout
    assert text.splitlines()[0] == COLUMNS
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert len(rows) == 42
    assert rows[0]["start"] == "2026-09-21T14:14:00Z"
    assert [int(row["start_unix"]) for row in rows] == sorted(int(row["start_unix"]) for row in rows)
    assert sum(float(row["held_seconds"]) for row in rows) == pytest.approx(21 * MINUTE)
    assert sum(float(row["busy_seconds"]) for row in rows) == pytest.approx(21 * MINUTE / 2)
    assert {row["sm_active_seconds"] for row in rows} == {""}


def test_no_spreadsheet_computes_a_name(state: Path) -> None:
    rows = csv.DictReader(io.StringIO(export(state).stdout, newline=""))
    assert {(row["user"], row["project"], row["run"]) for row in rows} == {
        tuple(ANN), ("'=cmd|'/c calc'!A1", "a,b", 'adhoc:x"y@n7'),
    }  # fmt: skip


def test_json_lines_have_the_names_as_they_are(state: Path) -> None:
    rows = [json.loads(line) for line in export(state, "--format", "jsonl").stdout.splitlines()]
    assert {row["user"] for row in rows} == {ANN.user, FORMULA.user}
    assert rows[0].keys() == set(COLUMNS.split(","))
    assert rows[0]["sm_active_seconds"] is None


def test_devices_account_for_all_time(state: Path) -> None:
    rows = [json.loads(line) for line in export(state, "--of", "devices", "--format", "jsonl").stdout.splitlines()]
    assert len(rows) == 21
    assert {row["active_seconds"] + row["idle_seconds"] for row in rows} == {60.0}
    assert not any("user" in row for row in rows)


def test_a_file_is_there_whole_or_not_at_all(state: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    target.write_text("before")
    assert export(state, "--output", str(target)).exit_code == 0
    assert target.read_text(encoding="utf-8").splitlines()[0] == COLUMNS
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "state"]
    refused = export(state, "--output", str(tmp_path / "missing" / "out.csv"))
    assert isinstance(refused.exception, GpuwatchError)


def test_nothing_recorded_is_told(state: Path) -> None:
    result = CliRunner().invoke(
        command, ["export", "--state-dir", str(state), "--since", "2026-09-20", "--until", "2026-09-20"]
    )
    assert (result.exit_code, result.stdout) == (1, "")
    assert "nothing is recorded" in result.stderr


def test_a_server_gives_its_rows_itself(state: Path) -> None:
    refused = export(state, "--prometheus", "http://prometheus:9090")
    assert isinstance(refused.exception, UsageError)
    assert "/api/v1/query_range" in str(refused.exception)


def test_names_that_are_withheld_are_not_exported(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.toml").write_text('[privacy]\nnames = "none"\n')
    monkeypatch.setattr("os.geteuid", lambda: 4711)
    config = ("--config", str(tmp_path / "config.toml"))
    assert "privacy.names" in str(export(state, *config).exception)
    assert export(state, *config, "--of", "devices").exit_code == 0


def test_a_reader_that_has_enough_ends_it_quietly(tmp_path: Path) -> None:
    write_state(tmp_path / "state", minutes=500)
    ours = (sys.executable, "-m", "gpuwatch", "export", "--state-dir", str(tmp_path / "state"), "--since", "2026-09-21")
    with subprocess.Popen(
        ours, env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline().strip() == COLUMNS
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=30) == 0


def test_a_full_disk_is_told_and_is_no_lack_of_rows(state: Path, tmp_path: Path) -> None:
    for what in ("export", "report"):
        ours = [sys.executable, "-m", "gpuwatch", what, "--state-dir", str(state), *SINCE]
        with Path("/dev/full").open("w", encoding="utf-8") as full:
            done = subprocess.run(ours, env=environment(tmp_path), stdout=full, stderr=subprocess.PIPE, check=False)
        assert done.returncode == 2
        assert done.stderr == b"gpuwatch: standard output cannot be written: No space left on device\n"


def test_a_terminal_without_blocks_gets_what_it_can_show(state: Path, tmp_path: Path) -> None:
    ours = [sys.executable, "-m", "gpuwatch", "show", "wandb:x1", "--state-dir", str(state)]
    done = subprocess.run(
        ours, env=environment(tmp_path) | {"PYTHONIOENCODING": "latin-1"}, capture_output=True, check=True
    )
    assert b"Use, 1 min a step: ? under 5 %" in done.stdout


@pytest.mark.parametrize("lines", [csv_lines, json_lines])
def test_rows_are_taken_as_they_are_written(lines: object) -> None:
    """However many there are: what has not been asked for has not been read."""
    row = ChargeRow(T0, 60, "n7", "0", "GPU-0", "H100", 1.0, *ANN, "batch", 60.0, 30.0, 6000.0, None)
    read = []

    def rows() -> object:
        for number in range(1_000_000):
            read.append(number)
            yield row

    taken: Sequence[str] = list(islice(lines(ChargeRow._fields, rows()), 5))  # type: ignore[operator]
    assert (len(taken), len(read) <= 5) == (5, True)
