"""`gpuwatch.run(…)`: a stretch of a Python program as a run with a name."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

from gpuwatch.explicit.message import Announcement, named_run
from gpuwatch.explicit.voice import harmless, voice


@contextmanager
def run(name: str, project: str) -> Iterator[None]:
    """What `gpuwatch.run` returns: announced on enter, over on exit."""
    said: Announcement | None = None
    with harmless():
        whole = named_run(name, unix=time.time(), draw=secrets.randbits(32))
        said = Announcement(whole, name=name, project=project)
        voice().begin(said)
    try:
        yield
    finally:
        if said is not None:
            with harmless():
                voice().finish(said)
