"""What Alertmanager posts, as words on runs. Pure: a body is whatever somebody sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from gpuwatch.alert.rules import MARK, OF_RUNS

LONGEST_BODY: Final = 4 << 20
"""In bytes: about 5,000 alerts."""
_LONGEST_NAME: Final = 512
"""Of a person or a run: the agents give none that is longer than half of it."""


class Told(NamedTuple):
    """An alert, and of which run."""

    alert: str
    user: str
    run: str


class Word(NamedTuple):
    """That an alert goes on, or is over."""

    told: Told
    firing: bool


def parse_webhook(body: bytes) -> list[Word]:
    """The words on runs in a body of Alertmanager's; other alerts are left out. Raises ValueError for another body."""
    try:
        alerts = json.loads(body)["alerts"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError("this is no webhook of Alertmanager") from None
    if not isinstance(alerts, list):
        raise ValueError("this is no webhook of Alertmanager")
    return list(_words(alerts))


def _words(alerts: list[Any]) -> Iterator[Word]:
    for alert in alerts:
        match alert:
            case {
                "status": "firing" | "resolved" as status,
                "labels": {"alertname": str(name), "user": str(user), "run": str(run), **others},
            }:
                fits = max(len(user), len(run)) <= _LONGEST_NAME
                if fits and name in OF_RUNS and MARK.items() <= others.items():
                    yield Word(Told(name, user, run), status == "firing")
