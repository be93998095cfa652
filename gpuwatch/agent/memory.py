"""How the C library hands out memory: told to keep little of what it is given back. Nothing else is touched."""

from __future__ import annotations

import ctypes
from typing import Final

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""As <malloc.h> of glibc numbers them."""
_LARGE: Final = 64 * 1024


def keep_little() -> None:
    """From now on freed memory goes back to the system soon. Where the C library knows no such options, as before.

    What a scrape takes for a moment, a few times a minute, would else stay resident for good: glibc keeps a heap for
    each thread, and keeps more of it the larger the pieces are that were freed.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_ARENA_MAX, 1)
        mallopt(_MMAP_THRESHOLD, _LARGE)
        mallopt(_TRIM_THRESHOLD, _LARGE)
