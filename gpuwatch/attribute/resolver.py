"""The resolver: asks all rules, spreads a tracker's run over its launch, and makes one run of what they claim.

A rule is a function from a `Case` to a `Claim`, or None where it has nothing to say. The rules are pure: whatever they
need to know is read before they are asked and stands in the case.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from gpuwatch.attribute.case import Case, Claim, Confidence, Rule, Site
from gpuwatch.attribute.kinds import kind_of
from gpuwatch.attribute.person import person_of
from gpuwatch.attribute.place import speaks_for_others
from gpuwatch.attribute.reserved import allocation_claim
from gpuwatch.attribute.rules.adhoc import adhoc_rule
from gpuwatch.attribute.rules.containers import container_rule
from gpuwatch.attribute.rules.declared import declared_rule
from gpuwatch.attribute.rules.kubernetes import kubernetes_rule
from gpuwatch.attribute.rules.mlflow import mlflow_rule
from gpuwatch.attribute.rules.registered import registered_rule
from gpuwatch.attribute.rules.schedulers import scheduler_rule
from gpuwatch.attribute.rules.slurm import slurm_rule
from gpuwatch.attribute.rules.systemd import systemd_rule
from gpuwatch.attribute.rules.torchrun import torchrun_rule
from gpuwatch.attribute.rules.trackers import tracker_rule
from gpuwatch.attribute.rules.wandb import wandb_rule
from gpuwatch.attribute.scope import launch_scope
from gpuwatch.model import Allocation, Identity, Owner, Run

RULES: tuple[Rule, ...] = (
    registered_rule,
    declared_rule,
    wandb_rule,
    mlflow_rule,
    tracker_rule,
    slurm_rule,
    scheduler_rule,
    kubernetes_rule,
    container_rule,
    torchrun_rule,
    systemd_rule,
    adhoc_rule,
)
"""In order of precedence, the most specific first. The last one always has an answer."""
_SPREAD = ("wandb:", "mlflow:")
"""Runs that one process of a launch begins for all of it."""


class Ranked(NamedTuple):
    """A claim and the place of its rule."""

    rank: int
    claim: Claim


class _Judged(NamedTuple):
    """A case, and all that follows from it alone."""

    case: Case
    claims: tuple[Ranked, ...]
    scope: Hashable
    kind: str


class Verdict(NamedTuple):
    """The run of a process, and all that was claimed, the most specific first."""

    run: Run
    claims: tuple[Claim, ...]


class Resolver:
    """Runs by process. A process is judged once, and again when its case has changed."""

    def __init__(self, rules: Sequence[Rule] = RULES, *, alias: Callable[[str], str] = str) -> None:
        self._rules = rules
        self._alias = alias
        self._judged: dict[Identity, _Judged] = {}

    def resolve(self, cases: Mapping[int, Case]) -> dict[int, Verdict]:
        """The run of each process, by pid. Forgets the processes that are not asked for any more."""
        judged = {pid: self._judge(case) for pid, case in cases.items()}
        self._judged = {one.case.lineage.process.identity: one for one in judged.values()}
        spread = _spread(judged)
        return {pid: self._verdict(one, spread[pid]) for pid, one in judged.items()}

    def reserve(self, allocation: Allocation, site: Site) -> Run:
        """The run of a scheduler's job that holds a GPU with no process on it."""
        claim = allocation_claim(allocation, site)
        user = self._alias(person_of(allocation.user, allocation.uid, (claim,), in_container=False))
        return Run(
            owner=Owner(user, claim.project, claim.run),
            root=Identity(0, 0),
            started_unix=allocation.started_unix,
            source=claim.run.partition(":")[0],
            name=claim.name,
            kind="batch",
            batch_job=claim.batch_job,
            group=claim.group,
        )

    def _judge(self, case: Case) -> _Judged:
        known = self._judged.get(case.lineage.process.identity)
        if known is not None and known.case == case:
            return known
        claims = (Ranked(rank, claim) for rank, rule in enumerate(self._rules) if (claim := rule(case)) is not None)
        return _Judged(case, tuple(claims), launch_scope(case), kind_of(case))

    def _verdict(self, judged: _Judged, ranked: Sequence[Ranked]) -> Verdict:
        case = judged.case
        claims = tuple(claim for _, claim in ranked)
        owning = next(claim for claim in claims if claim.run)
        user = self._alias(person_of(case.user, case.lineage.process.uid, claims, in_container=speaks_for_others(case)))
        run = Run(
            owner=Owner(user, owning.project or _first("project", claims), owning.run),
            root=_root(judged, owning),
            started_unix=case.root_started_unix,
            source=owning.run.partition(":")[0],
            name=owning.name or _first("name", claims),
            kind=_first("kind", claims) or judged.kind,
            batch_job=_first("batch_job", claims),
            url=owning.url,
            group=_first("group", claims),
        )
        return Verdict(run, claims)


def _spread(judged: Mapping[int, _Judged]) -> dict[int, tuple[Ranked, ...]]:
    """The claims of each process, with the run of its launch where exactly one was begun in it.

    On doubt there is none: two runs in one launch stay with the processes that began them.
    """
    own = {pid: one.claims for pid, one in judged.items()}
    scopes = {pid: (one.scope, one.case.lineage.process.uid) for pid, one in judged.items()}
    begun: dict[Hashable, dict[str, tuple[int, Ranked]]] = {scope: {} for scope in scopes.values()}
    for pid, ranked in own.items():
        for item in ranked:
            if item.claim.run.startswith(_SPREAD):
                begun[scopes[pid]].setdefault(item.claim.run, (pid, item))
    # One that has two open claims neither, and which of them its launch is of nobody knows.
    doubtful = {scopes[pid] for pid, one in judged.items() if len({run.id for run in one.case.traces.tracked}) > 1}
    found = dict(own)
    for pid, ranked in own.items():
        runs = begun[scopes[pid]]
        if len(runs) != 1 or scopes[pid] in doubtful or any(item.claim.run in runs for item in ranked):
            continue
        ((source, item),) = runs.values()
        found[pid] = tuple(sorted([*ranked, _taken_over(item, source)], key=lambda item: item.rank))
    return found


def _taken_over(item: Ranked, pid: int) -> Ranked:
    evidence = f"the one run of its launch, begun by process {pid}"
    return Ranked(item.rank, replace(item.claim, evidence=evidence, confidence=Confidence.LIKELY))


def _root(judged: _Judged, owning: Claim) -> Identity:
    """The top of the process tree whose CPU is the run's: of a tracker's run, the launch that it was spread over."""
    if not owning.run.startswith(_SPREAD):
        return judged.case.root.identity
    return judged.scope if isinstance(judged.scope, Identity) else judged.case.lineage.process.identity


def _first(part: str, claims: Sequence[Claim]) -> str:
    return next((value for claim in claims if (value := getattr(claim, part))), "")
