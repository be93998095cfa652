"""`gpuwatch alerts`: what was told and what was not, in words and for programs."""

from __future__ import annotations

import json
import os
import sys
from contextlib import closing
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner, Result
from idling import TUESDAY
from test_history import T0, Scribe
from test_report_formats import SCHEMA

from gpuwatch.agent import config as configuration_module
from gpuwatch.cli import command
from gpuwatch.errors import StateError
from gpuwatch.model.notice import CAP, EARLY, HELD_BACK, SENT, SHADOW, Notice
from gpuwatch.state.notices import Notices
from gpuwatch.state.notices_file import NOTICES_NAME, NoticesFile
from gpuwatch.units import DAY, HOUR

HOSTILE = "wandb:\x1b[2Jx\u202e"
SENT_ONE = Notice(
    "a1", "ann\nwandb:a", "ann", "idle", ("wandb:a",), ("n1",), TUESDAY, SENT, "idle: 8 of 8 GPUs for 45 min", told=2,
    told_unix=TUESDAY + 4 * HOUR, wasted_gpu_seconds=40 * HOUR, closed_unix=TUESDAY + 5 * HOUR, close_reason="busy",
    wrong="it waits for labels",
)  # fmt: skip
SHADOWED = SENT_ONE._replace(
    id="b", key="b", user="ben", runs=("slurm:1_1", "slurm:1_2"), outcome=SHADOW, told=1, wrong="", closed_unix=None
)
HELD = SHADOWED._replace(
    id="c", key="c", user="cat", runs=(HOSTILE,), outcome=HELD_BACK, why="3 messages today already", held=CAP, told=0,
    closed_unix=TUESDAY + DAY, close_reason="ended",
)  # fmt: skip
EARLY_ONE = HELD._replace(id="d", key="d", held=EARLY, why="not enough wasted", opened_unix=TUESDAY - 30 * DAY)
EARLY_ONE = EARLY_ONE._replace(closed_unix=TUESDAY - 29 * DAY)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory with notices, two days later, on a node without a configuration."""
    monkeypatch.setattr("time.time", lambda: TUESDAY + 2 * DAY)
    monkeypatch.setattr(configuration_module, "DEFAULT_PATH", tmp_path / "none.toml")
    monkeypatch.setattr(configuration_module, "CLIENT_PATH", tmp_path / "none.toml")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    with closing(NoticesFile(tmp_path, unix=TUESDAY)) as file:
        Notices(file).record([SENT_ONE, SHADOWED, HELD, EARLY_ONE])
    return tmp_path


def alerts(state: Path, *arguments: str) -> Result:
    of_state = ("--tz", "Europe/Berlin", "--state-dir", str(state))
    return CliRunner().invoke(command, ["alerts", *of_state, *arguments])


def test_what_was_sent_would_have_been_and_was_not(state: Path) -> None:
    result = alerts(state)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "Sent: 1 notice, 1 called wrong\n"
        "WHEN              USER  RUN      GPU-H  THEN\n"
        "2026-11-17 11:00  ann   wandb:a  40.0   told 2 times; busy again 16:00\n"
        "    idle: 8 of 8 GPUs for 45 min; called wrong: it waits for labels\n"
        "\n"
        "Would have been sent, in shadow mode: 1 notice\n"
        "WHEN              USER  RUN                   GPU-H  THEN\n"
        "2026-11-17 11:00  ben   slurm:1_1 and 1 more  40.0   goes on\n"
        "    idle: 8 of 8 GPUs for 45 min\n"
        "\n"
        "Held back: 1 notice\n"
        "WHEN              USER  RUN         GPU-H  THEN\n"
        "2026-11-17 11:00  cat   wandb:[2Jx  40.0   ended 2026-11-18 11:00\n"
        "    3 messages today already\n"
    )


def test_for_programs_it_is_a_list(state: Path) -> None:
    first, *others = json.loads(alerts(state, "--json").stdout)
    assert first == {
        "id": "a1", "user": "ann", "verdict": "idle", "runs": ["wandb:a"], "nodes": ["n1"], "outcome": "sent",
        "why": "idle: 8 of 8 GPUs for 45 min", "held": "", "told": 2, "opened_at": "2026-11-17T11:00:00+01:00",
        "told_at": "2026-11-17T15:00:00+01:00", "closed_at": "2026-11-17T16:00:00+01:00", "close_reason": "busy",
        "wrong": "it waits for labels", "digest": "", "wasted_gpu_hours": 40.0,
    }  # fmt: skip
    assert [one["user"] for one in others] == ["ben", "cat"]


def test_of_some_people_and_another_time(state: Path) -> None:
    assert "ben" in alerts(state, "--user", "ben").stdout
    assert "ann" not in alerts(state, "--user", "ben").stdout
    assert "not enough wasted" in alerts(state, "--since", "60d").stdout
    assert "not enough wasted" in alerts(state, "--since", "60d", "--until", "2026-11-01").stdout


def test_nothing_is_a_sentence_and_exit_status_1(state: Path) -> None:
    result = alerts(state, "--user", "dan")
    assert result.exit_code == 1
    assert result.stdout == "No run of dan was idle or stuck in the last 7 d: nobody was to be told of anything.\n"
    assert json.loads(alerts(state, "--user", "dan", "--json").stdout) == []


def test_where_nobody_ever_told_anything_that_is_told(tmp_path: Path) -> None:
    result = alerts(tmp_path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no notices are kept in" in result.stderr
    assert "alert.mode shadow or agent" in result.stderr


def test_a_file_that_cannot_be_read_is_an_error(state: Path) -> None:
    (state / NOTICES_NAME).write_bytes(b"no database" * 1000)
    assert isinstance(alerts(state).exception, StateError)


def test_where_names_are_withheld_everybody_sees_their_own(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUWATCH_PRIVACY_NAMES", "team")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert "ben" in alerts(state).stdout
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(sys.modules["gpuwatch.cli.alerts"], "read_viewer", lambda _: "ann")
    assert "ann" in alerts(state).stdout
    assert "ben" not in alerts(state).stdout
    assert str(alerts(state, "--user", "ben").exception) == (
        "names of people are withheld here (privacy.names = team): ann may see their own notices, and root all"
    )


def report(state: Path, *arguments: str) -> str:
    return CliRunner().invoke(command, ["report", "--tz", "UTC", "--state-dir", str(state), *arguments]).stdout


def test_the_report_counts_what_was_sent_and_called_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: T0 + HOUR)
    with closing(Scribe(tmp_path).store), closing(NoticesFile(tmp_path, unix=T0)) as file:
        Notices(file).record([SENT_ONE._replace(opened_unix=T0 + 60.0), SHADOWED._replace(opened_unix=T0 + 60.0)])
        document = json.loads(report(tmp_path, "--format", "json"))
        assert "\n1 notice of idle GPUs, 1 called wrong.\n" in report(tmp_path)
        assert "notice" not in report(tmp_path, "--user", "ann")
    assert document["notices"] == {"sent": 1, "called_wrong": 1}
    jsonschema.validate(document, SCHEMA)
    (tmp_path / NOTICES_NAME).unlink()
    assert "notice" not in report(tmp_path)
