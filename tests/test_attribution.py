"""Who is charged, cycle after cycle: owners that stand, switch once, and are folded for good."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Set
from dataclasses import replace
from pathlib import Path

import pytest

from gpuwatch.account.ledger import Ledger
from gpuwatch.agent import processes as room
from gpuwatch.agent.attribution import PROJECT_SECONDS, Attributed, Attribution
from gpuwatch.agent.machine import NO_REGISTRATIONS
from gpuwatch.agent.processes import LOOK_SECONDS, LiveProcesses
from gpuwatch.attribute.case import Case, Sighting, Site, Traces, TrackedRun
from gpuwatch.attribute.fold import Bounds
from gpuwatch.attribute.resolver import Resolver
from gpuwatch.attribute.rules.adhoc import adhoc_rule
from gpuwatch.model import Identity, Lineage, Owner, Process, TreeReading
from gpuwatch.sense.process import read_lineage

NOW = 5000.0
UNIX = 1_790_000_000.0
SHELL = Process(Identity(1, 100), 0, 1000, "bash", ("bash",))
SLURM = {"SLURM_JOB_ID": "4711", "SLURM_JOB_ACCOUNT": "account"}


class Seen:
    """Processes that are as the test says."""

    strangers_reason = ""

    def __init__(self, *sightings: Sighting) -> None:
        self.sightings = {seen.lineage.process.identity.pid: seen for seen in sightings}

    def look(self, pids: Iterable[int], now: float) -> Mapping[int, Sighting]:
        return self.sightings

    def user_of(self, uid: int) -> str:
        return f"u{uid}"

    def read_tree(self, roots: Iterable[Identity], others: Set[int]) -> TreeReading | None:
        return None

    def close(self) -> None:
        pass


def process(pid: int, *arguments: str, uid: int = 1000) -> Process:
    return Process(Identity(pid, pid * 100), 0, uid, "python", ("python", *(arguments or ("train.py",))))


def sighting(*members: Process, wandb: str = "", project: str = "", **environment: str) -> Sighting:
    tracked = (TrackedRun("wandb", wandb, "open file", project=project),) if wandb else ()
    return Sighting(Lineage((*members, SHELL)), Traces(environment=environment, tracked=tracked))


def attribution(seen: Seen, *, resolver: Resolver | None = None, **bounds: float) -> Attribution:
    limits = replace(Bounds(short_run_seconds=0), **bounds)  # type: ignore[arg-type]
    return Attribution(
        seen, NO_REGISTRATIONS, resolver or Resolver(), site=Site("n7"), boot_unix=UNIX - NOW, bounds=limits
    )


def attribute(one: Attribution, ledger: Ledger | None = None, *, now: float = NOW) -> Attributed:
    return one.attribute((), ledger or Ledger(), allocations={}, boottime=now, unix=UNIX + now - NOW)


def test_the_project_of_a_run_is_waited_for_and_the_jobs_is_not_charged_as_its() -> None:
    seen = Seen(sighting(process(9), wandb="a", **SLURM))
    one = attribution(seen)
    assert attribute(one).owners[9] == Owner("u1000", "account", "short")
    seen.sightings = {9: sighting(process(9), wandb="a", project="vision", **SLURM)}
    assert attribute(one, now=NOW + 15).owners[9] == Owner("u1000", "vision", "wandb:a")


def test_a_run_that_never_says_its_project_has_the_jobs_in_the_end() -> None:
    one = attribution(Seen(sighting(process(9), wandb="a", **SLURM)))
    attribute(one)
    assert attribute(one, now=NOW + PROJECT_SECONDS).owners[9] == Owner("u1000", "account", "wandb:a")


def test_who_waits_for_a_project_counts_among_the_people() -> None:
    seen = Seen(*(sighting(process(pid, uid=pid), wandb=f"r{pid}") for pid in range(1000, 1010)))
    owners = attribute(attribution(seen, people=3)).owners.values()
    assert {owner.user for owner in owners} == {"u1000", "u1001", "u1002", "overflow"}


def test_each_of_several_runs_that_overflowed_stays_so() -> None:
    seen = Seen(*(sighting(process(pid)) for pid in (7, 8, 9)))
    one = attribution(seen, run_series=1)
    before = attribute(one).owners
    assert sorted(owner.run == "overflow" for owner in before.values()) == [False, True, True]
    kept = next(pid for pid, owner in before.items() if owner.run != "overflow")
    seen.sightings = {pid: seen.sightings[pid] for pid in before if pid != kept}
    assert {owner.run for owner in attribute(one).owners.values()} == {"overflow"}, "though there is room again"


def test_two_owners_under_one_launcher_have_trees_of_their_own() -> None:
    launcher = process(5, "torchrun", "train.py")
    seen = Seen(*(sighting(process(pid), launcher, wandb=run, project="p") for pid, run in ((8, "a"), (9, "b"))))
    trees = attribute(attribution(seen)).trees
    runs = {owner.run: processes for owner, processes in trees.values()}
    assert runs == {"wandb:a": {Identity(8, 800)}, "wandb:b": {Identity(9, 900)}}


def test_the_ranks_of_one_run_are_one_tree() -> None:
    launcher = process(5, "torchrun", "train.py")
    ranks = [sighting(process(8), launcher, wandb="a", project="p"), sighting(process(9), launcher)]
    ((root, (owner, processes)),) = attribute(attribution(Seen(*ranks))).trees.items()
    assert (root, owner.run) == (launcher.identity, "wandb:a")
    assert processes == {launcher.identity, Identity(8, 800), Identity(9, 900)}


@pytest.mark.parametrize("pids", [(8, 9), (9, 8)])
def test_a_job_began_with_its_first_process_whatever_their_order(pids: tuple[int, ...]) -> None:
    seen = Seen(*(sighting(process(pid), **SLURM) for pid in pids))
    (run,) = attribute(attribution(seen)).runs.values()
    assert run.started_unix == UNIX - NOW + 8


def test_nothing_is_judged_again_while_a_run_is_only_young() -> None:
    judged: list[Mapping[int, Case]] = []

    class Counting(Resolver):
        def resolve(self, cases: Mapping[int, Case]) -> dict[int, object]:  # type: ignore[override]
            judged.append(cases)
            return super().resolve(cases)  # type: ignore[return-value]

    one = attribution(Seen(sighting(process(9))), resolver=Counting((adhoc_rule,)), short_run_seconds=NOW)
    assert attribute(one).owners[9].run == "short"
    assert attribute(one, now=NOW + 1).owners[9].run == "short"
    settled = attribute(one, now=NOW + 9)
    assert settled.owners[9].run.startswith("adhoc:")
    assert attribute(one, now=NOW + 10) is settled
    assert len(judged) == 1


def test_a_pid_that_is_used_again_is_not_the_process_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = os.getpid()
    real = read_lineage(pid)
    assert real is not None
    before = replace(real.process, identity=Identity(pid, 1))
    lineages = iter([Lineage((before,)), real])
    monkeypatch.setattr(room, "read_lineage", lambda pid: next(lineages))
    monkeypatch.setattr(os, "pidfd_open", _refused)
    processes = LiveProcesses()
    assert processes.look([pid], NOW)[pid].lineage.process is before
    log = tmp_path / "wandb/run-20261120_104905-a/logs/debug.log"
    log.parent.mkdir(parents=True)
    with log.open("w"):  # by the new one, as the watch on the one before must not tell of it
        seen = processes.look([pid], NOW + LOOK_SECONDS)[pid]
    processes.close()
    assert seen.lineage is real
    assert [run.id for run in seen.traces.tracked] == ["a"]


def test_a_run_that_begins_late_is_found_within_four_seconds(tmp_path: Path) -> None:
    """However long the process has been there: a notebook begins its run when somebody comes to it."""
    processes, pid, hour = LiveProcesses(), os.getpid(), 3600
    for second in range(hour, hour + 8):
        processes.look([pid], NOW + second)
    log = tmp_path / "wandb/run-20261120_104905-late/logs/debug.log"
    log.parent.mkdir(parents=True)
    with log.open("w"):
        found = [processes.look([pid], NOW + hour + 8 + second)[pid].traces.tracked for second in range(5)]
    processes.close()
    assert [run.id for run in found[-1]] == ["late"]


def _refused(pid: int) -> int:
    raise OSError


def test_nothing_is_kept_of_users_who_have_left() -> None:
    processes = LiveProcesses()
    processes.look([os.getpid()], NOW)
    assert processes.user_of(os.geteuid())
    processes.look([], NOW + 1)
    processes.close()
    with pytest.raises(KeyError):
        processes.user_of(os.geteuid())
