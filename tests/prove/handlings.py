"""Removing a fault's handling must make its test fail.

Each handling is removed from a copy of the package, one at a time, and its test is run on that copy: in its folder and
with it first on PYTHONPATH, so that the agents which the test starts are of the copy too. The repository stays as it
is. A test that fails without any removal proves nothing: that is tried first.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
_LONGEST_SECONDS = 180.0
_PASSED, _FAILED = 0, 1
"""Exit statuses of pytest; all others mean that it could not run the test."""


class Change(NamedTuple):
    """An exact text that is in the file once, and what stands there without the handling."""

    text: str
    without: str


@dataclass(frozen=True)
class Handling:
    """One way in which a fault is handled, how to remove it, and the test that must fail then."""

    name: str
    file: str
    changes: tuple[Change, ...]
    test: str


def remove(name: str, file: str, test: str, *changes: tuple[str, str]) -> Handling:
    """A handling whose test is in test_faults.py, unless it names another file."""
    test = test if "::" in test else f"test_faults.py::{test}"
    return Handling(name, file, tuple(Change(*change) for change in changes), f"tests/{test}")


OTHERS_LOSE_NOTHING = "test_the_other_gpus_lose_nothing"
SHARED_FAIRLY = "test_runs_that_share_a_gpu_get_what_they_used"
LOST = "test_a_lost_gpu_is_unknown_until_it_is_back[lost-and-hung]"
HANGING = "test_a_hanging_gpu_is_unknown_until_it_answers[lost-and-hung]"
IN_PLACE = "test_an_upgraded_driver_is_loaded_in_place[upgrade]"
FRESH = "test_a_library_that_stays_mapped_takes_a_fresh_process[upgrade-stuck]"
OLD_DRIVER = "test_an_old_driver_is_read_by_its_rates[old-driver]"
NO_DRIVER = "test_without_any_driver_the_cpu_is_read_and_one_line_says_why[no-driver]"

SAMPLING_ON_THE_LOOP = (
    ("log = logging.getLogger(__name__)\n",
     "log = logging.getLogger(__name__)\nasync def _inline(cycle, now):\n    return cycle.run(now)\n"),
    ("loop = asyncio.get_running_loop()", "loop = self._loop = asyncio.get_running_loop()"),
    ("self._snapshot is None, cycle.run(now)",
     "self._snapshot is None, asyncio.run_coroutine_threadsafe(_inline(cycle, now), self._loop).result()"),
)  # fmt: skip

HANDLINGS = (
    remove("a GPU that is not read is unknown", "agent/cycle.py", LOST,
           ("            self.ledger.enter(uuid, miss(marks[uuid], now.boottime), unix=now.unix)\n",
            "            pass\n")),
    remove("one GPU's failure is its own", "agent/fleet.py", f"{OTHERS_LOSE_NOTHING}[lost-and-hung]",
           ("if isinstance(result, DriverUnavailable):\n                self._gone",
            "if isinstance(result, Exception):\n                self._gone")),
    remove("a driver that went is tried again at once", "agent/fleet.py",
           "test_without_its_driver_a_gpu_is_unknown[reload]",
           ("            if not self._to_close:\n                raise\n", "            raise\n")),
    remove("a roll-up once shown stays shown", "account/ledger.py", "test_no_counter_falls[clock]",
           ("self.people[person] = roll_up._replace(zero_until_unix=0.0)", "pass"),
           ("Use() if roll_up.zero_until_unix else", "Use() if unix < roll_up.zero_until_unix else")),
    remove("a call has a deadline", "sense/lane.py", HANGING,
           ("if self.current is not None and remaining <= 0:", "if False:")),
    remove("a hanging GPU is not called again", "sense/lane.py", HANGING,
           ("in self._stuck.items() if thread.is_alive()}", "in self._stuck.items() if False}")),
    remove("sampling is off the serving thread", "agent/daemon.py", "test_metrics_answers_at_once[lost-and-hung]",
           *SAMPLING_ON_THE_LOOP),
    remove("a session that ended is opened again", "sense/nvml.py", "test_what_runs_are_charged_adds_up[reload]",
           ("        pynvml.NVML_ERROR_UNINITIALIZED,\n", "")),
    remove("an energy counter may start again", "account/device.py", "test_no_counter_falls[reload]",
           ("return step if 0 <= step <= ", "return step if step <= ")),
    remove("the old library is unloaded", "sense/nvml.py", IN_PLACE, ("    _ctypes.dlclose(library._handle)\n", "")),
    remove("a fresh process takes over", "agent/daemon.py", FRESH,
           ("if cycle.needs_fresh_process and ", "if False and ")),
    remove("it inherits the socket", "agent/daemon.py", FRESH, ("_inherited_listener() or bind(", "bind(")),
    remove("impossible utilisation is garbage", "sense/track.py", "test_no_gpu_is_shown_as_more_than_busy[garbage]",
           ("if 0 <= sample.percent <= 100 and since", "if since")),
    remove("samples of the future are garbage", "sense/track.py", f"{OTHERS_LOSE_NOTHING}[garbage]",
           (":= clock.to_boottime(sample.driver_us)) <= now + _AHEAD", ":= clock.to_boottime(sample.driver_us))")),
    remove("the clock is not taken from garbage", "sense/track.py", f"{OTHERS_LOSE_NOTHING}[garbage]",
           ("max(stamp for stamp in stamps if abs(stamp - middle) / MICROS <= _BULK)", "max(stamps)")),
    remove("impossible SM use is garbage", "sense/track.py", f"{SHARED_FAIRLY}[garbage]",
           ("s.sm_percent <= 100 and ", "")),
    remove("process 0 is garbage", "sense/nvml.py", f"{SHARED_FAIRLY}[garbage]",
           ("            if 0 < entry.pid <= _HIGHEST_PID\n", "")),
    remove("impossible processes are garbage", "sense/nvml.py",
           "test_nvml.py::test_impossible_pids_and_sizes_are_left_out", ("if 0 < pid <= _HIGHEST_PID:", "if True:")),
    remove("a past that cannot be read is added later", "agent/cycle.py",
           "test_cycle.py::test_a_past_that_cannot_be_read_yet_is_added_later",
           ("            self._recall_past(now)\n            self._store.commit", "            self._store.commit")),
    remove("a disk that refuses is no end", "state/store.py",
           "test_state.py::test_a_disk_that_refuses_loses_nothing_once_it_takes_again",
           ("        raise DiskRefused(f\"{what}: {error}\") from error\n", "        raise\n")),
    remove("a damaged file is set aside", "state/store.py", "test_state.py::test_a_damaged_file_is_set_aside_and_kept",
           ("                self.set_aside = set_aside(path, unix=unix)\n", "                path.unlink()\n")),
    remove("SM use of other times is garbage", "sense/track.py", f"{SHARED_FAIRLY}[garbage]",
           (" and since_us < s.driver_us <= latest_us]", "]")),
    remove("an unknown holder is somebody", "account/device.py",
           "test_nobody_is_charged_for_a_process_that_nobody_saw[vanished]",
           ("hidden=len(known) < len(pids)", "hidden=False")),
    remove("a missing function is no failure", "sense/nvml.py", OLD_DRIVER,
           ("        pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,\n", "")),
    remove("without a ring there is the rate", "sense/gpu.py", OLD_DRIVER,
           ("None if rate is None else (Piece(now, rate),)", "None")),
    remove("without SM use all share equally", "account/split.py", "test_what_runs_are_charged_adds_up[old-driver]",
           ("dict.fromkeys(owners, stretch.busy / len(owners))", "dict.fromkeys(owners, 0.0)")),
    remove("without an energy counter there is power", "account/device.py", OLD_DRIVER,
           ("(watts if watts <= _HIGHEST_WATTS else 0.0) * elapsed", "0.0 * elapsed")),
    remove("a sensor that fails costs no other", "agent/sensors.py", NO_DRIVER,
           ("            problem = str(error)\n", "            raise\n")),
    remove("no driver is said in clear words", "sense/nvml.py", NO_DRIVER,
           ("if error.value == pynvml.NVML_ERROR_LIBRARY_NOT_FOUND:", "if False:")),
    remove("and is said once", "agent/sensors.py", NO_DRIVER,
           ("if problem and problem != last.problem:", "if problem:")),
    remove("a state has one agent", "state/file.py", "test_a_second_agent_on_the_same_state_is_refused",
           ("        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)\n", "        pass\n")),
    remove("a set clock is followed", "sense/track.py", "test_a_set_clock_stops_nothing[clock]",
           ("if self._of_wall and abs(unix - boottime - self._offset) > _STEPPED:", "if False:")),
    remove("a driver's clock that moved is mapped anew", "sense/gpu.py", f"{OTHERS_LOSE_NOTHING}[stamps-behind]",
           ("self._driver_clock, self._use_until_us = None, 0", "pass")),
    remove("a request has a deadline", "export/server.py",
           "test_server.py::test_silent_clients_are_dropped_at_the_deadline",
           ("call_later(REQUEST_SECONDS, self.drop)", "call_later(3600.0, self.drop)")),
    remove("at the cap the idlest goes", "export/server.py",
           "test_server.py::test_at_the_cap_the_idlest_goes_and_never_the_scraper",
           ("next(iter(self._idle)).drop()", "self.drop()")),
)  # fmt: skip


class Verdict(NamedTuple):
    """How a removal went, and what the test said to it."""

    handling: Handling
    good: bool
    text: str
    seconds: float


def copy_package(folder: Path) -> Path:
    """A copy of the package in a folder."""
    shutil.copytree(ROOT / "gpuwatch", folder / "gpuwatch", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def run_tests(folder: Path, tests: Sequence[str]) -> tuple[int, str]:
    """Run the tests on the package in the folder: pytest's exit status and its output."""
    command = [
        sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider", "--rootdir", str(ROOT),
        "-c", str(ROOT / "pyproject.toml"), *(str(ROOT / test) for test in tests),
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=_LONGEST_SECONDS, check=False
    )
    return process.returncode, process.stdout + process.stderr


