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
from pathlib import Path
from typing import NamedTuple

from .handlings import HANDLINGS, Handling

ROOT = Path(__file__).resolve().parents[2]
_LONGEST_SECONDS = 180.0
_PASSED, _FAILED = 0, 1
"""Exit statuses of pytest; all others mean that it could not run the test."""


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
        "-c", str(ROOT / "pyproject.toml"), "-o", f"pythonpath={folder} {ROOT}",  # the copy before the repository
        *(str(ROOT / test) for test in tests),
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=_LONGEST_SECONDS, check=False
    )
    return process.returncode, process.stdout + process.stderr


def apply(handling: Handling, folder: Path) -> None:
    """Remove the handling from the copy."""
    path = folder / "gpuwatch" / handling.file
    path.write_text(handling.removed_from(path.read_text(encoding="utf-8")), encoding="utf-8")


def judge(handling: Handling) -> Verdict:
    """Remove it and run its test."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gpuwatch-without-") as name:
        folder = copy_package(Path(name))
        apply(handling, folder)
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
