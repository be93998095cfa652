"""The last rule: a run is what somebody launched from a shell. Always has an answer."""

from __future__ import annotations

from gpuwatch.attribute.case import Case, Claim, Confidence
from gpuwatch.attribute.command import base, command_of
from gpuwatch.attribute.text import clean
from gpuwatch.model import Lineage, Process
from gpuwatch.units import base36

_LAUNCH_PADS = frozenset(
    "sh bash dash zsh fish ksh tcsh csh nu xonsh pwsh tmux screen sshd sshd-session login su sudo doas runuser "
    "systemd (sd-pam) init tini dumb-init docker-init catatonit s6-svscan runit supervisord cron crond atd "
    "containerd-shim containerd-shim-runc-v2 conmon slurmstepd xterm konsole kitty alacritty code-server "
    "make nohup setsid script watch env time timeout".split()
)
"""Programs that people launch runs from: what they start is a run, they are none."""
_NAME_LENGTH = 48


def adhoc_rule(case: Case) -> Claim:
    """What somebody launched from a shell."""
    name = run_name(case.root)
    pid = case.root.identity.pid
    return Claim(
        rule="adhoc",
        evidence=f"launched as process {pid}",
        confidence=Confidence.WEAK,
        run=run_id(name, started_unix=case.root_started_unix, pid=pid, node=case.site.node),
        name=name,
    )


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
    command = command_of(process)
    entry = command.entry
    if command.is_launcher:
        entry = next((base(argument) for argument in command.after if argument.endswith(".py")), entry)
    return _label(entry or command.program) or "process"


def run_id(name: str, *, started_unix: float, pid: int, node: str) -> str:
    """`adhoc:NAME-START.PID@NODE`: the second in which the launch root started, and its pid, in base 36.

    The pid is there because a shell loop starts many runs of one name within one tick of the kernel's clock.
    """
    return clean(f"adhoc:{name}-{base36(max(0, int(started_unix)))}.{base36(pid)}@{node}")


def _label(text: str) -> str:
    return clean(text, _NAME_LENGTH).replace(" ", "_")
