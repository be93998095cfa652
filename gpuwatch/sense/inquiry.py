"""A question to Slurm's commands, put again and again beside the cycles, which look whether an answer has come.

It is never waited for, and ended where it is late. Slurm is only ever asked to show, never to change.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from gpuwatch.errors import SlurmUnavailable

PATIENCE_SECONDS = 20.0
"""A loaded controller is late: `scontrol` itself gives up after some ten seconds, as its configuration says."""
STANDS_SECONDS = 600.0
"""For how long the last answer stands while there is no new one."""
_LONGEST_ANSWER = 1 << 16  # what a pipe holds: one that writes more waits, and is ended with those that are late
_LONGEST_TEXT = 128
_LATE = f"scontrol gave no answer within {PATIENCE_SECONDS:g} s"
_NOT_FOUND = "not found"
_NO_CLUSTER = "Could not establish a configuration source"


def slurm_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What Slurm's commands need of the agent's environment, with their times in UTC."""
    kept = {name: environment[name] for name in ("PATH", "SLURM_CONF", "SLURM_CONF_SERVER") if name in environment}
    return {**kept, "TZ": "UTC0"}


def one_line(text: str) -> str:
    """For people: one line without control characters, cut. Operators write it, and what they paste."""
    return "".join(c if c.isprintable() else " " for c in text).strip()[:_LONGEST_TEXT]


class Inquiry:
    """One command; its answer is handed to `take` with the time of UTC. Times `now` are seconds of CLOCK_BOOTTIME.

    `take` raises SlurmUnavailable for what is no answer.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], take: Callable[[str, float], None]
    ) -> None:
        # Python stands still until what it starts is loaded. /bin/sh is on this machine's disk; Slurm may be on a file
        # server that hangs.
        self._command = ["/bin/sh", "-c", 'exec "$@"', "sh", *command]
        self._environment = environment
        self._take = take
        self._asked: subprocess.Popen[bytes] | None = None
        self._asked_at = float("-inf")
        self._stands_until = 0.0
        self._problem = ""

    @property
    def is_open(self) -> bool:
        """Whether a question is under way."""
        return self._asked is not None

    def read(self, *, now: float, unix: float, every: float) -> None:
        """Take the answer that has come, or ask where the last question is `every` seconds ago.

        Raises SlurmUnavailable while Slurm does not answer and no answer of the last ten minutes is there.
        """
        if self._asked is not None:
            self._listen(self._asked, now=now, unix=unix)
        elif now - self._asked_at >= every:
            self._ask(now)
        if self._problem and now >= self._stands_until:
            raise SlurmUnavailable(self._problem)

    def close(self) -> None:
        """End the question that is under way."""
        if self._asked is not None:
            _end(self._asked)
            with suppress(subprocess.TimeoutExpired):  # one that hangs in the kernel must not keep the agent
                self._asked.wait(timeout=1.0)
            _read_what_is_there(self._asked)
            self._asked = None

    def _ask(self, now: float) -> None:
        self._asked_at = now
        try:
            self._asked = subprocess.Popen(
                self._command,
                bufsize=0,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=self._environment,
                process_group=0,  # to end it with what it started
            )
        except OSError as error:
            self._problem = f"scontrol cannot be started: {error.strerror}"

    def _listen(self, asked: subprocess.Popen[bytes], *, now: float, unix: float) -> None:
        status = asked.poll()
        if status is None:
            if now - self._asked_at >= PATIENCE_SECONDS:
                _end(asked)
                self._problem = _LATE  # said now: one that hangs in the kernel does not end
            return
        self._asked = None
        text = _read_what_is_there(asked)
        try:
            _check(text, status)
            self._take(text, unix)
        except SlurmUnavailable as error:
            # A cluster that was there and has gone is a fault, but not Slurm's tools on a machine of no cluster.
            belongs = self._stands_until > 0.0 or _NO_CLUSTER not in str(error)
            self._problem = str(error) if belongs else ""
            return
        self._problem, self._stands_until = "", now + STANDS_SECONDS


def _end(asked: subprocess.Popen[bytes]) -> None:
    """Kill it with what it started. It is not waited for yet, so its number is still its own."""
    os.killpg(asked.pid, signal.SIGKILL)


def _read_what_is_there(ended: subprocess.Popen[bytes]) -> str:
    assert ended.stdout is not None
    with ended.stdout as pipe:
        os.set_blocking(pipe.fileno(), False)  # a child of it may live, and hold the other end
        return (pipe.read(_LONGEST_ANSWER) or b"").decode("utf-8", "replace")


def _check(text: str, status: int) -> None:
    """Raises SlurmUnavailable where the command failed."""
    if status == 0:
        return
    if status == -signal.SIGKILL:
        raise SlurmUnavailable(_LATE)
    if _NOT_FOUND in text:
        raise SlurmUnavailable(f"Slurm says {one_line(text)!r}: name this node as Slurm does, with slurm.node")
    last = one_line(text.strip().rpartition("\n")[2])  # what was retried before stands above
    raise SlurmUnavailable(f"scontrol failed: {last or f'it ended with status {status}'}")
