"""`gpuwatch show`: a run's figures, its time line, its idle stretches; found as people name it, and for whom."""

from __future__ import annotations

import json
import os
from datetime import UTC
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import ANN, ASKED, GIB, LIMITS, T0, FakeMachine, a_run, on_gpu, summary_of

from gpuwatch.judge import limits
from gpuwatch.model import Identity, Owner, Run
from gpuwatch.report.document import Price
from gpuwatch.report.run.document import document
from gpuwatch.report.run.layout import cells
from gpuwatch.report.run.merging import merged
from gpuwatch.report.run.page import page
from gpuwatch.report.run.stretches import find_stretches
from gpuwatch.report.run.summary import summarize
from gpuwatch.report.run.timeline import Axis, sparkline, use_over
from gpuwatch.units import HOUR, MINUTE

SCHEMA = json.loads((Path(__file__).parent.parent / "docs" / "show.schema.json").read_text(encoding="utf-8"))
HOSTILE = Owner("eve\x1b[31m", "", "adhoc:\u202ea\nb@n7")
FLEET_RUN = a_run(
    on_gpu("0", [0.8] * 60, sm=0.5),
    on_gpu("1", [0.6] * 60, sm=0.5),
    on_gpu("0", [0.7] * 30 + [0.0] * 30, node="n8", sm=0.4),
    cores=[12.0] * 60,
)


def shown(record: object = FLEET_RUN, *, width: int = 100) -> list[str]:
    return page(summary_of(record), ASKED, LIMITS, width=width, zone=UTC).splitlines()  # type: ignore[arg-type]


def test_the_thresholds_are_those_of_the_design() -> None:
    usual = limits.Limits()
    assert (usual.idle_below, usual.idle_after) == (0.05, 900)


def test_figures_add_up_over_nodes_and_gpus() -> None:
    summary = summary_of(FLEET_RUN)
    assert summary.total.held == 3 * HOUR
    assert summary.total.utilization == pytest.approx((0.8 + 0.6 + 0.35) / 3)
    assert summary.total.energy_kwh == pytest.approx(0.9)
    assert summary.cores == pytest.approx(12.0)
    assert (summary.nodes, summary.still_there) == (["n7", "n8"], False)
    assert sum(figures.held for _, figures in summary.devices) == summary.total.held


def test_cores_are_those_of_the_time_in_which_they_are_known() -> None:
    late = a_run(on_gpu("0", [0.5] * 120, start=T0 - 60 * MINUTE), cores=[12.0] * 60, started=T0 - 60 * MINUTE)
    assert summary_of(late).cores == pytest.approx(12.0)
    quiet = a_run(on_gpu("0", [0.5] * 120), cores=[12.0] * 60)
    assert summary_of(quiet).cores == pytest.approx(6.0)


def test_an_instance_counts_its_part_of_a_gpu() -> None:
    summary = summary_of(a_run(on_gpu("2:1", [0.5] * 70, capacity=1 / 7)))
    assert summary.total.held == pytest.approx(600.0)
    assert summary.total.utilization == pytest.approx(0.5)


def test_energy_and_sm_activity_that_are_not_measured_are_unknown() -> None:
    (device,) = a_run(on_gpu("0", [0.5] * 60)).devices
    dark = device._replace(bins=tuple(piece._replace(joules=0.0) for piece in device.bins))
    total = summary_of(a_run(dark)).total
    assert (total.energy_kwh, total.sm_ratio) == (None, None)


def test_the_page_says_who_and_what_and_when() -> None:
    text = "\n".join(shown())
    for line in (
        "run      wandb:x1",
        "user     ann",
        "job      4711",
        "link     https://wandb.example/x1",
        "time     2026-09-21 14:14 to 2026-09-21 15:14, 1 h",
        "nodes    n7, n8",
        "GPUs     3 H100",
        "use      58 % of 3.0 GPU-hours, 1.2 idle",
        "cost     No price is configured: set cost.gpu_hour to see what it cost.",
        "CPU      12.0 cores in the mean",
        "  2026-09-21 14:44 to 2026-09-21 15:14  30 min, 0.5 GPU-h, GPU 0 of n8",
    ):
        assert line in text.splitlines(), line


def test_a_price_makes_money_of_it() -> None:
    summary = summarize(FLEET_RUN, LIMITS, now_unix=T0 + HOUR, price=Price(2.0, "€"))
    assert summary is not None
    text = page(summary, ASKED, LIMITS, width=100, zone=UTC)
    assert "cost     €6.00, of which €2.50 for idle time" in text.splitlines()
    assert "time     since 2026-09-21 14:14 still there, 1 h" in text.splitlines()


