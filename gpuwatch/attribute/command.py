"""What a process was told to run, read from its arguments. Pure; the text is the user's own, and hostile."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from gpuwatch.model import Process

_INTERPRETERS = ("python", "pypy", "julia", "ruby", "perl", "node", "Rscript", "lua")
_OPTION = re.compile("-[A-Za-z]*?([cemWX])(.*)", re.DOTALL)
"""Letters behind one hyphen up to the first that has a value, and what of that stands in the same argument."""
_MOST_OPTIONS = 64
"""Before what is run. Every member of a lineage is read so, for every process."""
_TEXT, _MODULE = "ce", "m"
"""Options whose value is the program itself (Python's `-c`, Julia's and Node's `-e`), or a module."""
_LONG_TEXT = ("--eval", "--print")
_LAUNCHERS = frozenset(
    "torchrun accelerate accelerate-launch deepspeed horovodrun colossalai composer "
    "torch.distributed.run torch.distributed.launch accelerate.commands.launch deepspeed.launcher.launch "
    "mpirun mpiexec mpiexec.hydra hydra_pmi_proxy orted prted orterun prterun".split()
)
"""Programs and modules that start the ranks of one launch."""


class Command(NamedTuple):
    """A program, what it was told to run, and the arguments after that. Unknown parts are empty."""

    program: str
    entry: str
    """Of an interpreter: the script or module; empty for program text (`-c`) or a prompt."""
    after: Sequence[str]

    @property
    def is_launcher(self) -> bool:
        """Whether it starts the ranks of one launch, given what they run."""
        return self.program in _LAUNCHERS or self.entry in _LAUNCHERS


def command_of(process: Process) -> Command:
    """The command of a process; without arguments, by the name that the kernel has."""
    program = base(process.arguments[0]) or process.name
    rest = process.arguments[1:]
    if not program.startswith(_INTERPRETERS):
        return Command(program, "", rest)
    return Command(program, *_entry(rest))


def base(path: str) -> str:
    """The last part of a path."""
    return PurePosixPath(path).name


def _entry(arguments: Sequence[str]) -> tuple[str, Sequence[str]]:
    skip = False
    for position, argument in enumerate(arguments[:_MOST_OPTIONS]):
        option = _OPTION.fullmatch(argument)
        if skip:
            skip = False
        elif argument.startswith(_LONG_TEXT) or (option and option[1] in _TEXT):
            break  # whatever follows belongs to a text, which may hold anything
        elif option and option[1] == _MODULE:
            entry, *after = [option[2]] * bool(option[2]) + list(arguments[position + 1 :]) or [""]
            return entry, after
        elif option:
            skip = not option[2]
        elif not argument.startswith("-"):
            return base(argument), arguments[position + 1 :]
    return "", ()
