"""What alerts and pages are shown of the judgement: the runs of now, and of which of them somebody is to be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from examples import ANN, snapshot

from gpuwatch.agent.dues import Dues
from gpuwatch.agent.runs_now import due_now, runs_now
from gpuwatch.alert.policy import AlertPolicy
from gpuwatch.alert.push import Push
from gpuwatch.model.judgement import Judged, RunNow


def test_the_runs_of_now_have_all_that_an_alert_needs() -> None:
    shown = snapshot()
    judged = shown.judged._replace(quiet=frozenset({ANN}), push_after={ANN: 60.0}, cpu_cores={ANN: 1.5})
    (run,) = runs_now(replace(shown, judged=judged))
    assert (run.node, run.owner, run.group, run.quiet, run.push_after_seconds) == ("n7", ANN, "slurm:4700", True, 60.0)
    assert (run.held_gpu_seconds, run.busy_gpu_seconds, run.cpu_cores) == (1900.0, 1800.0, 1.5)
    (held,) = run.devices
    assert (held.gpu, held.memory_bytes, held.judgement.verdict) == ("0", 40_000_000_000, "idle")


def test_gpu_seconds_are_of_whole_gpus_and_devices_of_their_own() -> None:
    shown = snapshot()
    key = ("MIG-cccc", ANN)
    with_slice = replace(
        shown, holding={**shown.holding, key: None}, totals={**shown.totals, key: shown.totals["GPU-aaaa", ANN]}
    )
    (run,) = runs_now(with_slice)
    assert run.held_gpu_seconds == pytest.approx(1900.0 * (1 + 1 / 7))
    assert [held.judgement.verdict for held in run.devices] == ["idle", "ok"]


def test_verdicts_go_with_the_run_and_stay_while_its_gpu_does_not_answer() -> None:
    shown = snapshot()
    assert replace(shown, holding={}).judgements == {}
    silent = replace(shown, holding={}, devices=tuple(replace(device, reading=None) for device in shown.devices))
    assert [judgement.verdict for judgement in silent.judgements.values()] == ["idle"]


def test_who_is_to_be_told_is_whose_gpu_is_wasted() -> None:
    (run,) = runs_now(snapshot())
    other = run._replace(owner=ANN._replace(run="slurm:4700_2"), devices=())
    soon = Push(after=60, gpu_seconds=60)
    assert due_now([run, other], Push()) == {}
    assert due_now([run, other], soon) == {ANN: "idle"}
    assert due_now([run._replace(quiet=True)], soon) == {}
    (held,) = run.devices
    stuck = held._replace(judgement=held.judgement._replace(verdict="stuck"))
    assert due_now([run._replace(devices=(stuck,), quiet=True)], soon) == {ANN: "stuck"}


class Listener:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.totals: Mapping[str, int] | None = None
        self.problem = ""
        self.heard: list[tuple[RunNow, ...]] = []
        self.unseen: frozenset[str] = frozenset()

    def take(self, runs: tuple[RunNow, ...], unix: float, unseen: frozenset[str] = frozenset()) -> None:
        self.heard.append(runs)
        self.unseen = unseen


def test_whoever_tells_hears_of_each_judgement_once() -> None:
    listener, shown = Listener(), snapshot()
    dues = Dues(AlertPolicy(push_after="1m", push_gpu_hours=0.1), listener)
    first = dues.add(replace(shown, due={}, notices=None))
    assert (first.due, first.notices) == ({ANN: "idle"}, None)
    listener.totals = {"sent": 1}
    listener.problem = "the disk is full"
    told = dues.add(shown)
    assert (told.notices, told.notices_problem) == ({"sent": 1}, "the disk is full")
    assert listener.heard == [runs_now(shown)]
    dues.add(replace(shown, judged=Judged()))
    assert len(listener.heard) == 2


def test_before_each_gpu_was_read_once_nobody_knows_which_runs_there_are() -> None:
    listener, shown = Listener(), snapshot()
    dues = Dues(AlertPolicy(), listener)
    read = tuple(device for device in shown.devices if device.reading is not None)
    silent = tuple(replace(device, reading=None) for device in read)
    unseen = []
    for devices in ((), silent, read, silent):
        dues.add(replace(shown, devices=devices, judged=Judged()))
        unseen.append(listener.unseen)
    assert unseen == [{"n7"}, {"n7"}, set(), set()]


def test_where_nobody_is_ever_told_nothing_is_due() -> None:
    told = Dues(AlertPolicy(mode="off", push_after="1m"), None).add(snapshot())
    assert (told.due, told.notices) == ({}, None)
