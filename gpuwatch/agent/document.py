"""The file of the configuration, as far as TOML goes: what its keys mean is told in config.py."""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path
from typing import Any

from gpuwatch.agent.kinds import escaped
from gpuwatch.errors import UsageError

LONGEST_BYTES = 2**20


def read_document(path: Path, *, optional: bool = False, private: bool = False) -> dict[str, Any]:
    """The TOML document in a file. Raises UsageError.

    An `optional` one that is not there is empty, and so is a `private` one that this user may not read.
    """
    try:
        # Not blocking: to open a FIFO would wait for somebody to write into it.
        with open(path, "rb", opener=lambda name, mode: os.open(name, mode | os.O_NONBLOCK)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise _unusable(path, "it is no regular file")
            content = file.read(LONGEST_BYTES + 1)
    except FileNotFoundError as error:
        if optional:
            return {}
        raise _unusable(path, "there is no such file") from error
    except PermissionError as error:
        if private:
            return {}
        raise _unreadable(path, error) from error
    except OSError as error:
        raise _unreadable(path, error) from error
    if len(content) > LONGEST_BYTES:
        raise _unusable(path, "it is longer than 1 MiB")
    return parse_document(content, path)


def parse_document(content: bytes, path: Path) -> dict[str, Any]:
    """The TOML document in the content of a file at `path`. Raises UsageError."""
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _unusable(path, f"it is not in UTF-8: byte 0x{content[error.start]:02x} in line {line}") from error
    except tomllib.TOMLDecodeError as error:
        raise _unusable(path, f"it is no valid TOML: {escaped(str(error))}") from error
    except (ValueError, RecursionError) as error:
        raise _unusable(path, "it has a number that is too long, or lists within lists without end") from error


def _unreadable(path: Path, error: OSError) -> UsageError:
    return _unusable(path, f"it cannot be read ({error.strerror})")


def _unusable(path: Path, problem: str) -> UsageError:
    name = escaped(str(path))
    return UsageError(f"{name}: {problem}; the configuration must be a TOML file, as `gpuwatch config` prints one")
