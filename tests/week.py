"""A week of a made-up fleet, for what is made of reports: some nodes, people, a service, and all that goes wrong."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from functools import cache

from history import Charge, FakeHistory, Spell

from gpuwatch.model import Owner
from gpuwatch.units import DAY, HOUR

MONDAY = datetime(2026, 11, 9, tzinfo=UTC).timestamp()
NEXT_MONDAY = MONDAY + 7 * DAY
NOW = NEXT_MONDAY + 9 * HOUR
HOSTILE = '<script>alert(1)</script>`*_~|"&\u202e'
"""What somebody calls a run to see what happens."""
HOSTILE_URL = 'https://example.com/"><img src=x onerror=alert(1)>|&'
GPUS_PER_NODE = 4
_SEED = 7
_HABITS = {
    "ann": ("vision", "wandb:resnet", 0.93, 0.8),
    "ben": ("nlp", "slurm:4711", 0.35, 0.9),
    "cat": ("nlp", "adhoc:train.py", 0.71, 0.5),
    "dora": ("speech", "adhoc:notebook.py", 0.02, 1.0),
    "eve": ("vision", HOSTILE, 0.55, 0.4),
    "francesca-longname": ("speech", "mlflow:whisper", 0.84, 0.6),
    "gus": ("nlp", "wandb:lora", 0.12, 0.3),
}
"""By person: project, run, how busy a held GPU is, and how much of the day they have theirs."""


def fleet_week(nodes: int = 12) -> FakeHistory:
    """The week that begins on MONDAY, and half of the one before."""
    charges, spells = _rows(nodes)
    return FakeHistory(charges, spells, silent=("n31",), name="a made-up record")


@cache
def _rows(nodes: int) -> tuple[tuple[Charge, ...], tuple[Spell, ...]]:
    dice = random.Random(_SEED)
    rows = [
        _hour(MONDAY + hour * HOUR, hour % 24, number, gpu, dice)
        for hour in range(-84, 7 * 24)
        for number in range(nodes)
        for gpu in range(GPUS_PER_NODE)
    ]
    charges = (row for row in rows if isinstance(row, Charge))
    return tuple(charges), tuple(row for row in rows if isinstance(row, Spell))


def _hour(start: float, clock: int, number: int, gpu: int, dice: random.Random) -> Charge | Spell:
    node = f"n{number + 1}"
    if number == 3 and start > MONDAY + 3 * DAY:
        return Spell(start, unavailable=float(HOUR), node=node, gpu=str(gpu))
    if dice.random() < 0.01:
        return Spell(start, unknown=float(HOUR), node=node, gpu=str(gpu))
    if number == 11:
        owner = Owner("svc", "chat", "k8s:chat")
        return Charge(start, owner, HOUR, HOUR * 0.3, node=node, gpu=str(gpu), kind="service")
    user = list(_HABITS)[(number + gpu // 2) % len(_HABITS)]
    project, run, busy, presence = _HABITS[user]
    if dice.random() > presence * (1.0 if 8 <= clock < 20 else 0.7):
        return Spell(start, free=float(HOUR), node=node, gpu=str(gpu))
    share = min(1.0, max(0.0, busy + dice.uniform(-0.1, 0.1)))
    return Charge(
        start, Owner(user, project, run), HOUR, HOUR * share, 3e5 + 2e6 * share, share * HOUR * 0.7, node, str(gpu),
        kind="batch", url=HOSTILE_URL if user == "eve" else f"https://wandb.example.com/{project}/{user}",
    )  # fmt: skip
