"""Weights & Biases: the run whose log the process writes, else the one that its environment names."""

from __future__ import annotations

import re
from urllib.parse import quote

from gpuwatch.attribute.case import Case, Claim, Confidence, TrackedRun
from gpuwatch.attribute.place import speaks_for_others
from gpuwatch.attribute.text import checked, clean

_RUN_ID = re.compile("[^:;,#?/']{1,128}")
"""What W&B takes for an id. Source: `Settings.validate_run_id` of the package `wandb`."""
_SERVER = re.compile(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?(/[A-Za-z0-9._~/-]*)?")
_PAGE_OF_API = (("://api.wandb.", "://wandb."), ("://api.", "://app."))
"""Where the pages are of a server that is set by its API. Source: `api_to_app_url` of the package `wandb`."""
_LONGEST_URL = 512
_LONGEST_PATH = 512


def wandb_rule(case: Case) -> Claim | None:
    """The W&B run; None where there is none, and where two are open at once: nobody can say which one has the GPU."""
    opened = {run.id: run for run in case.traces.tracked if run.tracker == "wandb"}
    if len(opened) > 1:
        return None
    if opened:
        (run,) = opened.values()
        return _claim(case, run, Confidence.CERTAIN)
    run_id = case.traces.environment.get("WANDB_RUN_ID", "")
    return _claim(case, TrackedRun("wandb", run_id, "WANDB_RUN_ID"), Confidence.LIKELY)


def _claim(case: Case, run: TrackedRun, confidence: Confidence) -> Claim | None:
    run_id = checked(run.id, _RUN_ID)
    if not run_id or run_id != clean(run_id):
        return None
    environment = case.traces.environment
    entity = clean(run.entity or environment.get("WANDB_ENTITY", ""))
    project = clean(run.project or environment.get("WANDB_PROJECT", ""))
    sweep = clean(run.sweep or environment.get("WANDB_SWEEP_ID", ""))
    return Claim(
        rule="wandb",
        evidence=clean(run.evidence, _LONGEST_PATH),
        confidence=confidence,
        run=f"wandb:{run_id}",
        name=clean(run.name or environment.get("WANDB_NAME", "")),
        project=project,
        user=clean(environment.get("WANDB_USERNAME", "")) if speaks_for_others(case) else "",
        url="" if run.offline else _url(_server(case), entity, project, run_id),
        group=f"wandb:sweep-{sweep}" if sweep else "",
    )


def _url(server: str, *path: str) -> str:
    """The page of a run; empty where it is not known whole."""
    if not all(path):
        return ""
    entity, project, run_id = (quote(part, safe="") for part in path)
    url = f"{server}/{entity}/{project}/runs/{run_id}"
    return url if len(url) <= _LONGEST_URL else ""


def _server(case: Case) -> str:
    """Where the pages are. What the environment says becomes a link that people click: it has to look like a server."""
    said = case.traces.environment.get("WANDB_BASE_URL", "")
    if not _SERVER.fullmatch(said):
        return case.site.wandb_url.rstrip("/")
    for api, page in _PAGE_OF_API:
        if api in said:
            return said.replace(api, page).rstrip("/")
    return said.rstrip("/")
