"""What this process has said and not taken back: the last word counts, and when it ends, the one before it again.

One process is in one run at a time, whoever says so: `gpuwatch.run`, MLflow, on any of its threads.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from gpuwatch.errors import Unheard
from gpuwatch.explicit.client import tell
from gpuwatch.explicit.message import Announcement, encode
from gpuwatch.explicit.place import sockets

log = logging.getLogger(__name__)


class Voice:
    """The announcements of one process. Nothing here raises because there is no agent."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._said: list[Announcement] = []
        self._lock = threading.Lock()

    def begin(self, said: Announcement) -> bool:
        """From now on this process is in that run. Says whether an agent knows."""
        with self._lock:
            if said in self._said:
                self._said.remove(said)
            self._said.append(said)
            return self._tell(encode(said))

    def finish(self, said: Announcement) -> None:
        """It is no longer. What it has never said, as in the child of a fork, it does not take back."""
        with self._lock:
            if said not in self._said:
                return
            was_last = self._said[-1] == said
            self._said.remove(said)
            if was_last:
                self._tell(encode(self._said[-1]) if self._said else encode(said, end=True))

    def _tell(self, message: bytes) -> bool:
        try:
            tell(message, sockets(self._environment))
        except Unheard as error:
            log.debug("%s", error)
            return False
        return True


_voices: dict[int, Voice] = {}


def voice() -> Voice:
    """This process's. A forked child has its own, and says nothing of what its parent said."""
    pid = os.getpid()
    return _voices.get(pid) or _voices.setdefault(pid, Voice(os.environ))


@contextmanager
def harmless() -> Iterator[None]:
    """The one place where anything may go wrong unseen: a user's training must not end because it is watched."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  whatever it is, it is ours, and the process is the user's
        log.debug("gpuwatch could not announce a run: %r", error)
