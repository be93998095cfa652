"""What is said: the words of a registration on the wire, and the names of runs that people give. Pure."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from gpuwatch.units import base36

LONGEST_BYTES = 4096
"""Of a message. One datagram of a SOCK_SEQPACKET socket is one message: a JSON object."""
RUN_VARIABLE = "GPUWATCH_RUN"
NAME_VARIABLE = "GPUWATCH_RUN_NAME"
PROJECT_VARIABLE = "GPUWATCH_PROJECT"
USER_VARIABLE = "GPUWATCH_USER"
"""By these a named run is passed to the processes below it, on other nodes too. The person is only ever set by hand."""
EXPECT_VARIABLE = "GPUWATCH_EXPECT_IDLE"
"""By it whoever starts a run says for how long it may be idle, and why: `4h: waiting for labels`."""
_LONGEST_NAME = 48
_LONGEST_TEXT = 200
"""Characters; however they are escaped, three of these fit in a message."""
_UNSAFE = re.compile(r"[^A-Za-z0-9._]+")
_DRAWS = 36**4


class Announcement(NamedTuple):
    """What a process says of itself. `run` is whole: `named:…` or `mlflow:…`."""

    run: str
    name: str = ""
    project: str = ""
    url: str = ""


def encode(said: Announcement, *, end: bool = False) -> bytes:
    """The message that this process belongs to a run, or with `end` that it does no longer."""
    document: dict[str, object] = {"run": said.run}
    if end:
        document["end"] = True
    else:
        document |= {key: text[:_LONGEST_TEXT] for key, text in said._asdict().items() if text}
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")


def question(pid: int) -> bytes:
    """The message that asks which run a process has said to be."""
    return json.dumps({"ask": True, "pid": pid}).encode()


def snooze(run: str, *, seconds: int, reason: str) -> bytes:
    """The message that a run's idleness is meant, for so long from now."""
    return _wish({"snooze": run, "seconds": seconds, "reason": reason})


def unsnooze(run: str) -> bytes:
    """The message that it is not meant any more."""
    return _wish({"unsnooze": run})


def wrong(run: str, *, reason: str) -> bytes:
    """The message that the last notice about a run was a false alarm."""
    return _wish({"wrong": run, "reason": reason})


def _wish(document: dict[str, object]) -> bytes:
    cut = {key: value[:_LONGEST_TEXT] if isinstance(value, str) else value for key, value in document.items()}
    return json.dumps(cut, ensure_ascii=False).encode("utf-8", "replace")


def named_run(name: str, *, unix: float, draw: int) -> str:
    """`named:NAME-STAMP`: the second and `draw`, any random number, in base 36; so it is unique in the fleet."""
    safe = _UNSAFE.sub("_", name)[:_LONGEST_NAME].strip("._") or "run"
    return f"named:{safe}-{base36(int(unix) * _DRAWS + draw % _DRAWS)}"
