"""A small fleet's two weeks in memory, and reports of it, for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from history import Charge, FakeHistory, Spell

from gpuwatch.model import Owner
from gpuwatch.report.document import Report
from gpuwatch.report.period import Period, parse_period
from gpuwatch.report.policy import Policy
from gpuwatch.report.summary import gather
from gpuwatch.units import DAY, HOUR

MONDAY: Final = datetime(2026, 11, 9, tzinfo=UTC).timestamp()
"""The example's second week begins."""
NOW: Final = MONDAY + 7 * DAY + 9 * HOUR
TEAMS: Final = {"ann": "vision", "ben": "vision", "cat": "nlp"}
PRICED: Final = Policy(gpu_hour=2.5)

PRETRAIN = Owner("ann", "clip", "wandb:good")
NOTEBOOK = Owner("ben", "", "adhoc:notebook.py-x@n1")
SERVER = Owner("cat", "chat", "named:vllm")
TUNE = Owner("cat", "chat", "slurm:4711")
STRANGER = Owner("dan", "", "short")


def a_week(start: float) -> list[Charge]:
    """What four people had of four GPUs of two nodes, each day for some hours."""
    charges = []
    for day in range(7):
        at = start + day * DAY
        charges += [
            Charge(
                at, PRETRAIN, 20 * HOUR, 19 * HOUR, joules=3.6e7, sm_active=15 * HOUR, url="https://wandb.example/good"
            ),
            Charge(at, NOTEBOOK, 24 * HOUR, 1 * HOUR, joules=3.6e6, sm_active=0.0, gpu="1", kind="interactive"),
            Charge(at, SERVER, 24 * HOUR, 6 * HOUR, joules=7.2e6, node="n2", kind="service"),
            Charge(at, TUNE, 2 * HOUR, 1 * HOUR, joules=1e6, node="n2", gpu="1"),
            Charge(at + 2 * HOUR, STRANGER, HOUR, 0.0, node="n2", gpu="1", kind=""),
        ]
    return [charge._replace(seconds=DAY) for charge in charges]


def spells(start: float) -> list[Spell]:
    """What is left of these days."""
    rest = []
    for day in range(7):
        at = start + day * DAY
        rest += [
            Spell(at, free=4 * HOUR),
            Spell(at, free=9 * HOUR, unavailable=8 * HOUR, unknown=4 * HOUR, node="n2", gpu="1"),
        ]
    return rest


def example(**changes: object) -> FakeHistory:
    """Two weeks: the second is like the first, with the notebook's GPU busy in the first."""
    before = [
        charge._replace(busy=12 * HOUR) if charge.owner == NOTEBOOK else charge for charge in a_week(MONDAY - 7 * DAY)
    ]
    history = FakeHistory(
        charges=[*before, *a_week(MONDAY)], spells=[*spells(MONDAY - 7 * DAY), *spells(MONDAY)], silent=["n9"]
    )
    for name, value in changes.items():
        setattr(history, name, value)
    return history


def last_week() -> Period:
    """The second week of the example."""
    return parse_period("last week", None, zone=UTC, now_unix=NOW)


def report_of(
    history: FakeHistory | None = None,
    *,
    period: Period | None = None,
    by: Sequence[str] = ("user",),
    where: Mapping[str, Sequence[str]] | None = None,
    policy: Policy = PRICED,
    viewer: str = "ann",
) -> Report:
    """A report of the example's second week, or of another record or time."""
    return gather(
        history or example(), period or last_week(), by=by, where=where or {}, policy=policy, teams=TEAMS, viewer=viewer
    )
