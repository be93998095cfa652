"""The person behind a uid."""

from __future__ import annotations

import pwd

from gpuwatch.attribute.text import clean


def read_user_name(uid: int) -> str:
    """The unix name, else `uid:N`. The name service may be slow: ask once per run."""
    try:
        return clean(pwd.getpwuid(uid).pw_name) or f"uid:{uid}"
    except KeyError:
        return f"uid:{uid}"
