"""The unit of `gpuwatch notify`: sound, shut in, with a folder of its own, and started only where it was asked for."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from servers import program
from test_timer import EXPOSURE_TENTHS, FOLDER, ROOT, ended, sections

from gpuwatch.cli.notify import notify
from gpuwatch.service.unit import NOTIFY_NAME, UNIT_NAME, read_packaged_unit, started_by


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    path = tmp_path / NOTIFY_NAME
    path.write_text(started_by(read_packaged_unit(NOTIFY_NAME), Path("/bin/true")), encoding="utf-8")
    return path


def test_systemd_finds_no_fault(installed: Path) -> None:
    for unit in (FOLDER / NOTIFY_NAME, installed):
        done = ended(program("systemd-analyze"), "verify", "--man=no", unit)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_systemd_finds_it_shut_in() -> None:
    analyze = (program("systemd-analyze"), "security", "--offline=true", f"--threshold={EXPOSURE_TENTHS}", "--no-pager")
    done = ended(*analyze, FOLDER / NOTIFY_NAME)
    assert done.returncode == 0, done.stdout


def test_it_has_a_folder_of_its_own_for_what_it_told() -> None:
    service = sections(NOTIFY_NAME)["Service"]
    assert service["StateDirectory"] == NOTIFY_NAME.removesuffix(".service")
    _, _, *arguments = shlex.split(service["ExecStart"].replace("%S", "/var/lib"))
    assert arguments[0] == notify.name
    assert notify.make_context("notify", arguments[1:]).params["state_dir"] == Path("/var/lib/gpuwatch-notify")


def test_it_sees_no_more_than_the_agent() -> None:
    agent, service = sections(UNIT_NAME)["Service"], sections(NOTIFY_NAME)["Service"]
    assert service["CapabilityBoundingSet"] == service["AmbientCapabilities"] == "CAP_DAC_READ_SEARCH"
    kept = {name for name in agent if name.startswith(("Protect", "Private", "Restrict", "Lock", "Memory", "System"))}
    assert {name for name in kept if service.get(name) != agent[name]} <= {"MemoryMax", "PrivateDevices"}


def test_there_is_one_of_it() -> None:
    assert (ROOT / "gpuwatch" / "service" / NOTIFY_NAME).resolve() == FOLDER / NOTIFY_NAME
