"""A service manager for tests: the socket that systemd listens on, and stopping what it watches, thread by thread."""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from collections.abc import Callable
from typing import Final

_SEIZE: Final = 0x4206
_INTERRUPT: Final = 0x4207
_WALL: Final = 0x40000000
"""Of ptrace(2) and waitpid(2), which Python does not name."""


class Manager:
    """A service manager's socket: what it was told, datagram by datagram."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0", 1))

    def close(self) -> None:
        self._socket.close()

    def told(self, *, seconds: float = 0.0) -> list[str]:
        """The lines of the next datagram; nothing where none comes within `seconds`."""
        self._socket.settimeout(seconds)
        try:
            return self._socket.recv(4096).decode().split("\n")
        except (TimeoutError, BlockingIOError):
            return []

    def wait_for(self, line: str, *, seconds: float = 20.0) -> list[str]:
        """All lines up to the one that is waited for, and those that came with it."""
        lines: list[str] = []
        while line not in lines:
            told = self.told(seconds=seconds)
            assert told, f"{line} is not among {lines}"
            lines += told
        return lines

    def forget(self) -> None:
        """Throw away what came so far."""
        while self.told():
            pass


def freeze(pid: int) -> Callable[[], None]:
    """Stop all threads of a process but its first; what lets them go on. Signals could only stop them all."""
    threads = [int(name) for name in os.listdir(f"/proc/{pid}/task") if int(name) != pid]
    stopped, go_on = threading.Event(), threading.Event()
    tracer = threading.Thread(target=_trace, args=(threads, stopped, go_on), name="tracer")
    tracer.start()  # who traces must wait and let go by the same thread, and lets go when it ends
    assert stopped.wait(10)

    def thaw() -> None:
        go_on.set()
        tracer.join()

    return thaw


def _trace(threads: list[int], stopped: threading.Event, go_on: threading.Event) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    library.ptrace.argtypes, library.ptrace.restype = [ctypes.c_long] * 4, ctypes.c_long
    for thread in threads:
        assert library.ptrace(_SEIZE, thread, 0, 0) == 0, os.strerror(ctypes.get_errno())
        assert library.ptrace(_INTERRUPT, thread, 0, 0) == 0
        os.waitpid(thread, _WALL)
    stopped.set()
    go_on.wait()
