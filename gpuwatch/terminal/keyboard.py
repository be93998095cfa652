"""The terminal while it is ours: no echo, keys at once, and signals that wake who waits for a key. It is given back."""

from __future__ import annotations

import os
import select
import signal
import termios
import tty
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from gpuwatch.terminal.keys import parse_keys

_LONGEST: Final = 4096
_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Keyboard:
    """Keys, and all else that may wake the screen."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self.ended = False
        """Somebody told us to end, or the terminal has gone."""
        self.suspended = False
        """Somebody told us to stand aside."""

    def wait(self, seconds: float) -> list[str]:
        """The keys that were pressed: as soon as there are any, or something else has happened, or after `seconds`."""
        ready, _, _ = select.select([self._descriptor, self._wake_read], [], [], seconds)
        if self._wake_read in ready:
            os.read(self._wake_read, _LONGEST)
        if self._descriptor not in ready:
            return []
        sent = os.read(self._descriptor, _LONGEST)
        self.ended = self.ended or not sent
        return parse_keys(sent)

    def wake(self) -> None:
        """Have who waits look again. From any thread, and from handlers of signals."""
        try:
            os.write(self._wake_write, b".")
        except BlockingIOError:
            return  # it will wake as it is

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Keys come one by one and unseen, and signals are flags, until the end of this: then all is as it was."""
        self.suspended = False
        before = termios.tcgetattr(self._descriptor)
        with ExitStack() as stack:
            for number in (*_ENDING, signal.SIGTSTP, signal.SIGWINCH):
                stack.callback(signal.signal, number, signal.signal(number, self._note))
            stack.callback(termios.tcsetattr, self._descriptor, termios.TCSAFLUSH, before)
            tty.setcbreak(self._descriptor)
            yield

    def _note(self, number: int, _: object) -> None:
        self.ended = self.ended or number in _ENDING
        self.suspended = self.suspended or number == signal.SIGTSTP
        self.wake()
