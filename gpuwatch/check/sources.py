"""What runs here that could say whose run a process is. Names it and asks nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from gpuwatch.check.finding import Finding, ok

_PROGRAMS = {
    "slurmd": "Slurm",
    "kubelet": "Kubernetes",
    "k3s-agent": "Kubernetes",
    "dockerd": "Docker",
    "wandb-core": "Weights & Biases",
    "mlflow": "MLflow",
}
"""By the name of a process, as the kernel has it."""
_PATHS = {
    "etc/slurm/slurm.conf": "Slurm",
    "var/log/pods": "Kubernetes",
    "run/docker.sock": "Docker",
    "run/podman/podman.sock": "Podman",
    "run/systemd/system": "systemd",
}


def read_sources(environment: Mapping[str, str], proc: Path = Path("/proc"), root: Path = Path("/")) -> dict[str, str]:
    """What is here, with what shows it."""
    found = {name: f"/{path}" for path, name in _PATHS.items() if (root / path).exists()}
    if path := environment.get("SLURM_CONF"):
        found["Slurm"] = f"SLURM_CONF={path}"
    return found | {_PROGRAMS[program]: f"{program} runs" for program in _read_programs(proc) if program in _PROGRAMS}


def judge_sources(found: Mapping[str, str]) -> list[Finding]:
    """One finding: what the rules of attribution will find evidence of."""
    here = ", ".join(f"{name} ({evidence})" for name, evidence in sorted(found.items())) or "no tracker or scheduler"
    return [ok("sources", f"{here}; launches from a shell are recognised without any")]


def _read_programs(proc: Path) -> Iterable[str]:
    for entry in os.scandir(proc):
        if entry.name.isdecimal():
            try:
                yield (proc / entry.name / "comm").read_text(encoding="utf-8", errors="replace").strip()
            except OSError:
                continue  # it has ended
