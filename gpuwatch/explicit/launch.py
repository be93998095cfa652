"""A command as a child: in the foreground, signals passed on, its exit status ours. No shell."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping

_PASSED_ON = {signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2}
_OF_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
"""What Python ignores, and a command expects as usual."""
_FROM_KERNEL = 0x80
"""SI_KERNEL: from the terminal, which gives it to the whole foreground group, the child among them."""


class Child:
    """A running command. It stays in our process group, so that the terminal and job control treat both as one."""

    def __init__(self, command: tuple[str, ...], environment: Mapping[str, str]) -> None:
        """Start it. Raises OSError where there is no such program, or it cannot be started."""
        waited_for = _PASSED_ON | {signal.SIGCHLD}
        # Blocked from now on, and waited for: no signal is lost between the start and the waiting.
        # They stay so afterwards: what counts then is the child's status.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, waited_for)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # whoever started us may ignore it, and children left no status
        self._waited_for = waited_for
        try:
            self._pid = os.posix_spawnp(command[0], command, environment, setsigmask=before, setsigdef=_OF_PYTHON)
        except OSError:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            raise

    def wait(self) -> int:
        """Pass signals on until it ends: its exit status, or as in a shell 128 + N where signal N ended it."""
        while (status := self._ended()) is None:
            told = signal.sigwaitinfo(self._waited_for)
            if told.si_signo != signal.SIGCHLD and told.si_code != _FROM_KERNEL:
                os.kill(self._pid, told.si_signo)  # it is there as long as it was not waited for
        return status

    def _ended(self) -> int | None:
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        if pid == 0:
            return None
        code = os.waitstatus_to_exitcode(status)
        return 128 - code if code < 0 else code
