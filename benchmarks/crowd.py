"""A crowd: thousands of processes that do nothing, as a busy machine has them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_PROGRAM: Final = """
import os, signal, sys
for _ in range(int(sys.argv[1])):
    if os.fork() == 0:
        signal.pause()
        os._exit(0)
print("ready", flush=True)
sys.stdin.read()
os.killpg(0, signal.SIGKILL)
"""
"""Children share the memory of their parent; all of them end with it, and it ends with us."""


@contextmanager
def crowd(count: int) -> Iterator[None]:
    """Have `count` idle processes on the machine."""
    parent = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _PROGRAM, str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert parent.stdout is not None
        if parent.stdout.readline() != b"ready\n":
            raise RuntimeError(f"this machine has no room for {count} processes")
        yield
    finally:
        os.killpg(parent.pid, signal.SIGKILL)
        parent.communicate()
