"""A file that a command writes: whole, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from gpuwatch.errors import UsageError


@contextmanager
def whole_file(path: Path) -> Iterator[TextIO]:
    """Text that takes the place of the file at `path` when all of it is written.

    What is no regular file (a terminal, a pipe) is written to as it is. Raises UsageError where it cannot be written.
    """
    straight = path.exists() and not path.is_file()
    place = path if straight else path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with place.open("w", encoding="utf-8", newline="") as file:
            yield file
        if not straight:
            place.replace(path)
    except OSError as error:
        raise UsageError(f"--output {path} cannot be written: {error.strerror or error}") from error
    finally:
        if not straight:
            with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                place.unlink()
