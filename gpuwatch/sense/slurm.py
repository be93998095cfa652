"""Slurm's word on this node: has an operator taken it out of service there, and which of its GPUs have jobs?"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from gpuwatch.errors import SlurmUnavailable
from gpuwatch.model import Drain
from gpuwatch.sense.allocation import parse_gpus
from gpuwatch.sense.inquiry import Inquiry, one_line, slurm_environment

ASK_SECONDS = 60.0
_OUT_OF_SERVICE = {"DRAIN", "DRAINED", "DRAINING", "MAINT", "MAINTENANCE", "FAIL", "FAILING"}
"""By decision, as `man sinfo` has it. A node that is only DOWN was taken out by nobody: it is lost."""
_MARKS = "*~#!%$@^-"
_STATE = re.compile(r"(?:^|\s)State=(\S+)")
_USED = re.compile(r"(?:^|\s)GresUsed=(\S+)")
_REASON = re.compile(r"\sReason=(.*?)(?:\s\[([^\[\]\s]+)@(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\]|$)", re.MULTILINE)


def parse_node(text: str, *, unix: float) -> Drain | None:
    """Out of one `scontrol show node NAME -d -o`, with its times in UTC, seen at `unix`: None where it is in service.

    The state is `IDLE+DRAIN+NOT_RESPONDING` since Slurm 20.11 or so, and was `IDLE*+DRAIN` or `DRAINED*` before. It
    began when Slurm says that the reason was given, or at `unix`, whichever is earlier. Raises SlurmUnavailable where
    no state stands in the text.
    """
    state = _STATE.search(text)
    if state is None:
        raise SlurmUnavailable(f"scontrol shows no state of this node, but {one_line(text) or 'nothing'!r}")
    if _OUT_OF_SERVICE.isdisjoint(part.rstrip(_MARKS) for part in state[1].upper().split("+")):
        return None
    reason, by, stamp = match.groups("") if (match := _REASON.search(text, state.end())) else ("", "", "")
    since = min(unix, _parse_stamp(stamp, otherwise=unix))
    return Drain(since, one_line(reason), one_line(f"slurm:{by}" if by else "slurm"))


def parse_gpus_in_use(text: str) -> frozenset[int]:
    """Slurm's indices of the GPUs that jobs hold, out of the same text: `GresUsed=gpu:h100:3(IDX:0-1,3)`."""
    used = _USED.search(text)
    return parse_gpus(used[1]) if used else frozenset()


def _parse_stamp(stamp: str, *, otherwise: float) -> float:
    try:
        return datetime.fromisoformat(stamp).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return otherwise


def find_slurm(node: str) -> SlurmNode | None:
    """What asks this machine's Slurm about the node that it calls `node`; None where no `scontrol` is on PATH."""
    scontrol = shutil.which("scontrol")
    if scontrol is None:
        return None
    return SlurmNode([scontrol, "show", "node", node, "-d", "-o"], slurm_environment(os.environ))


class SlurmNode:
    """One node in Slurm, asked for once a minute. Times `now` are seconds of CLOCK_BOOTTIME."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._inquiry = Inquiry(command, environment, self._take)
        self._drain: Drain | None = None
        self.gpus_in_use: frozenset[int] = frozenset()
        """Slurm's indices of those that jobs hold, as it was last told."""

    @property
    def is_asking(self) -> bool:
        """Whether a question is under way."""
        return self._inquiry.is_open

    def read(self, *, now: float, unix: float) -> Drain | None:
        """What is known now, at once; None where the node is in service, or not known yet.

        Raises SlurmUnavailable while Slurm does not answer and no answer of the last ten minutes is there.
        """
        try:
            self._inquiry.read(now=now, unix=unix, every=ASK_SECONDS)
        except SlurmUnavailable:
            self._drain, self.gpus_in_use = None, frozenset()
            raise
        return self._drain

    def close(self) -> None:
        """End the question that is under way."""
        self._inquiry.close()

    def _take(self, text: str, unix: float) -> None:
        drain = parse_node(text, unix=unix)
        if drain is not None and self._drain is not None:
            drain = drain._replace(since_unix=min(drain.since_unix, self._drain.since_unix))
        self._drain, self.gpus_in_use = drain, parse_gpus_in_use(text)
