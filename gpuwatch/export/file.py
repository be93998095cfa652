"""Reading a file that an operator names: at once, whatever it is."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def read_file(path: Path, longest: int) -> bytes:
    """Up to `longest` bytes of a regular file. Raises OSError, for what is there and is none too."""
    # Not blocking: to open a FIFO would wait for somebody to write into it.
    with open(path, "rb", opener=lambda name, mode: os.open(name, mode | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        return file.read(longest)
