"""User text on its way into labels: a name can be anything, a label cannot."""

from __future__ import annotations

import re
import unicodedata

LONGEST = 128
_FORBIDDEN = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})
"""Unicode categories: control, format (bidirectional overrides among them), private, surrogate, line and paragraph."""


def clean(text: str, longest: int = LONGEST) -> str:
    """`text` as a label value: printable, and without a backtick.

    Between backticks a dashboard's queries have names, as PromQL escapes nothing in there.
    """
    return printable(text.replace("`", "'"), longest)


def printable(text: str, longest: int = LONGEST) -> str:
    """`text` for people: no control, bidirectional or surrogate characters, at most `longest` characters."""
    kept = "".join(c for c in text[: 4 * longest] if unicodedata.category(c) not in _FORBIDDEN)
    return kept.strip()[:longest]


def checked(text: str, form: re.Pattern[str]) -> str:
    """`text` where it has this form from end to end, else nothing: ids are made of nothing else."""
    return text if form.fullmatch(text) else ""
