"""Ending processes: SIGINT to exactly the process that is meant, orders to those who run others, and waiting for it.

A pid is used again. So a process is held by a descriptor (pidfd) before it is looked at, and told by that.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from gpuwatch.attribute.text import clean
from gpuwatch.errors import GpuwatchError
from gpuwatch.model import Identity
from gpuwatch.sense.process import PROC, read_stat

_ORDER_SECONDS = 60.0
"""`docker stop` waits for 10 s by itself before it kills."""


class Held:
    """Processes that are held by descriptors, by identity: whose pid is another's by now is not among them."""

    def __init__(self, descriptors: dict[Identity, int]) -> None:
        self._descriptors = descriptors

    def interrupt(self, process: Identity) -> bool:
        """Send it SIGINT; False where it has ended. Raises GpuwatchError where that is not permitted."""
        descriptor = self._descriptors.get(process)
        if descriptor is None:
            return False
        try:
            signal.pidfd_send_signal(descriptor, signal.SIGINT)
        except ProcessLookupError:
            return False
        except PermissionError as error:
            raise GpuwatchError(f"not permitted to signal process {process.pid}: try with sudo") from error
        return True

    def wait(self, processes: Collection[Identity], *, seconds: float) -> bool:
        """Wait until all of these have ended, for so long at most; whether they have."""
        poll, deadline = select.poll(), time.monotonic() + seconds
        waiting = {self._descriptors[process] for process in processes if process in self._descriptors}
        for descriptor in waiting:
            poll.register(descriptor, select.POLLIN)
        while waiting and (left := deadline - time.monotonic()) > 0:
            for descriptor, _ in poll.poll(1000 * left):
                poll.unregister(descriptor)
                waiting.discard(descriptor)
        return not waiting


@contextmanager
def hold(processes: Iterable[Identity], proc: Path = PROC) -> Iterator[Held]:
    """Hold those of the processes that still are who they were."""
    descriptors: dict[Identity, int] = {}
    try:
        for process in dict.fromkeys(processes):
            with suppress(ProcessLookupError):
                descriptors[process] = _open(process.pid)
        # Read after it was opened: whoever has the pid now with that start time has had it then too.
        for process in list(descriptors):
            stat = read_stat(process.pid, proc)
            if stat is None or stat.start_ticks != process.start_ticks:
                os.close(descriptors.pop(process))
        yield Held(descriptors)
    finally:
        for descriptor in descriptors.values():
            os.close(descriptor)


def _open(pid: int) -> int:
    """Raises ProcessLookupError where it has ended, and GpuwatchError where no process can be held."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        raise
    except OSError as error:
        raise GpuwatchError(
            f"process {pid} cannot be held by a descriptor ({error.strerror}), without which a signal might reach "
            f"another one: by hand, kill -INT {pid}"
        ) from error


def give_order(words: Sequence[str]) -> None:
    """Run a command, by no shell. Raises GpuwatchError where it is not there, or refuses."""
    program = shutil.which(words[0])
    if program is None:
        raise GpuwatchError(f"{words[0]} is not on the PATH: run it where it is, as `{' '.join(words)}`")
    try:
        done = subprocess.run(
            [program, *words[1:]], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=_ORDER_SECONDS, check=False,
        )  # fmt: skip
    except OSError as error:
        raise GpuwatchError(f"{program} cannot be run: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise GpuwatchError(f"`{' '.join(words)}` does not come back") from error
    if done.returncode != 0:
        said = clean(done.stderr.strip().rpartition("\n")[2]) or f"exit status {done.returncode}"
        raise GpuwatchError(f"`{' '.join(words)}` was refused: {said}")
