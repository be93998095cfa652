"""Weights & Biases: the rule on what is known, and the real library's runs seen from outside."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rig import wait_until

from gpuwatch.attribute.case import Case, Confidence, Site, Traces, TrackedRun
from gpuwatch.attribute.rules.wandb import wandb_rule
from gpuwatch.attribute.text import clean
from gpuwatch.attribute.traces import read_traces
from gpuwatch.attribute.watch import Watch
from gpuwatch.model import Identity, Lineage, Process

TRAINERS = Path(__file__).parent / "trainers"
PROCESS = Process(Identity(4711, 99), 1, 1000, "python", ("python", "train.py"))
OPENED = TrackedRun("wandb", "xu3ab252", "/w/wandb/run-20261120_104905-xu3ab252/logs/debug.log")
PAGE = "https://wandb.ai/lab/vision/runs/xu3ab252"


def case_of(*tracked: TrackedRun, **environment: str) -> Case:
    traces = Traces(environment=environment, tracked=tracked)
    return Case(Lineage((PROCESS,)), PROCESS, 0.0, "ada", Site("n7"), traces)


def test_an_open_log_is_certain() -> None:
    run = OPENED._replace(entity="lab", project="vision", name="lr3", sweep="s1")
    claim = wandb_rule(case_of(run, WANDB_RUN_ID="stale", WANDB_PROJECT="stale"))
    assert claim is not None
    assert (claim.run, claim.project, claim.name, claim.user) == ("wandb:xu3ab252", "vision", "lr3", "")
    assert (claim.confidence, claim.evidence, claim.url) == (Confidence.CERTAIN, run.evidence, PAGE)
    assert claim.group == "wandb:sweep-s1"


def test_an_environment_is_likely() -> None:
    said = {"RUN_ID": "xu3ab252", "ENTITY": "lab", "PROJECT": "vision", "NAME": "lr3", "USERNAME": "ada.l"}
    claim = wandb_rule(case_of(**{f"WANDB_{name}": value for name, value in said.items()}))
    assert claim is not None
    assert (claim.run, claim.project, claim.name, claim.user) == ("wandb:xu3ab252", "vision", "lr3", "")
    assert (claim.confidence, claim.evidence, claim.url) == (Confidence.LIKELY, "WANDB_RUN_ID", PAGE)


def test_only_of_root_the_username_says_who_it_is() -> None:
    case = case_of(OPENED, WANDB_USERNAME="ada.l")
    root = replace(case, lineage=Lineage((replace(PROCESS, uid=0),)))
    assert [claim and claim.user for claim in map(wandb_rule, (case, root))] == ["", "ada.l"]


@pytest.mark.parametrize(
    "case",
    [
        case_of(),
        case_of(WANDB_PROJECT="vision", WANDB_ENTITY="lab"),
        case_of(WANDB_RUN_ID="\u202e\x00"),
        case_of(WANDB_RUN_ID="xu3ab252:a/b"),
        case_of(OPENED._replace(id="xu3\nab252")),
        case_of(OPENED, OPENED._replace(id="other")),
        case_of(OPENED, OPENED._replace(id="other"), WANDB_RUN_ID="xu3ab252"),
        case_of(OPENED._replace(tracker="another")),
    ],
    ids=[
        "nothing",
        "no id",
        "no id but dirt",
        "no id of W&B's",
        "dirt in it",
        "two runs",
        "two runs and a word for one",
        "another tracker",
    ],
)
def test_nothing_is_claimed_in_doubt(case: Case) -> None:
    assert wandb_rule(case) is None


def test_two_logs_of_one_run_are_one_run() -> None:
    claim = wandb_rule(case_of(OPENED, OPENED._replace(evidence="/elsewhere")))
    assert claim is not None
    assert claim.run == "wandb:xu3ab252"


@pytest.mark.parametrize(
    ("said", "page"),
    [
        ("", "https://wandb.ai/lab/vision/runs/xu3ab252"),
        ("https://api.wandb.ai", "https://wandb.ai/lab/vision/runs/xu3ab252"),
        ("https://api.wandb.lab.example:8443/", "https://wandb.lab.example:8443/lab/vision/runs/xu3ab252"),
        ("https://api.lab.example", "https://app.lab.example/lab/vision/runs/xu3ab252"),
        ("http://10.0.0.7:8080", "http://10.0.0.7:8080/lab/vision/runs/xu3ab252"),
        ("javascript:alert(1)//https://", "https://wandb.ai/lab/vision/runs/xu3ab252"),
        ('https://x"><script>', "https://wandb.ai/lab/vision/runs/xu3ab252"),
        ("https://wandb.ai@evil.example", "https://wandb.ai/lab/vision/runs/xu3ab252"),
    ],
)
def test_the_page_is_where_the_server_is(said: str, page: str) -> None:
    claim = wandb_rule(case_of(OPENED._replace(entity="lab", project="vision"), WANDB_BASE_URL=said))
    assert claim is not None
    assert claim.url == page


@pytest.mark.parametrize("run", [OPENED._replace(entity="lab", project="vision", offline=True), OPENED])
def test_no_page_is_made_up(run: TrackedRun) -> None:
    claim = wandb_rule(case_of(run))
    assert claim is not None
    assert claim.url == ""


@given(st.builds(TrackedRun, st.just("wandb"), *[st.text()] * 5), st.dictionaries(st.just("WANDB_BASE_URL"), st.text()))
def test_whatever_a_user_wrote_comes_out_clean(run: TrackedRun, environment: dict[str, str]) -> None:
    claim = wandb_rule(case_of(run, **environment))
    if claim is not None:
        run_id = claim.run.removeprefix("wandb:")
        for label in (run_id, claim.name, claim.project, claim.user):
            assert label == clean(label)
        assert claim.url.isascii()
        assert claim.url == "" or claim.url.startswith(("https://", "http://"))


class Trainer:
    """A training script under way, and what is seen of it from outside."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.watch = Watch(process.pid)

    def tell(self, line: str) -> str:
        """Have it do something; what it answers."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def see(self) -> tuple[TrackedRun, ...]:
        """What the agent would know now, looking only where that is due."""
        now = time.monotonic()
        if self.watch.is_due(now):
            self.watch.look(now)
        return self.watch.tracked

    def wait_for(self, run_id: str, project: str, *, seconds: float = 5.0) -> TrackedRun:
        """The run as soon as it is the only one and its project is known; fails after `seconds`."""
        wait_until(
            lambda: [(run.id, run.project) for run in self.see()] == [(run_id, project)],
            seconds=seconds,
            what=f"{run_id} of {project}",
        )
        return self.watch.tracked[0]


@contextmanager
def started(script: str, *arguments: str, folder: Path, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """A script of `trainers/` in an environment that names no run."""
    clean_environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "GPUWATCH_"))
    }
    own = {"WANDB_MODE": "offline", "WANDB_ERROR_REPORTING": "false", "WANDB_DIR": str(folder), "HOME": str(folder)}
    with subprocess.Popen(
        [sys.executable, str(TRAINERS / script), *arguments],
        env={**clean_environment, **own, **variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(timeout=60)


QUICK = {"WANDB_X_TRANSACTION_LOG_FLUSH_INTERVAL": "0.5"}
"""The library writes its file out every 15 s, before which nobody can know the project: see the test that waits."""


@pytest.fixture
def trainer(tmp_path: Path) -> Iterator[Trainer]:
    with started("with_wandb.py", folder=tmp_path, **QUICK) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield Trainer(process)


def test_a_run_is_known_from_init_to_finish_and_the_next_one_after_it(trainer: Trainer) -> None:
    assert trainer.see() == ()
    first = trainer.tell("init vision lr3")
    run = trainer.wait_for(first, "vision")
    assert (run.name, run.entity, run.offline) == ("lr3", "", True)

    trainer.tell("finish")
    wait_until(lambda: trainer.see() == (), seconds=5, what="the end of the first run")
    second = trainer.tell("init speech lr4")
    assert second != first
    assert trainer.wait_for(second, "speech").name == "lr4"

    third = trainer.tell("finish") and trainer.tell("init speech lr5")
    assert trainer.wait_for(third, "speech").name == "lr5"

    traces = read_traces(trainer.watch, now=time.monotonic())
    assert not traces.unread
    claim = wandb_rule(replace(case_of(), traces=traces))
    assert claim is not None
    assert (claim.run, claim.project, claim.name) == (f"wandb:{third}", "speech", "lr5")


def test_of_four_ranks_the_first_has_the_run(tmp_path: Path) -> None:
    with started("launch.py", "4", folder=tmp_path, **QUICK) as process:
        assert process.stdout is not None
        ranks = {rank: (int(pid), run) for rank, pid, run in (process.stdout.readline().split() for _ in range(4))}
        watches = {rank: Watch(pid) for rank, (pid, _) in ranks.items()}
        traces = {rank: read_traces(watch, now=time.monotonic()) for rank, watch in watches.items()}
    assert {rank: [run.id for run in seen.tracked] for rank, seen in traces.items()} == {
        "0": [ranks["0"][1]],
        "1": [],
        "2": [],
        "3": [],
    }
    assert [traces[rank].environment["RANK"] for rank in "0123"] == list("0123")


@pytest.mark.prove
def test_the_project_is_known_once_the_library_writes_its_file(tmp_path: Path) -> None:
    with started("with_wandb.py", folder=tmp_path) as process:
        trainer = Trainer(process)
        assert process.stdout is not None
        process.stdout.readline()
        run_id = trainer.tell("init vision lr3")
        trainer.wait_for(run_id, "")
        assert trainer.watch.is_waiting(time.monotonic())
        trainer.wait_for(run_id, "vision", seconds=20)
        assert not trainer.watch.is_waiting(time.monotonic())
