"""Slurm's word on this node: has an operator taken it out of service there?

`scontrol` is asked once a minute and never waited for: it runs beside the cycles, which look whether it has ended. It
is only ever asked to show, never to change.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime

from gpuwatch.errors import SlurmUnavailable
from gpuwatch.model import Drain

ASK_SECONDS = 60.0
PATIENCE_SECONDS = 20.0
"""A loaded controller is late: `scontrol` itself gives up after some ten seconds, as its configuration says."""
STANDS_SECONDS = 600.0
"""For how long the last answer stands while there is no new one."""
_LONGEST_ANSWER = 1 << 16  # what a pipe holds: one that writes more waits, and is ended with those that are late
_LONGEST_TEXT = 128
_OUT_OF_SERVICE = {"DRAIN", "DRAINED", "DRAINING", "MAINT", "MAINTENANCE", "FAIL", "FAILING"}
"""By decision, as `man sinfo` has it. A node that is only DOWN was taken out by nobody: it is lost."""
_LATE = f"scontrol gave no answer within {PATIENCE_SECONDS:g} s"
_NOT_FOUND = "not found"
_NO_CLUSTER = "Could not establish a configuration source"
_MARKS = "*~#!%$@^-"
_STATE = re.compile(r"(?:^|\s)State=(\S+)")
_REASON = re.compile(r"\sReason=(.*?)(?:\s\[([^\[\]\s]+)@(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\]|$)", re.MULTILINE)


def parse_node(text: str, *, unix: float) -> Drain | None:
    """Out of one `scontrol show node NAME -o`, with its times in UTC, seen at `unix`: None where it is in service.

    The state is `IDLE+DRAIN+NOT_RESPONDING` since Slurm 20.11 or so, and was `IDLE*+DRAIN` or `DRAINED*` before. It
    began when Slurm says that the reason was given, or at `unix`, whichever is earlier. Raises SlurmUnavailable where
    no state stands in the text.
    """
    state = _STATE.search(text)
    if state is None:
        raise SlurmUnavailable(f"scontrol shows no state of this node, but {_shown(text) or 'nothing'!r}")
    if _OUT_OF_SERVICE.isdisjoint(part.rstrip(_MARKS) for part in state[1].upper().split("+")):
        return None
    reason, by, stamp = match.groups("") if (match := _REASON.search(text, state.end())) else ("", "", "")
    since = min(unix, _parse_stamp(stamp, otherwise=unix))
    return Drain(since, _shown(reason), _shown(f"slurm:{by}" if by else "slurm"))


def _parse_stamp(stamp: str, *, otherwise: float) -> float:
    try:
        return datetime.fromisoformat(stamp).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return otherwise


def _shown(text: str) -> str:
    """For people: one line without control characters. Operators write it, and what they paste."""
    return "".join(c if c.isprintable() else " " for c in text).strip()[:_LONGEST_TEXT]


def find_slurm(node: str) -> SlurmNode | None:
    """What asks this machine's Slurm about the node that it calls `node`; None where no `scontrol` is on PATH."""
    scontrol = shutil.which("scontrol")
    if scontrol is None:
        return None
    kept = {name: os.environ[name] for name in ("PATH", "SLURM_CONF", "SLURM_CONF_SERVER") if name in os.environ}
    return SlurmNode([scontrol, "show", "node", node, "-o"], {**kept, "TZ": "UTC0"})


class SlurmNode:
    """One node in Slurm. Times `now` are seconds of CLOCK_BOOTTIME."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        # Python stands still until what it starts is loaded. /bin/sh is on this machine's disk; Slurm may be on a file
        # server that hangs.
        self._command = ["/bin/sh", "-c", 'exec "$@"', "sh", *command]
        self._environment = environment
        self._asked: subprocess.Popen[bytes] | None = None
        self._asked_at = 0.0
        self._due = 0.0
        self._drain: Drain | None = None
        self._stands_until = 0.0
        self._problem = ""

    def read(self, *, now: float, unix: float) -> Drain | None:
        """What is known now, at once; None where the node is in service, or not known yet.

        Raises SlurmUnavailable while Slurm does not answer and no answer of the last ten minutes is there.
        """
        if self._asked is not None:
            self._listen(self._asked, now=now, unix=unix)
        elif now >= self._due:
            self._ask(now)
        if self._problem and now >= self._stands_until:
            self._drain = None
            raise SlurmUnavailable(self._problem)
        return self._drain

    def close(self) -> None:
        """End the question that is under way."""
        if self._asked is not None:
            self._asked.kill()
            with suppress(subprocess.TimeoutExpired):  # one that hangs in the kernel must not keep the agent
                self._asked.wait(timeout=1.0)
            _read_what_is_there(self._asked)
            self._asked = None

    def _ask(self, now: float) -> None:
        self._asked_at, self._due = now, now + ASK_SECONDS
        try:
            self._asked = subprocess.Popen(
                self._command,
                bufsize=0,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=self._environment,
            )
        except OSError as error:
            self._problem = f"scontrol cannot be started: {error.strerror}"

    def _listen(self, asked: subprocess.Popen[bytes], *, now: float, unix: float) -> None:
        status = asked.poll()
        if status is None:
            if now - self._asked_at >= PATIENCE_SECONDS:
                asked.kill()
                self._problem = _LATE  # said now: one that hangs in the kernel does not end
            return
        self._asked = None
        text = _read_what_is_there(asked)
        try:
            drain = _answer(text, status, unix=unix)
        except SlurmUnavailable as error:
            # A cluster that was there and has gone is a fault, but not Slurm's tools on a machine of no cluster.
            belongs = self._stands_until > 0.0 or _NO_CLUSTER not in str(error)
            self._problem = str(error) if belongs else ""
            return
        if drain is not None and self._drain is not None:
            drain = drain._replace(since_unix=min(drain.since_unix, self._drain.since_unix))
        self._drain, self._problem, self._stands_until = drain, "", now + STANDS_SECONDS


def _read_what_is_there(ended: subprocess.Popen[bytes]) -> str:
    assert ended.stdout is not None
    with ended.stdout as pipe:
        os.set_blocking(pipe.fileno(), False)  # a child of it may live, and hold the other end
        return (pipe.read(_LONGEST_ANSWER) or b"").decode("utf-8", "replace")


def _answer(text: str, status: int, *, unix: float) -> Drain | None:
    if status == 0:
        return parse_node(text, unix=unix)
    if status == -signal.SIGKILL:
        raise SlurmUnavailable(_LATE)
    if _NOT_FOUND in text:
        raise SlurmUnavailable(f"Slurm says {_shown(text)!r}: name this node as Slurm does, with slurm.node")
    last = _shown(text.strip().rpartition("\n")[2])  # what was retried before stands above
    raise SlurmUnavailable(f"scontrol failed: {last or f'it ended with status {status}'}")
