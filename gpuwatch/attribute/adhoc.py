"""The last rule: a run is what somebody launched from a shell. Always has an answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from gpuwatch.attribute.text import clean
from gpuwatch.model import Lineage, Process

_LAUNCH_PADS = frozenset(
    "sh bash dash zsh fish ksh tcsh csh nu xonsh pwsh tmux screen sshd sshd-session login su sudo doas runuser "
    "systemd (sd-pam) init tini dumb-init docker-init catatonit s6-svscan runit supervisord cron crond atd "
    "containerd-shim containerd-shim-runc-v2 conmon slurmstepd xterm konsole kitty alacritty code-server "
    "make nohup setsid script watch env time timeout".split()
)
"""Programs that people launch runs from: what they start is a run, they are none."""
_INTERPRETERS = ("python", "pypy", "julia", "ruby", "perl", "node", "Rscript", "lua")
_OPTIONS_WITH_VALUE = frozenset({"-W", "-X"})
_LAUNCHERS = frozenset(
    "torchrun accelerate deepspeed horovodrun "
    "torch.distributed.run torch.distributed.launch accelerate.commands.launch".split()
)
"""Programs and modules that start a script given to them: the script is what people call the run."""
_NAME_LENGTH = 48
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def launch_root(lineage: Lineage) -> Process:
    """The topmost ancestor of the same user that was not launched through another program than a launch pad."""
    root = lineage.process
    for ancestor in lineage.members[1:]:
        if ancestor.uid != root.uid or is_launch_pad(ancestor.name):
            break
        root = ancestor
    return root


def is_launch_pad(name: str) -> bool:
    """Whether a program of this name starts runs rather than being part of one."""
    return name.removeprefix("-") in _LAUNCH_PADS or name.startswith(("tmux:", "sshd:", "gnome-terminal"))


def run_name(process: Process) -> str:
    """What people call it: the script it runs, else the module, else the program."""
    program = _base(process.arguments[0]) or process.name
    rest = process.arguments[1:]
    if not program.startswith(_INTERPRETERS):
        return _label(program) or "process"
    entry, after = _entry(rest)
    if entry in _LAUNCHERS:
        script = next((argument for argument in after if argument.endswith(".py")), None)
        entry = _base(script) if script else entry
    return _label(entry or program) or "process"


def base36(number: int) -> str:
    """A non-negative number in base 36."""
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits or "0"


def run_id(name: str, *, started_unix: float, pid: int, node: str) -> str:
    """`adhoc:NAME-START.PID@NODE`: the second in which the launch root started, and its pid, in base 36.

    The pid is there because a shell loop starts many runs of one name within one tick of the kernel's clock.
    """
    return clean(f"adhoc:{name}-{base36(max(0, int(started_unix)))}.{base36(pid)}@{node}")


def _base(path: str) -> str:
    return PurePosixPath(path).name


def _entry(arguments: Sequence[str]) -> tuple[str, Sequence[str]]:
    """What an interpreter was told to run, and the arguments after it; empty for program text (`-c`) or a prompt."""
    skip = False
    for position, argument in enumerate(arguments):
        if skip:
            skip = False
        elif argument == "-m":
            return "".join(arguments[position + 1 : position + 2]), arguments[position + 2 :]
        elif argument == "-c":
            break
        elif argument in _OPTIONS_WITH_VALUE:
            skip = True
        elif not argument.startswith("-"):
            return _base(argument), arguments[position + 1 :]
    return "", ()


def _label(text: str) -> str:
    return clean(text, _NAME_LENGTH).replace(" ", "_")
