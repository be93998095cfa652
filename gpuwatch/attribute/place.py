"""Where a process runs, as its cgroups say: Slurm job, pod, container, systemd unit. Pure.

The kernel vouches for the path, but users may make cgroups below those that they were given (`user-1000.slice`, the
inside of a container) and call them as they like. So a path is read from the outside in: what stands inside of what a
user may have filled proves nothing. Parents may be missing or read `..`, where the agent has a cgroup namespace
of its own. Source of the forms: slurm.schedmd.com/cgroup_v2.html, the kubelet's cgroup manager, Docker, libpod.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from gpuwatch.attribute.case import Case

_HEX = "[0-9a-f]{64}"
_UUID = "[0-9a-f]{8}(?:[-_]?[0-9a-f]{4}){3}[-_]?[0-9a-f]{12}"
_USER = re.compile(r"user-([0-9]{1,10})\.slice|user@([0-9]{1,10})\.service")
_SLURM = re.compile(r"uid_[0-9]{1,10}|(?:[\w.-]+_)?slurmstepd\.scope")
_JOB = re.compile(r"job_([0-9]{1,10})|(s[0-9A-Z]{13})")
"""A job by number, or from Slurm 26.05 by its SLUID."""
_STEP = re.compile(r"step_([0-9a-z+]{1,20})")
_POD = re.compile(rf"(?:[\w.-]*-)?pod({_UUID})(?:\.slice)?(?::[a-z-]+:{_HEX})?")
_CONTAINER = re.compile(rf"(?:[\w.-]+:)?(docker|libpod|cri-containerd|nerdctl|crio)[:-]({_HEX})(?:\.scope)?")
_BARE = re.compile(_HEX)
_UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]{1,80}\.(?:service|scope)")
_RUNTIMES = {"libpod": "podman", "cri-containerd": "containerd", "nerdctl": "containerd"}


class Place(NamedTuple):
    """What encloses a process. Unknown parts are empty."""

    user: str = ""
    """The uid of the user whose own part of the tree it is in: what stands below may be called as that user likes."""
    job: str = ""
    """Slurm's number of the job, or its SLUID."""
    step: str = ""
    pod: str = ""
    """Its uid, with hyphens if it is a UUID; a static pod's has none."""
    runtime: str = ""
    """`docker`, `podman`, `containerd` or `crio`; empty for a pod's container of cgroupfs."""
    container: str = ""
    """64 hex digits."""
    unit: str = ""
    """The innermost service or scope of systemd."""


@lru_cache(maxsize=256)
def locate(cgroup: str) -> Place:
    """The place that the paths of `Traces.cgroup` agree on; where two say different things, neither counts.

    Remembered, because several rules ask for each process and many processes share a place.
    """
    places = {_follow(path) for path in set(cgroup.split("\n"))}
    parts = ({part for part in told if part} for told in zip(*places, strict=True))
    return Place(*(told.pop() if len(told) == 1 else "" for told in parts))


def speaks_for_others(case: Case) -> bool:
    """Whether a person whom its surroundings name counts: root and containers hide who it is.

    Anybody else is who the kernel says, in a container that was started without root too: else each could charge a
    colleague.
    """
    place = locate(case.traces.cgroup)
    contained = bool(place.container or place.pod or case.container is not None)
    return case.lineage.process.uid == 0 or (contained and not place.user)


def _follow(path: str) -> Place:
    place, above = Place(), ""
    for segment in path.split("/"):
        place = place._replace(**_told_by(segment, above, place))
        above = segment
    return place


def _told_by(segment: str, above: str, place: Place) -> dict[str, str]:
    """What one part of a path adds to what stands outside of it."""
    told = {"unit": segment} if _UNIT.fullmatch(segment) else {}
    is_open = bool(place.user or place.container or place.pod)
    if not is_open and (user := _USER.fullmatch(segment)):
        return told | {"user": user[1] or user[2]}
    if not is_open and not place.job and _SLURM.fullmatch(above) and (job := _JOB.fullmatch(segment)):
        return told | {"job": job[1] or job[2]}
    if not is_open and place.job and not place.step and _JOB.fullmatch(above) and (step := _STEP.fullmatch(segment)):
        return told | {"step": step[1]}
    if not is_open and not place.job and (pod := _POD.fullmatch(segment)):
        return told | {"pod": pod[1].replace("_", "-")} | _container_of(segment, above)
    return told if place.container else told | _container_of(segment, above)


def _container_of(segment: str, above: str) -> dict[str, str]:
    if found := _CONTAINER.fullmatch(segment):
        return {"runtime": _RUNTIMES.get(found[1], found[1]), "container": found[2]}
    if _BARE.fullmatch(segment) and (above == "docker" or _POD.fullmatch(above)):
        return {"runtime": "docker" if above == "docker" else "", "container": segment}
    return {}
