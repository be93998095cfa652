"""Services of systemd, by cgroup: the system's and users' own. Scopes (logins, terminals, containers) are no runs."""

from __future__ import annotations

import re

from gpuwatch.attribute.case import Case, Claim, Confidence
from gpuwatch.attribute.place import locate
from gpuwatch.attribute.text import clean

_HOSTS = re.compile(
    r"(?:user@[0-9]+|sshd?(?:@.*)?|cron|crond|atd|at-spi.*|(?:serial-|console-)?getty(?:@.*)?|systemd-.*|dbus.*|polkit"
    r"|slurmd|slurmctld|munged?|pbs|lsfd?|condor|flux|docker|cri-docker|snap\.docker\..*|nomad|containerd|crio|podman|kubelet|k3s.*|rke2.*|lxc.*|libvirtd"
    r"|gpuwatch|supervisord?|ray|ray-.*|jupyterhub|code-server(?:@.*)?|rstudio-server|tmux(?:@.*)?|screen(?:@.*)?"
    r"|gdm3?|lightdm|sddm|display-manager|xdg-.*|app-.*|org\.gnome\..*|gnome-.*|plasma-.*|vte-.*)\.service"
)
"""Services that start what others asked them for, and desktops: what they start is theirs in name only."""
_TRANSIENT = re.compile(r"run-(?:u[0-9]+|p[0-9]+-i[0-9]+)\.service")
"""What `systemd-run` calls a unit that was given no name: with the next boot the numbers begin anew."""


def systemd_rule(case: Case) -> Claim | None:
    """The service: `systemd:NAME.service@NODE`, with the uid before the name for a user's own."""
    place = locate(case.traces.cgroup)
    if place.job or place.pod or place.container or not place.unit.endswith(".service"):
        return None
    if _HOSTS.fullmatch(place.unit) or _TRANSIENT.fullmatch(place.unit):
        return None
    unit = f"{place.user}/{place.unit}" if place.user else place.unit
    return Claim(
        rule="systemd",
        evidence=f"cgroup of unit {unit}",
        confidence=Confidence.LIKELY if place.user else Confidence.CERTAIN,
        run=clean(f"systemd:{unit}@{case.site.node}"),
        name=place.unit.removesuffix(".service"),
    )
