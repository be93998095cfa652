"""Processes that hold a context on a GPU for the machine, or for its screen, and for no one's run. Pure."""

from __future__ import annotations

from gpuwatch.attribute.command import base
from gpuwatch.model import Process

_DAEMONS = frozenset(
    "nvidia-cuda-mps-server nvidia-cuda-mps-control nv-hostengine nvidia-persistenced nvidia-fabricmanager "
    "nvidia-powerd dcgm-exporter dcgm".split()
)
"""Of the machine where root or a system user runs them. MPS that a user started, in a job of theirs, is theirs."""
_DESKTOP = frozenset(
    "Xorg Xwayland gnome-shell kwin_wayland kwin_x11 mutter plasmashell weston sway Hyprland cinnamon".split()
)
"""The screen's. They run as whoever is logged in, who did not ask for a GPU by that."""
_FIRST_ORDINARY_UID = 1000
_KERNEL_NAME_LENGTH = 15
"""Characters of a program's name that the kernel keeps."""


def owns_nothing(process: Process) -> bool:
    """Whether what the process holds is charged to nobody.

    The name that the kernel has and the program's own path have to agree, so a name changed by accident is not enough.
    A user who forges both hides a run by it, but blames nobody: what it does shows as the device's unattributed use.
    """
    program = base(process.arguments[0])
    if process.name != program[:_KERNEL_NAME_LENGTH]:
        return False
    return program in _DESKTOP or (program in _DAEMONS and process.uid < _FIRST_ORDINARY_UID)
