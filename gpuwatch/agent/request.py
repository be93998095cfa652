"""What a process asks of the agent's door: text to data. Every byte is a stranger's. Pure."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from gpuwatch.attribute.case import Registration
from gpuwatch.attribute.expectation import LONGEST_SECONDS
from gpuwatch.attribute.text import LONGEST, clean
from gpuwatch.explicit.message import LONGEST_BYTES

_RUN = re.compile(r"(?:named|mlflow):[A-Za-z0-9_][A-Za-z0-9._-]{0,119}")
_HIGHEST_PID = 1 << 22
_KEYS = frozenset({"pid", "run", "name", "project", "url", "end", "ask"})
_WISHES = {
    "snooze": frozenset({"snooze", "seconds", "reason"}),
    "unsnooze": frozenset({"unsnooze"}),
    "wrong": frozenset({"wrong", "reason"}),
}
"""What may stand in the message of each."""


class Request(NamedTuple):
    """A registration, with `end` its end, or with `ask` a question after it."""

    pid: int | None
    """None for the process that asks."""
    end: bool
    registration: Registration
    """To be ended, only `run` counts: that one, or any where it is empty."""
    ask: bool = False


class Wish(NamedTuple):
    """What a person says of a run of theirs: `snooze`, `unsnooze`, or that its last notice was `wrong`."""

    what: str
    run: str
    """Its name, or what stands behind the source in that."""
    seconds: int = 0
    """To be snoozed, from now."""
    reason: str = ""


def parse_request(content: bytes, *, unix: float) -> Request | Wish:
    """One message. Raises ValueError that says what is wrong with it."""
    if len(content) > LONGEST_BYTES:
        raise ValueError(f"a message has at most {LONGEST_BYTES} bytes")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError("a message is one JSON object in UTF-8") from error
    if isinstance(document, dict) and (wished := document.keys() & _WISHES.keys()):
        return _wish(document, min(wished))
    if not isinstance(document, dict) or not document.keys() <= _KEYS:
        raise ValueError(f"a message is a JSON object with {', '.join(sorted(_KEYS))}")
    end, ask = (_flag(document, key) for key in ("end", "ask"))
    registration = _registration(document, is_whole=not (end or ask), unix=unix)
    return Request(_pid(document.get("pid")), end, registration, ask)


def _wish(document: dict[str, Any], what: str) -> Wish:
    if not document.keys() <= _WISHES[what]:
        raise ValueError(f"a message to {what} is a JSON object with {', '.join(sorted(_WISHES[what]))}")
    run, reason = (clean(_text(document, key)) for key in (what, "reason"))
    if not run:
        raise ValueError(f"{what} must be the name of a run")
    seconds = document.get("seconds", 0)
    if what == "snooze" and (type(seconds) is not int or not 0 < seconds <= LONGEST_SECONDS):
        raise ValueError(f"seconds must be a whole number from 1 to {LONGEST_SECONDS}, which are 14 days")
    if what == "snooze" and not reason:
        raise ValueError("a snooze needs a reason")
    return Wish(what, run, seconds, reason)


def parse_url(text: str) -> str:
    """A page to link to; empty for one that is too long, has a password, or is no URL of http or https."""
    if clean(text) != text or len(text) > LONGEST or not text.isascii() or " " in text:
        return ""
    try:
        parts = urlsplit(text)
    except ValueError:
        return ""
    return text if parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc else ""


def _pid(value: object) -> int | None:
    if value is None:
        return None
    if type(value) is not int or not 0 < value <= _HIGHEST_PID:
        raise ValueError("pid must be the number of a process")
    return value


def _flag(document: dict[str, Any], key: str) -> bool:
    value = document.get(key, False)
    if not isinstance(value, bool):
        raise ValueError(f"{key} must be true or false")
    return value


def _registration(document: dict[str, Any], *, is_whole: bool, unix: float) -> Registration:
    run = _text(document, "run")
    if not _RUN.fullmatch(run) and (run or is_whole):
        raise ValueError("run must be named:ID or mlflow:ID, with an ID of letters, digits, dots, - and _")
    name, project = (clean(_text(document, key)) for key in ("name", "project"))
    return Registration(run, name=name, project=project, url=parse_url(_text(document, "url")), started_unix=unix)


def _text(document: dict[str, Any], key: str) -> str:
    value = document.get(key, "")
    if not isinstance(value, str):
        raise ValueError(f"{key} must be text")
    return value
