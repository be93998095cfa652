"""GPUs that a scheduler's job holds and nothing runs on: whose they are. Pure.

Kubernetes would have its place beside `allocation_claim`: a pod's claim for the devices that the kubelet gave it.
"""

from __future__ import annotations

from gpuwatch.attribute.case import Claim, Confidence, Site
from gpuwatch.attribute.rules.slurm import job_id
from gpuwatch.attribute.text import clean
from gpuwatch.model import Allocation


def allocation_claim(allocation: Allocation, site: Site) -> Claim:
    """The run of a Slurm job: the same as `rules/slurm.py` gives for its processes."""
    run = job_id(allocation.job, site.slurm_cluster)
    return Claim(
        rule="slurm",
        evidence=f"allocated to job {allocation.job}",
        confidence=Confidence.CERTAIN,
        run=run,
        name=clean(allocation.name),
        project=clean(allocation.account),
        user=clean(allocation.user),
        batch_job=run,
        group=job_id(allocation.array, site.slurm_cluster) if allocation.array else "",
    )
