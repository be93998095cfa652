"""gpuwatch: what every GPU does, whose run is doing it, and what it adds up to."""

from __future__ import annotations

from contextlib import AbstractContextManager

__version__ = "0.1.0"


def run(name: str, *, project: str = "") -> AbstractContextManager[None]:
    """`with gpuwatch.run("resnet-lr3", project="vision"):` what runs meanwhile is a run of that name.

    It speaks for the whole process and what it starts meanwhile. Runs nest: the innermost counts. Without an agent on
    this node nothing happens; it never raises because of gpuwatch, and takes 50 ms at the very most.
    """
    from gpuwatch.explicit import named  # noqa: PLC0415  to import gpuwatch must cost a trainer nothing

    return named.run(name, project)
