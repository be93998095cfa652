"""The unit: systemd finds it sound and shut in, and the two rights that it gives are those that the agent needs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from rig import Agent, idle_processes
from servers import program
from standin.driver import StandIn
from standin.trace import steady_trace

from gpuwatch.errors import ServiceError
from gpuwatch.service.unit import UNIT_NAME, read_packaged_unit, unit_of

ROOT = Path(__file__).parent.parent
UNIT = ROOT / "systemd" / UNIT_NAME
NOBODY = 65534
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives rights away")
EXPOSURE_TENTHS = 25
RIGHTS = ("sys_ptrace", "dac_read_search")


def ended(command: list[str | Path]) -> subprocess.CompletedProcess[str]:
    """The command, run to its end, with what it said."""
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", timeout=60)


def unit_lines() -> dict[str, list[str]]:
    """The values of the unit by name."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


@pytest.fixture(params=["as shipped", "as installed"])
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "as shipped":
        return UNIT
    path = tmp_path / UNIT_NAME
    text = unit_of(read_packaged_unit(UNIT_NAME), command=Path("/bin/true"), version="1.2.3", config_sha256="0" * 64)
    path.write_text(text, encoding="utf-8")
    return path


def test_systemd_finds_no_fault_in_the_unit(unit: Path) -> None:
    done = ended([program("systemd-analyze"), "verify", "--man=no", unit])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_systemd_finds_it_shut_in(unit: Path) -> None:
    analyze = [program("systemd-analyze"), "security", "--offline=true", f"--threshold={EXPOSURE_TENTHS}", "--no-pager"]
    done = ended([*analyze, unit])
    assert done.returncode == 0, done.stdout


def test_it_has_two_rights_and_sees_everybody() -> None:
    lines = unit_lines()
    rights = [" ".join(f"CAP_{right.upper()}" for right in RIGHTS)]
    assert lines["AmbientCapabilities"] == lines["CapabilityBoundingSet"] == rights
    assert not lines.keys() & {"ProtectProc", "ProcSubset", "PrivateUsers", "PrivatePIDs", "PrivateDevices", "User"}


def test_there_is_one_unit() -> None:
    assert (ROOT / "gpuwatch" / "service" / UNIT_NAME).resolve() == UNIT
    assert read_packaged_unit(UNIT_NAME) == UNIT.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", ["/opt/my tools/gpuwatch", "/opt/100%/gpuwatch", "/opt/$HOME/gpuwatch", "/opt/a\nb"])
def test_a_path_that_means_something_to_systemd_is_refused(path: str) -> None:
    with pytest.raises(ServiceError, match="plain"):
        unit_of(read_packaged_unit(UNIT_NAME), command=Path(path), version="1", config_sha256="")


# The rights that the unit gives, without systemd


def as_nobody(*rights: str) -> list[str]:
    """Run what follows as a user who owns nothing, with these capabilities and no others, like the unit does."""
    given = ",".join(["-all", *(f"+{right}" for right in rights)])
    sets = [f"--{which}={given}" for which in ("inh-caps", "ambient-caps", "bounding-set")]
    if not rights:
        sets.remove("--ambient-caps=-all")
    return [program("setpriv"), f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs", *sets]


@AS_ROOT
def test_the_two_rights_are_what_reading_an_environment_takes() -> None:
    def can_read(pid: int, *rights: str) -> bool:
        return ended([*as_nobody(*rights), "cat", f"/proc/{pid}/environ"]).returncode == 0

    with idle_processes(1, uids=[1234]) as (pid,):
        assert can_read(pid, *RIGHTS)
        assert not any(can_read(pid, *rights) for rights in [(), RIGHTS[:1], RIGHTS[1:]])


@AS_ROOT
def test_the_agent_needs_no_other_rights(tmp_path: Path) -> None:
    with StandIn(tmp_path, steady_trace(1, 1, 600.0, 0.8)) as driver, idle_processes(1, uids=[1234]) as (pid,):
        driver.set_pid(0, pid)
        driver.start()
        for path in (driver.folder, driver.folder / "control"):
            os.chown(path, NOBODY, NOBODY)
        with Agent(tmp_path, driver.environment(), wrapper=as_nobody(*RIGHTS)) as agent:
            (gpu,) = agent.status()["gpus"]
            assert [run["user"] for run in gpu["runs"] if run["holding"]] == ["uid:1234"]
            status = Path(f"/proc/{agent.pid}/status").read_text(encoding="utf-8")
    assert status.count(f"\t{(1 << 19) | (1 << 2):016x}\n") == 5  # all sets: CAP_SYS_PTRACE is 19, DAC_READ_SEARCH 2
