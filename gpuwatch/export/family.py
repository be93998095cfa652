"""Metric families as plain records, and the labels of whatever has series. Knows no library."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from gpuwatch.model import Snapshot

Labels = dict[str, str]
Row = tuple[Labels, float | None]
"""None is not supported, and left out."""


class Family(NamedTuple):
    """One metric: its name without the suffix of its samples, its help, its type, its samples."""

    name: str
    text: str
    kind: str
    suffix: str
    rows: list[tuple[Labels, float]]


def counter(name: str, text: str, rows: Iterable[Row]) -> Family:
    """A counter."""
    return Family(name, text, "counter", "_total", _known(rows))


def gauge(name: str, text: str, rows: Iterable[Row]) -> Family:
    """A gauge."""
    return Family(name, text, "gauge", "", _known(rows))


def info(name: str, text: str, rows: Iterable[Labels]) -> Family:
    """What something is: labels, with the value 1."""
    return Family(name, text, "info", "_info", [(labels, 1) for labels in rows])


def _known(rows: Iterable[Row]) -> list[tuple[Labels, float]]:
    return [(labels, value) for labels, value in rows if value is not None]


class Places:
    """The labels of a snapshot's node, devices, runs on devices, and runs."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.node: Labels = {"node": snapshot.node}
        self.gpus = {
            device.info.uuid: {**self.node, "gpu": device.info.name, "uuid": device.info.uuid}
            for device in snapshot.devices
        }
        self.on_gpu = {
            (uuid, owner): {**self.gpus[uuid], **owner._asdict()}
            for uuid, owner in snapshot.totals
            if uuid in self.gpus
        }
        self.owners = {owner: {**self.node, **owner._asdict()} for _, owner in self.on_gpu}
