"""A report of a real record: of the demo's state, written by the agent's own code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

from gpuwatch.agent.settings import Settings
from gpuwatch.cli import command
from gpuwatch.demo.past import play_past
from gpuwatch.units import DAY, HOUR

NOW = 1_795_132_800.0 + 9 * HOUR + 1234.5
"""In the morning of 2026-11-20, a Friday, within a minute."""
SCHEMA = json.loads((Path(__file__).parent.parent / "docs" / "report.schema.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("demo")
    play_past(Settings(state_directory=directory, node="demo"), until_unix=NOW, seconds=2 * DAY)
    return directory


@pytest.fixture(autouse=True)
def at_that_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: NOW)


def report_of(state: Path, *arguments: str) -> Any:
    arguments = ("report", "--state-dir", str(state), "--tz", "Europe/Berlin", "--format", "json", *arguments)
    result = CliRunner().invoke(command, arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    document = json.loads(result.stdout)
    jsonschema.validate(document, SCHEMA)
    return document


@pytest.mark.parametrize("since", ["1d", "yesterday", "today", "3h", "7d"])
@pytest.mark.parametrize("by", [("user",), ("day", "gpu"), ("project", "run"), ("kind", "team")])
def test_it_adds_up(state: Path, since: str, by: tuple[str, ...]) -> None:
    document = report_of(state, "--since", since, *(part for key in by for part in ("--by", key)))
    held = sum(row["held_gpu_hours"] for row in (*document["rows"], *document["services"]))
    rest = sum(document[f"{part}_gpu_hours"] for part in ("free", "unavailable", "unknown"))
    assert held == pytest.approx(document["held_gpu_hours"], abs=1e-3)
    assert held + rest == pytest.approx(document["capacity_gpu_hours"], abs=1e-3)
    assert document["simulated"] is True


def test_a_whole_day_of_eight_gpus_is_192_hours(state: Path) -> None:
    document = report_of(state, "--since", "yesterday", "--by", "user")
    assert document["capacity_gpu_hours"] == 192
    assert document["unknown_gpu_hours"] == pytest.approx(0, abs=0.5)


def test_days_add_up_to_their_period(state: Path) -> None:
    by_day = report_of(state, "--since", "2d", "--by", "day")
    whole = report_of(state, "--since", "2d")
    assert sum(row["held_gpu_hours"] for row in by_day["rows"]) == pytest.approx(whole["held_gpu_hours"], abs=1e-3)
    assert by_day["total"]["runs"] == whole["total"]["runs"] <= sum(row["runs"] for row in by_day["rows"])


def test_the_record_begins_two_days_ago(state: Path) -> None:
    notes = report_of(state, "--since", "7d")["notes"]
    assert any(note.startswith("The record begins 2026-11-1") for note in notes)
