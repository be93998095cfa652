"""The weekly report's units: sound, shut in, of the agent's own user, and started only where somebody asked for it."""

from __future__ import annotations

import configparser
import shlex
import subprocess
from pathlib import Path

import pytest
from configured import configured
from servers import program

from gpuwatch.cli.report import report
from gpuwatch.service.unit import REPORT_NAME, TIMER_NAME, UNIT_NAME, read_packaged_unit, started_by

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "systemd"
EXPOSURE_TENTHS = 20


def ended(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """The command, run to its end, with what it said."""
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", timeout=60)


def sections(name: str) -> dict[str, dict[str, str]]:
    """A unit's sections; of a name that is there twice, the last."""
    parser = configparser.RawConfigParser(strict=False, delimiters=("=",), comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment]
    parser.read(FOLDER / name, encoding="utf-8")
    return {section: dict(parser[section]) for section in parser.sections()}


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units as an installation writes them, beside each other."""
    for name in (UNIT_NAME, REPORT_NAME):
        (tmp_path / name).write_text(started_by(read_packaged_unit(name), Path("/bin/true")), encoding="utf-8")
    (tmp_path / TIMER_NAME).write_text(read_packaged_unit(TIMER_NAME), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("name", [REPORT_NAME, TIMER_NAME])
def test_systemd_finds_no_fault(installed: Path, name: str) -> None:
    for folder in (FOLDER, installed):
        done = ended(program("systemd-analyze"), "verify", "--man=no", folder / name)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_systemd_finds_the_service_shut_in() -> None:
    analyze = (program("systemd-analyze"), "security", "--offline=true", f"--threshold={EXPOSURE_TENTHS}", "--no-pager")
    done = ended(*analyze, FOLDER / REPORT_NAME)
    assert done.returncode == 0, done.stdout


def test_the_moment_is_monday_morning() -> None:
    moment = sections(TIMER_NAME)["Timer"]["OnCalendar"]
    done = ended(program("systemd-analyze"), "calendar", "--base-time=2026-11-14 12:00 UTC", moment)
    assert (done.returncode, "Mon 2026-11-16 09:00:00" in done.stdout) == (0, True), done.stdout


def test_it_is_started_by_its_timer_alone() -> None:
    assert "Install" not in sections(REPORT_NAME)
    assert sections(TIMER_NAME)["Install"] == {"WantedBy": "timers.target"}
    assert "Unit" not in sections(TIMER_NAME)["Timer"]  # so it is the service of the same name


def test_it_is_the_agents_user_in_the_agents_folders() -> None:
    """systemd names a dynamic user after the unit, so the agent's, which names none, is `gpuwatch`."""
    agent, report = sections(UNIT_NAME)["Service"], sections(REPORT_NAME)["Service"]
    assert ("User" in agent, report["User"]) == (False, UNIT_NAME.removesuffix(".service"))
    for name in ("DynamicUser", "StateDirectory", "StateDirectoryMode", "ConfigurationDirectory", "UMask"):
        assert report[name] == agent[name], name


def test_it_sees_no_more_than_the_agent() -> None:
    agent, report = sections(UNIT_NAME)["Service"], sections(REPORT_NAME)["Service"]
    assert report["CapabilityBoundingSet"] == report["AmbientCapabilities"] == "CAP_DAC_READ_SEARCH"
    kept = {name for name in agent if name.startswith(("Protect", "Private", "Restrict", "Lock", "Memory", "System"))}
    assert {name for name in kept if report.get(name) != agent[name]} == {"MemoryMax"}


def test_the_command_and_the_variable_are_gpuwatchs_own() -> None:
    service = sections(REPORT_NAME)["Service"]
    _, _, *arguments = shlex.split(service["ExecStart"])
    assert arguments[0] == report.name
    assert report.make_context("report", arguments[1:]).params["to"] == "slack"
    name, _, value = service["Environment"].partition("=")
    settings = configured(environment={name: value.replace("%S", "/var/lib")}).settings
    assert settings.state_directory == Path("/var/lib/gpuwatch")


def test_what_failed_is_tried_again_and_not_for_ever() -> None:
    about = sections(REPORT_NAME)
    assert (about["Service"]["Restart"], about["Service"]["RestartSec"]) == ("on-failure", "10min")
    assert int(about["Unit"]["StartLimitBurst"]) < 10


@pytest.mark.parametrize("name", [REPORT_NAME, TIMER_NAME])
def test_there_is_one_of_each(name: str) -> None:
    assert (ROOT / "gpuwatch" / "service" / name).resolve() == FOLDER / name
