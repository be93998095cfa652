"""Other people's text on its way to a terminal or a file: names of users, projects and runs can be anything."""

from __future__ import annotations

import unicodedata
from typing import Final

_FORBIDDEN: Final = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})
"""Unicode categories: what moves a cursor, changes direction, or is nothing that could be seen."""
UNKNOWN: Final = "-"
"""Stands for what has no name."""


def plain(text: str) -> str:
    """On one line, without characters that are none to read."""
    return "".join(c for c in text if unicodedata.category(c) not in _FORBIDDEN)


def shown(name: str) -> str:
    """A name in a table: where there is none, a dash."""
    return plain(name).strip() or UNKNOWN


def web_link(url: str) -> str:
    """A link that may be shown: of the web, and of plain characters; empty for any other."""
    fits = url.startswith(("https://", "http://")) and url.isascii() and url.isprintable() and " " not in url
    return url if fits else ""
