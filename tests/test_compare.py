"""`gpuwatch compare`: two runs side by side, and what CI makes of them."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from click.testing import Result
from runs import ASKED, GIB, T0, FakeMachine, a_run, on_gpu, summary_of

from gpuwatch.errors import GpuwatchError
from gpuwatch.model import Owner
from gpuwatch.report.document import Price
from gpuwatch.report.run.comparison import compare_runs, falls_short
from gpuwatch.report.run.layout import cells
from gpuwatch.report.run.side_by_side import side_by_side
from gpuwatch.report.run.stretches import Limits
from gpuwatch.report.run.summary import summarize
from gpuwatch.units import HOUR

SCHEMA = json.loads((Path(__file__).parent.parent / "docs" / "show.schema.json").read_text(encoding="utf-8"))
COMPARISON = {"$ref": "#/$defs/comparison", "$defs": SCHEMA["$defs"]}
A = a_run(*(on_gpu(str(n), [0.8] * 60, sm=0.4) for n in range(4)), cores=[8.0] * 60)
B = a_run(*(on_gpu(str(n), [0.6] * 120, peak=70 * GIB) for n in range(2)), owner=Owner("ben", "", "wandb:y2"))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeMachine:
    return FakeMachine(monkeypatch, tmp_path)


def test_each_measure_stands_with_its_ratio() -> None:
    measures = {row.measure.name: row for row in compare_runs(summary_of(A), summary_of(B))}
    assert [(measures[name].a, measures[name].b) for name in ("gpus", "seconds", "held_gpu_hours")] == [
        (4, 2), (HOUR, 2 * HOUR), (4.0, 4.0),
    ]  # fmt: skip
    assert measures["utilization"].ratio == pytest.approx(0.75)
    assert measures["kwh_per_gpu_hour"].a == pytest.approx(0.3)
    assert measures["core_hours_per_gpu_hour"].a == pytest.approx(2.0)
    assert (measures["sm_active_ratio"].b, measures["sm_active_ratio"].ratio) == (None, None)
    assert (measures["cost"].a, measures["cpu_cores"].b) == (None, None)


def test_with_a_price_a_busy_hour_has_one_too() -> None:
    priced = summarize(A, Limits(0.05, 900), now_unix=T0 + HOUR, price=Price(2.0, "$"))
    assert priced is not None
    measures = {row.measure.name: row.a for row in compare_runs(priced, priced)}
    assert measures["cost"] == pytest.approx(8.0)
    assert measures["cost_per_busy_gpu_hour"] == pytest.approx(2.5)


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_table_fits_and_leaves_out_what_is_known_of_neither(width: int) -> None:
    a, b = summary_of(A), summary_of(B)
    lines = side_by_side(a, b, compare_runs(a, b), asked=ASKED, width=width).splitlines()
    assert lines[:2] == ["A  wandb:x1, resnet, ann, batch", "B  wandb:y2, resnet, ben, batch"]
    assert max(map(cells, lines)) <= width
    (use,) = (line for line in lines if line.startswith("use "))
    assert use.split() == ["use", "80", "%", "60", "%", "0.75"]
    (sms,) = (line for line in lines if line.startswith("SMs active"))
    assert sms.split() == ["SMs", "active", "40", "%", "-", "-"]
    assert not any(line.startswith("cost ") for line in lines)


def test_the_second_falls_short_only_below_the_ratio() -> None:
    a, b = summary_of(A), summary_of(B)
    assert falls_short(a, b, 0.9) == (
        "wandb:y2 uses its GPUs 0.75 times as much as wandb:x1 (60 % against 80 %): less than 0.9"
    )
    assert falls_short(a, b, 0.74) == falls_short(b, a, 0.9) == ""


def test_what_was_hardly_held_or_never_used_cannot_be_compared() -> None:
    short = summary_of(a_run(on_gpu("0", [0.5], seconds=59.0)))
    with pytest.raises(GpuwatchError, match="held GPUs for 59 s: to compare it takes 60 s"):
        compare_runs(summary_of(A), short)
    with pytest.raises(GpuwatchError, match="never used its GPUs"):
        falls_short(summary_of(a_run(on_gpu("0", [0.0] * 60))), summary_of(A), 0.9)


def outcome(result: Result) -> tuple[int, str]:
    """The exit status that the entry point makes of it, and what went wrong in words."""
    if isinstance(result.exception, GpuwatchError):
        return 2, str(result.exception)
    return result.exit_code, result.output


def test_ci_gets_an_exit_status_and_a_sentence(machine: FakeMachine) -> None:
    assert outcome(machine.run("compare", "slurm:4711", "wandb:x1"))[0] == 0
    assert outcome(machine.run("compare", "wandb:x1", "slurm:4711", "--fail-below", "0.9"))[0] == 0
    status, text = outcome(machine.run("compare", "slurm:4711", "wandb:x1", "--fail-below", "0.9"))
    assert status == 1
    assert "wandb:x1 uses its GPUs 0.56 times as much as slurm:4711 (50 % against 90 %): less than 0.9" in text


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("wandb:x1", "nobody"), "there is no run 'nobody'"),
        (("resnet", "wandb:x1"), "resnet may be 2 runs"),
        (("wandb:x1", "wandb:brief"), "held GPUs for 30 s"),
        (("wandb:x1", "slurm:4711", "--fail-below", "-1"), "--fail-below"),
        (("wandb:x1", "slurm:4711", "--fail-below", "nan"), "it must be a number like 0.9"),
        (("wandb:x1", "slurm:4711", "--fail-below", "inf"), "it must be a number like 0.9"),
    ],
)
def test_what_cannot_be_compared_has_a_status_of_its_own(
    machine: FakeMachine, arguments: tuple[str, ...], why: str
) -> None:
    machine.add(Owner("ann", "", "wandb:brief"), use=0.5, minutes=1, seconds=30.0, name="brief")
    status, text = outcome(machine.run("compare", *arguments))
    assert status == 2
    assert why in text


def test_the_document_is_as_its_schema_says(machine: FakeMachine) -> None:
    for more in ((), ("--explain",), ("--fail-below", "0.9")):
        told = json.loads(machine.run("compare", "wandb:x1", "slurm:4711", "--json", *more).output)
        jsonschema.validate(told, COMPARISON)
        assert told["measures"]["utilization"]["ratio"] == pytest.approx(1.8)
        assert "cost" not in told["measures"]
    machine.configure("[cost]\ngpu_hour = 2\n")
    told = json.loads(machine.run("compare", "wandb:x1", "slurm:4711", "--json").output)
    jsonschema.validate(told, COMPARISON)
    assert (told["currency"], told["measures"]["cost"]["a"]) == ("$", pytest.approx(2.0))
