"""What was delivered of one report, in a file beside the record: so that no message is ever posted twice.

It is noted before a message is sent off, and again when it is posted. What was noted only before may have been posted.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from gpuwatch.errors import StateError
from gpuwatch.model.outbox import Place

FOLDER: Final = "deliveries"


class Deliveries:
    """The deliveries of one report, by recipient."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._posted: dict[str, Place | None] = {}
        text = os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode("utf-8", "replace")
        for line in text.splitlines():
            self._take(line)
        if text and not text.endswith("\n"):
            os.write(descriptor, b"\n")  # what was cut off by a crash stays a line of its own

    def is_begun(self, recipient: str) -> bool:
        """Whether something was sent off to them, posted or not."""
        return recipient in self._posted

    def posted(self, recipient: str) -> Place | None:
        """Where the message is; None where it is not known to be anywhere."""
        return self._posted.get(recipient)

    def begin(self, recipient: str) -> None:
        """Note that a message is about to be sent off. Raises StateError where that cannot be noted."""
        self._note(recipient, "begun")

    def end(self, recipient: str, posted: Place) -> None:
        """Note where it is. Raises StateError."""
        self._note(recipient, "posted", posted)

    def cancel(self, recipient: str) -> None:
        """Note that it was surely not posted. Raises StateError."""
        self._note(recipient, "not posted")

    def _note(self, recipient: str, outcome: str, posted: Place | None = None) -> None:
        about = {"recipient": recipient, "outcome": outcome, **(posted._asdict() if posted else {})}
        line = json.dumps(about) + "\n"
        try:
            os.write(self._descriptor, line.encode())
            os.fsync(self._descriptor)
        except OSError as error:
            raise StateError(f"what was delivered cannot be noted: {error.strerror}") from error
        self._take(line)

    def _take(self, line: str) -> None:
        try:
            about = json.loads(line)
            recipient, outcome = about["recipient"], about["outcome"]
            posted = Place(about["channel"], about["stamp"]) if outcome == "posted" else None
        except (ValueError, KeyError, TypeError):
            return  # cut off by a crash: what it was about was noted before, as begun
        if outcome == "not posted":
            self._posted.pop(recipient, None)
        else:
            self._posted[recipient] = posted


@contextmanager
def open_deliveries(directory: Path, name: str) -> Iterator[Deliveries]:
    """The deliveries of the report called `name`, for one process at a time. Raises StateError."""
    path = directory / FOLDER / f"{name}.jsonl"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateError(f"{path}, which notes what was delivered, cannot be opened: {error.strerror}") from error
    try:
        _lock(descriptor, path)
        yield Deliveries(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise StateError(f"this report is being delivered by another gpuwatch, which holds {path}") from error
