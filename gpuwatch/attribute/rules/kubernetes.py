"""Kubernetes' pods: the uid by cgroup, the names by the folder that the kubelet keeps for the pod's logs."""

from __future__ import annotations

import re

from gpuwatch.attribute.case import Case, Claim, Confidence
from gpuwatch.attribute.place import locate
from gpuwatch.attribute.text import LONGEST, checked, clean

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")
"""A DNS subdomain, as the API server wants it."""


def kubernetes_rule(case: Case) -> Claim | None:
    """The pod: `k8s:namespace/pod`, by its uid where that is not known. Its namespace is the project."""
    pod = locate(case.traces.cgroup).pod
    if not pod:
        return None
    known = case.container
    namespace = checked(known.namespace, _NAME) if known is not None else ""
    name = checked(known.pod, _NAME) if known is not None else ""
    run = _run(case, f"{namespace}/{name}") if namespace and name else ""
    run = run if 0 < len(run) <= LONGEST else _run(case, pod)
    return Claim(
        rule="kubernetes",
        evidence=f"cgroup of pod {pod}",
        confidence=Confidence.CERTAIN,
        run=clean(run),
        name=clean(name),
        project=namespace,
        batch_job=clean(run),
    )


def _run(case: Case, pod: str) -> str:
    cluster = case.site.kubernetes_cluster
    return f"k8s:{cluster}/{pod}" if cluster else f"k8s:{pod}"
