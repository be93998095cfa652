"""Memory that the agent takes for a moment is not kept."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps so much")

_PIECES = """
import threading
from pathlib import Path
from gpuwatch.agent.memory import keep_little

def resident_kibibytes():
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon"))

def take_and_give_back():
    pieces = [bytes(b"x" * 100_000) for _ in range(200)]
    kept.extend(pieces[::20])  # they lie between the others, so that no whole heap can be given back

kept = []
keep_little()
before = resident_kibibytes()
thread = threading.Thread(target=take_and_give_back)
thread.start()
thread.join()
print(resident_kibibytes() - before)
"""


def test_pieces_that_were_freed_go_back_to_the_system_even_from_between_others() -> None:
    done = subprocess.run([sys.executable, "-c", _PIECES], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 3_000, "of 20 MB that were taken, 1 MB is still in use"
