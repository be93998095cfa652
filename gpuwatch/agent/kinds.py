"""What the value of a setting may be, and how it is written and shown. Pure: nothing is opened or looked up here."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gpuwatch.alert import hours
from gpuwatch.errors import UsageError
from gpuwatch.export.address import parse_address
from gpuwatch.units import parse_duration

LONGEST_NAME = 128
_LONGEST_SHOWN = 60
_INT64 = 2**63
_NUMBER = re.compile(r"[+-]?\d+(?P<fraction>\.\d+)?(?P<exponent>[eE][+-]?\d+)?", re.ASCII)
_TOKEN = re.compile(r"\b(?:xox[a-eprs]|xapp)-\d|\bhooks\.slack\.com/")
"""Slack's tokens and webhooks: easily pasted where the path of their file, or the API's address, is due."""
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


class Mistake(ValueError):
    """A wrong value, with what is wrong about it: it is told in place of the value."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value."""

    right: str
    """What would be right: it completes "must be …"."""
    check: Callable[[object], Any]
    """From a value of TOML to that of the settings. Raises ValueError for one that is not of this kind."""
    parse: Callable[[str], object] = str
    """From the text of a variable or a flag to a value of TOML."""


def number(right: str, *, least: float, most: float = math.inf) -> Kind:
    """A finite number within bounds, both inclusive."""
    return Kind(right, lambda value: float(_within(value, least, most)), parse_number)


def whole_number(*, least: int) -> Kind:
    """A whole number, also where it is written with a point (200.0)."""

    def check(value: object) -> int:
        exact = _within(value, least, math.inf)
        if exact != int(exact):
            raise ValueError
        return int(exact)

    return Kind(f"a whole number of {least} or more", check, parse_number)


def choice(*words: str) -> Kind:
    """One of some words."""

    def check(value: object) -> str:
        if not isinstance(value, str) or value not in words:
            raise ValueError
        return value

    return Kind(f"one of: {', '.join(words)}", check)


def path(right: str) -> Kind:
    """A path, `~` resolved and a relative one left so."""

    def check(value: object) -> Path:
        text = _text(value)
        if "://" in text:
            raise ValueError
        try:
            return Path(text).expanduser()
        except RuntimeError as error:  # no such user, or one without a home
            raise ValueError from error

    return Kind(right, check)


def parse_value(text: str) -> object:
    """A value of TOML; the text itself where it is none."""
    try:
        document = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return document["value"] if len(document) == 1 else text


def parse_number(text: str) -> object:
    """A decimal number; the text itself where it is none."""
    match = _NUMBER.fullmatch(text)
    if match is None or len(text) > _LONGEST_SHOWN:
        return text
    return float(text) if match["fraction"] or match["exponent"] else int(text)


def may_hold_secret(value: object) -> bool:
    """Whether a wrong value must not be shown: it may be a URL with a password, or a token where none belongs."""
    if not isinstance(value, str):
        return False
    _, _, rest = value.partition("://")
    return "@" in value or "?" in rest or "#" in rest or _TOKEN.search(value) is not None


def shown(value: object) -> str:
    """A value of TOML as a message shows it: on one line, and cut."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str) and len(value) > _LONGEST_SHOWN:
        return f"{toml(value[:_LONGEST_SHOWN])}…"
    return toml(value) if isinstance(value, str | bool | int | float) else str(value)


def told(value: object) -> str:
    """A wrong value as a message tells it."""
    return "is not shown here, as it may hold a secret" if may_hold_secret(value) else f"is {shown(value)}"


def toml(value: str | bool | int | float | Path | Sequence[Any] | Mapping[str, Any]) -> str:
    """A value as it is written in TOML, on one line."""
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{name_in_toml(name)} = {toml(item)}" for name, item in value.items())
        return f"{{ {pairs} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if -_INT64 <= value < _INT64 else "a number of more than 64 bits"
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    return f'"{escaped(str(value))}"'


def name_in_toml(name: str) -> str:
    """One part of a key as it is written in TOML."""
    return name if _BARE.fullmatch(name) else toml(name)


def escaped(text: str) -> str:
    """Text on one line, without characters that move the cursor, change direction or cannot be seen."""
    return "".join(c if c.isprintable() and c not in _ESCAPES else _ESCAPES.get(c) or _code(c) for c in text)


def _code(character: str) -> str:
    point = ord(character)
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


def _within(value: object, least: float, most: float) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError
    if not least <= value <= most or not -_INT64 <= value < _INT64:  # so neither is nan
        raise ValueError
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable() or _TOKEN.search(value):
        raise ValueError
    return value


def _name(value: object) -> str:
    name = _text(value)
    if len(name) > LONGEST_NAME:
        raise ValueError
    return name


def _duration(value: object) -> str:
    duration = _text(value)
    parse_duration(duration)
    return duration


def _working_hours(value: object) -> str:
    working = _text(value)
    hours.parse_hours(working)
    return working


def _address(value: object) -> str:
    address = _text(value)
    try:
        parse_address(address)
    except UsageError as error:
        raise ValueError from error
    return address


def _url(value: object) -> str:
    url = _text(value)
    if not url.isascii() or set(url) & set(" @?#\\"):
        raise ValueError
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError
    return url.rstrip("/")


NAME = Kind(f"a name of 1 to {LONGEST_NAME} printable characters", _name)
ADDRESS = Kind("HOST:PORT, like 127.0.0.1:9469 or [::]:9469", _address)
DURATION = Kind("a length of time like 30m, 2h or 1d", _duration)
WORKING_HOURS = Kind(hours.RIGHT, _working_hours)
URL = Kind("a URL of http or https without user and query, like http://prometheus:9090", _url)
"""A base URL, without a slash at its end. One with a user and a password would be printed with them."""
