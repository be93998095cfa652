"""The truth table of docs/attribution.md: who each launcher of tests/fixtures is taken for, by all rules together."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from recorded import PID, Launcher, launcher, launchers

from gpuwatch.attribute.case import Case
from gpuwatch.attribute.resolver import Resolver, Verdict

DOCUMENT = Path(__file__).parent.parent / "docs" / "attribution.md"
HEAD = ("launcher", "its run", "kind", "rule", "evidence", "confidence")
LAUNCHERS = launchers()


def judge(case: Case) -> Verdict:
    return Resolver().resolve({PID: case})[PID]


def found(verdict: Verdict) -> dict[str, str]:
    """What attribution says, by the names of `[truth]`."""
    user, project, run = verdict.run.owner
    group = next((claim.group for claim in verdict.claims if claim.group), "")
    told = {"name": verdict.run.name, "kind": verdict.run.kind, "batch_job": verdict.run.batch_job}
    return {"run": run, "user": user, "project": project, "group": group, **told}


def row(one: Launcher, verdict: Verdict) -> tuple[str, ...]:
    owning = next(claim for claim in verdict.claims if claim.run)
    run = verdict.run.owner.run
    return one.title, f"`{run}`", verdict.run.kind, owning.rule, owning.evidence, owning.confidence.name.lower()


@pytest.mark.parametrize("one", LAUNCHERS, ids=lambda one: one.name)
def test_every_launcher_is_recognised_and_no_other_is_taken_for_it(one: Launcher, tmp_path: Path) -> None:
    told = found(judge(one.case(tmp_path)))
    assert {part: told[part] for part in one.truth} == one.truth


@pytest.mark.parametrize("one", LAUNCHERS, ids=lambda one: one.name)
def test_no_secret_of_an_environment_gets_into_a_claim(one: Launcher, tmp_path: Path) -> None:
    assert "hunter2" not in repr(judge(one.case(tmp_path)))


def test_the_table_of_the_documentation_is_what_happened(tmp_path: Path) -> None:
    """After a change that is meant: `GOLDEN=write make test`, and read the difference."""
    rows = [HEAD, tuple("---" for _ in HEAD)]
    rows += [row(one, judge(one.case(tmp_path / one.name))) for one in LAUNCHERS]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in rows) + "\n"
    text = DOCUMENT.read_text(encoding="utf-8")
    (written,) = re.findall(r"^\| launcher \| its run (?:.*\n)(?:\|.*\n)*", text, re.MULTILINE)
    if os.environ.get("GOLDEN") == "write":
        DOCUMENT.write_text(text.replace(written, table), encoding="utf-8")
        written = table
    assert written == table


def test_side_by_side_each_keeps_what_it_is(tmp_path: Path) -> None:
    """All launchers at once on one node: nothing spreads from one to another."""
    cases = {}
    for number, one in enumerate(LAUNCHERS):
        cases[1000 * (number + 1)] = one.case(tmp_path / one.name, pid=1000 * (number + 1))
    verdicts = Resolver().resolve(cases)
    for pid, one in zip(cases, LAUNCHERS, strict=True):
        source = one.truth["run"].partition(":")[0]
        assert verdicts[pid].run.owner.user == one.truth["user"], one.name
        assert verdicts[pid].run.source == source, one.name


LOCAL = ("shell", "docker-v2", "docker-unnamed", "podman", "systemd", "systemd-user", "ray", "htcondor")


@pytest.mark.parametrize("name", LOCAL)
def test_equal_pids_and_names_on_two_nodes_are_two_runs(name: str, tmp_path: Path) -> None:
    one = launcher(name)
    runs = {judge(one.case(tmp_path, site=node)).run.owner.run for node in ("n7", "n8")}
    assert len(runs) == 2


@pytest.mark.parametrize(
    ("name", "run"),
    [("slurm-array", "slurm:big/4711_3"), ("kubernetes-unnamed", "k8s:west/6a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d")],
)
def test_a_configured_cluster_stands_before_the_job(name: str, run: str, tmp_path: Path) -> None:
    case = launcher(name).case(tmp_path)
    named = replace(case, site=replace(case.site, slurm_cluster="big", kubernetes_cluster="west"))
    assert judge(named).run.owner.run == run
