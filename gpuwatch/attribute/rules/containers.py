"""Containers of Docker, Podman and containerd that no pod is around."""

from __future__ import annotations

import re

from gpuwatch.attribute.case import Case, Claim, Confidence
from gpuwatch.attribute.place import locate, speaks_for_others
from gpuwatch.attribute.text import checked, clean

_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_SHORT_ID = 12
"""Digits of a container's id that people type."""
PROJECT_LABEL, USER_LABEL = "gpuwatch.project", "gpuwatch.user"


def container_rule(case: Case) -> Claim | None:
    """The container: `docker:NAME@NODE`, by the first digits of its id where no name is known.

    Who starts a container as root speaks for others: its labels may name the person. In one that a user started without
    root, the user made the cgroup and its name.
    """
    place = locate(case.traces.cgroup)
    if not place.container or place.pod or not place.runtime:
        return None
    known = case.container if case.container is not None and not place.user else None
    name = checked(known.name, _NAME) if known is not None else ""
    labels = known.labels if known is not None else {}
    run = clean(f"{place.runtime}:{name or place.container[:_SHORT_ID]}@{case.site.node}")
    return Claim(
        rule="container",
        evidence=f"cgroup of {place.runtime} container {place.container[:_SHORT_ID]}",
        confidence=Confidence.LIKELY if place.user else Confidence.CERTAIN,
        run=run,
        name=name,
        project=clean(labels.get(PROJECT_LABEL, "")),
        user=clean(labels.get(USER_LABEL, "")) if speaks_for_others(case) else "",
        batch_job=run,
    )