def test_a_run_that_began_before_its_record_says_so() -> None:
    text = "\n".join(shown(a_run(on_gpu("0", [0.5] * 60), started=T0 - 3 * HOUR)))
    assert "2026-09-21 11:14 to 2026-09-21 15:14, 4 h; the record of it begins 2026-09-21 14:14" in text


@pytest.mark.parametrize("width", [60, 80, 100, 140, 200])
def test_a_page_fits_its_terminal(width: int) -> None:
    idle = [on_gpu(str(n), [0.8] * 60 + [0.0] * 400, node="gpu-node-0017.cluster.example") for n in range(8)]
    for record in (FLEET_RUN, a_run(*idle, cores=[3.0] * 460)):
        lines = shown(record, width=width)
        assert max(cells(line) for line in lines) <= width


def test_other_peoples_text_does_nothing_to_a_terminal() -> None:
    about = Run(HOSTILE, Identity(1, 2), T0, "adhoc", "\x1b]0;owned\x07", "", "", "javascript:alert(1)")
    record = a_run(on_gpu("0", [0.5] * 60, node="n7\x1b[2J"), owner=HOSTILE)._replace(about=about)
    text = "\n".join(shown(record))
    assert not set(text) & {"\x1b", "\x07", "\u202e"}
    assert "javascript" not in text


def test_use_over_time_is_drawn_on_one_axis_with_gaps() -> None:
    early, late = on_gpu("0", [1.0] * 60), on_gpu("1", [0.0] * 30, start=T0 + 30 * MINUTE)
    lines = shown(a_run(early, late, cores=[2.0] * 60), width=80)
    first = next(place for place, line in enumerate(lines) if line.startswith("Use, 1 min a step:"))
    assert lines[first + 1].split() == ["0", "█" * 60]
    assert lines[first + 2].split() == ["1", "·" * 30 + "▁" * 30]
    assert lines[first + 3].split() == ["CPU", "█" * 60]
    assert lines[first + 4].split()[0] == "14:14"
    assert lines[first + 4].split()[-1] == "15:14"


def test_only_what_counts_as_idle_has_the_lowest_block() -> None:
    assert sparkline([0.0, 0.049, 0.05, 0.5, 0.999, 1.0, None], low=0.05) == "▁▁▂▅██·"
    assert sparkline([0.0, 6.0, 12.0], top=12.0) == "▁▅█"


@given(st.lists(st.none() | st.floats(0, 1), min_size=1, max_size=50), st.integers(1, 80))
def test_a_time_line_loses_nothing(uses: list[float | None], steps: int) -> None:
    """However wide its steps are, what is held is where it was, and the mean of even steps is the use in all."""
    bins = on_gpu("0", uses).bins
    axis = Axis(T0, len(uses) * MINUTE / steps, steps)
    values = use_over(axis, bins)
    assert all(value is None or -1e-9 <= value <= 1 + 1e-9 for value in values)
    assert any(value is not None for value in values) == bool(bins)
    if None not in uses:
        assert sum(value or 0.0 for value in values) / steps == pytest.approx(
            sum(use or 0.0 for use in uses) / len(uses), abs=1e-9
        )


def test_idle_stretches_of_several_gpus_are_one_where_they_are_about_the_same() -> None:
    ranks = [on_gpu(str(n), [0.8] * (10 + n % 2) + [0.0] * (60 - n % 2) + [0.8] * 10) for n in range(4)]
    alone = on_gpu("5", [0.0] * 20 + [0.8] * 60)
    short = on_gpu("6", [0.8] * 60 + [0.0] * 14 + [0.8] * 6)
    found = find_stretches([*ranks, alone, short], LIMITS, T0 + 10 * HOUR)
    assert [(stretch.gpus, round(stretch.idle / MINUTE)) for stretch in found] == [
        (("n7/5",), 20),
        (("n7/0", "n7/2", "n7/1", "n7/3"), 238),
    ]
    assert (found[1].start_unix - T0, found[1].seconds) == (10 * MINUTE, HOUR)


def test_what_was_not_seen_ends_an_idle_stretch() -> None:
    uses = [0.0] * 10 + [None] + [0.0] * 10
    assert find_stretches([on_gpu("0", uses)], LIMITS, T0 + HOUR) == []


def test_the_minute_that_is_not_over_ends_now() -> None:
    (stretch,) = find_stretches([on_gpu("0", [0.0] * 20)], LIMITS, T0 + 19.5 * MINUTE)
    assert stretch.seconds == 19.5 * MINUTE


