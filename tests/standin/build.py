"""Compiles the stand-in for the driver's library, once for each variant of it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Final

SONAME: Final = "libnvidia-ml.so.1"
SOURCES: Final = Path(__file__).with_name("nvml")
FLAGS: Final = ("-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-pthread", f"-Wl,-soname,{SONAME}")


def build(folder: Path, *, without: Collection[str] = (), nodelete: bool = False) -> Path:
    """Put the library into `folder`, compiled with `cc` if this variant of it was not compiled before.

    Args:
        folder: where it is wanted; it exists.
        without: the functions which this version of the driver lacks.
        nodelete: `dlclose` leaves the library mapped.

    Raises:
        FileNotFoundError: there is no `cc`.
        subprocess.CalledProcessError: it does not compile.
    """
    exports = _export_list(without)
    flags = (*FLAGS, "-Wl,-z,nodelete") if nodelete else FLAGS
    texts = [path.read_text() for path in sorted(SOURCES.glob("*.[ch]"))]
    key = hashlib.sha256("\0".join((*texts, exports, *flags)).encode()).hexdigest()[:16]
    cache = Path(tempfile.gettempdir(), f"nvml-standin-{os.getuid()}")
    cache.mkdir(mode=0o700, exist_ok=True)
    compiled = cache / f"libnvidia-ml-{key}.so"
    if not compiled.exists():
        _compile(compiled, exports, flags)
    target = folder / SONAME
    target.unlink(missing_ok=True)
    target.symlink_to(compiled)
    return target


def _export_list(without: Collection[str]) -> str:
    """A version script for the linker: it hides what the driver lacks, so that `dlsym` does not find it."""
    hidden = "".join(f" {name};" for name in sorted(without))
    return f"{{ global: nvml*; local:{hidden} *; }};\n"


def _compile(target: Path, exports: str, flags: Collection[str]) -> None:
    """Compile aside and rename, so that no other process ever loads half a library."""
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        script, made = Path(folder, "exports"), Path(folder, SONAME)
        script.write_text(exports)
        sources = [str(path) for path in sorted(SOURCES.glob("*.c"))]
        command = ["cc", *flags, f"-Wl,--version-script={script}", "-o", str(made), *sources, "-lm"]
        subprocess.run(command, check=True)
        made.replace(target)