def apply(handling: Handling, folder: Path) -> str:
    """Remove the handling from the copy; what is wrong with that, if anything."""
    path = folder / "gpuwatch" / handling.file
    source = path.read_text(encoding="utf-8")
    for text, without in handling.changes:
        if source.count(text) != 1:
            return f"its text is in the file {source.count(text)} times: {text.strip()!r}"
        source = source.replace(text, without)
    compile(source, str(path), "exec")
    path.write_text(source, encoding="utf-8")
    return ""


def judge(handling: Handling) -> Verdict:
    """Remove it and run its test."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gpuwatch-without-") as name:
        folder = copy_package(Path(name))
        wrong = apply(handling, folder)
        if wrong:
            return Verdict(handling, False, wrong, 0.0)
        status, output = run_tests(folder, [handling.test])
    seconds = time.monotonic() - began
    if status == _FAILED:
        return Verdict(handling, True, _first_complaint(output), seconds)
    what = "SURVIVED: the test passes without it" if status == _PASSED else f"pytest ended with {status}"
    return Verdict(handling, False, what, seconds)


def _first_complaint(output: str) -> str:
    found = re.search(r"^E {3,}(?!\[)(\S.*)$", output, re.MULTILINE)
    return found[1][:110] if found else "failed"


def failing_anyway() -> set[str]:
    """Those of the tests that fail with all handlings in place."""
    with tempfile.TemporaryDirectory(prefix="gpuwatch-whole-") as name:
        _, output = run_tests(copy_package(Path(name)), sorted({handling.test for handling in HANDLINGS}))
    failed = re.findall(r"^(?:FAILED|ERROR) \S*?(test_\w+\.py::\S+)", output, re.MULTILINE)
    if not failed and " passed" not in output:
        raise RuntimeError(f"the tests cannot be run:\n{output}")
    return {f"tests/{test}" for test in failed}


def main() -> int:
    """Prove all of them; 1 where one is not proved."""
    broken = failing_anyway()
    for test in sorted(broken):
        print(f"fails with every handling in place, and so proves nothing: {test}")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        verdicts = []
        for verdict in pool.map(judge, HANDLINGS):
            verdicts.append(verdict)
            good = verdict.good and verdict.handling.test not in broken
            mark = "proved" if good else "NOT PROVED"
            print(f"{mark:<10}  {verdict.seconds:4.0f} s  {verdict.handling.name:<44}  {verdict.text}", flush=True)
    return 0 if all(verdict.good for verdict in verdicts) and not broken else 1


if __name__ == "__main__":
    sys.exit(main())