def test_a_run_whose_project_came_late_is_one() -> None:
    early = a_run(on_gpu("0", [0.5] * 10), cores=[1.0] * 10, owner=Owner("ann", "", "wandb:x1"))
    late = a_run(on_gpu("0", [0.5] * 30, start=T0 + 9 * MINUTE, peak=70 * GIB), cores=[1.0] * 10)
    whole = merged([late, early])
    assert whole.owner == ANN
    (device,) = whole.devices
    assert (len(device.bins), sum(piece.held for piece in device.bins)) == (39, 40 * MINUTE)
    assert device.memory_peak_bytes == 70 * GIB
    assert sum(used for _, _, used in whole.cpu) == 20 * MINUTE


def test_the_document_is_as_its_schema_says() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    bare = FLEET_RUN._replace(about=None, cpu=())
    for record in (FLEET_RUN, bare, a_run(on_gpu("2:1", [0.0] * 20, capacity=1 / 7, peak=None))):
        for price in (None, Price(2.5, "$")):
            summary = summarize(record, LIMITS, now_unix=T0 + HOUR, price=price)
            assert summary is not None
            told = document(summary, ASKED)
            jsonschema.validate(json.loads(json.dumps(told)), SCHEMA)
            assert ("cost" in told) == (price is not None)


# The command


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeMachine:
    return FakeMachine(monkeypatch, tmp_path)


@pytest.mark.parametrize("name", ["wandb:x1", "x1"])
def test_a_run_is_found_by_its_name_and_without_the_source(machine: FakeMachine, name: str) -> None:
    result = machine.run("show", name)
    assert result.exit_code == 0
    assert "run      wandb:x1" in result.output.splitlines()
    assert "found" not in result.output


def test_a_number_is_a_batch_job_first_and_says_so(machine: FakeMachine) -> None:
    machine.add(Owner("ben", "nlp", "slurm:alps/4712"), use=0.9, batch_job="4712")
    told = json.loads(machine.run("show", "4712", "--json").output)
    assert told["run"] == "slurm:alps/4712"
    assert told["found"] == "4712 is its batch job; for a process of this number: gpuwatch explain 4712"


def test_a_number_is_a_process_where_no_job_has_it(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    class Verdict:
        run = Run(ANN, Identity(1, 2), T0, "wandb")

    monkeypatch.setattr("gpuwatch.agent.explanation.explained", lambda pid, settings: (None, Verdict))
    assert "found    process 99 is wandb:x1" in machine.run("show", "99").output.splitlines()
    Verdict.run = Run(Owner("eve", "", "adhoc:new"), Identity(1, 2), T0, "adhoc")
    result = machine.run("show", "99")
    assert result.exit_code == 1
    assert "process 99 is adhoc:new: a record in memory has nothing of it yet" in result.output
    assert "there is no run '99' of ann" in machine.run("show", "99", "--user", "ann").output


def test_several_runs_of_one_name_are_listed(machine: FakeMachine) -> None:
    result = machine.run("show", "resnet")
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert lines[0].startswith("gpuwatch: resnet may be 2 runs, the newest first; name one in full")
    assert [line.split(",")[0].split() for line in lines[1:]] == [["wandb:x1", "ann"], ["slurm:4711", "ben"]]
    assert "run      wandb:x1" in machine.run("show", "resnet", "--user", "ann").output.splitlines()


@pytest.mark.parametrize("name", ["nobody", "4194303", "99999999999", "9" * 5000, "٣٤"])
def test_a_run_that_is_not_known_is_told_with_what_would_help(machine: FakeMachine, name: str) -> None:
    result = machine.run("show", name)
    assert result.exit_code == 1
    assert "a record in memory" in result.output
    assert "gpuwatch " in result.output


def test_anothers_run_is_withheld_where_names_are(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.configure('[privacy]\nnames = "team"\n')
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    monkeypatch.setattr("gpuwatch.cli.chosen.read_viewer", lambda people: "ann")
    assert machine.run("show", "wandb:x1").exit_code == 0
    assert machine.run("show", "resnet").exit_code == 0
    refused = machine.run("show", "slurm:4711")
    assert refused.exit_code != 0
    assert "privacy.names = team" in str(refused.exception)
    assert "ben" not in str(refused.exception)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert machine.run("show", "slurm:4711").exit_code == 0


def test_what_made_the_figures_is_shown_where_it_is_asked_for(machine: FakeMachine) -> None:
    assert "-- run wandb:x1" in machine.run("show", "x1", "--explain").output
    told = json.loads(machine.run("show", "x1", "--explain", "--json").output)
    assert told["questions"][0]["purpose"] == "run wandb:x1"
    jsonschema.validate(told, SCHEMA)
