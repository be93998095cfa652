"""Where a command writes: to a file, whole or not at all, or to standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from gpuwatch.errors import GpuwatchError, UsageError


@contextmanager
def whole_file(path: Path) -> Iterator[TextIO]:
    """Text that takes the place of the file at `path` when all of it is written.

    What is no regular file (a terminal, a pipe) is written to as it is. Raises UsageError where it cannot be written.
    """
    straight = os.path.exists(path) and not os.path.isfile(path)  # which raise nothing where one may not look
    place = path if straight else path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # In a folder of all, somebody may have put a link where ours is to be: "x" follows none.
        with place.open("w" if straight else "x", encoding="utf-8", newline="") as file:
            yield file
        if not straight:
            place.replace(path)
    except OSError as error:
        raise UsageError(f"--output {path} cannot be written: {error.strerror or error}") from error
    finally:
        if not straight:
            with suppress(OSError):
                place.unlink()


def write_out(lines: Iterable[str]) -> None:
    """Write to standard output, as far as whoever reads it wants. Raises GpuwatchError where it takes no more."""
    try:
        sys.stdout.writelines(lines)
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left is not flushed again at the end
        if not isinstance(error, BrokenPipeError):  # as of `head`, which has enough
            raise GpuwatchError(f"standard output cannot be written: {error.strerror or error}") from error
