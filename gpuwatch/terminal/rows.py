"""Which rows a terminal shows, in which order: a row per device and holder. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from gpuwatch.model.judgement import IDLE, OK, RESERVED
from gpuwatch.model.live import FREE, Device, Holder, Node

IDLES: Final = frozenset({IDLE, RESERVED})
"""Verdicts of what is held and not used."""


class Row(NamedTuple):
    """A device and one of its holders; None where nobody is known to hold it, or there is more to say of it."""

    node: Node
    device: Device
    holder: Holder | None

    @property
    def user(self) -> str:
        """Whose it is; empty where it is nobody's."""
        return "" if self.holder is None else self.holder.owner.user

    @property
    def standing(self) -> str:
        """The holder's verdict, else the device's state."""
        return self.device.state if self.holder is None else self.holder.verdict


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows are wanted: of any of the users and any of the nodes, and whose standing is any of these.

    What is empty lets everything through.
    """

    users: frozenset[str] = frozenset()
    nodes: frozenset[str] = frozenset()
    standings: frozenset[str] = frozenset()
    """Verdicts, and `free`."""

    def has(self, row: Row) -> bool:
        """Whether it is wanted."""
        return (
            (not self.users or row.user in self.users)
            and (not self.nodes or row.node.name in self.nodes)
            and (not self.standings or row.standing in self.standings)
        )


EVERYTHING: Final = Selection()


def rows_of(nodes: Iterable[Node], selection: Selection = EVERYTHING, *, sort: str = "gpu") -> list[Row]:
    """The rows that are wanted, sorted by one of SORTS and then by place."""
    rows = [row for node in nodes for device in node.devices for row in _of_device(node, device)]
    return sorted(filter(selection.has, rows), key=lambda row: (SORTS[sort](row), _place(row)))


def _of_device(node: Node, device: Device) -> list[Row]:
    rows = [Row(node, device, holder) for holder in device.holders]
    return rows if rows and not device.note else [*rows, Row(node, device, None)]


def _place(row: Row) -> tuple[str, list[int], bool, str]:
    numbers = [int(part) if part.isdecimal() else -1 for part in row.device.gpu.split(":")]
    return row.node.name, numbers, row.holder is None, "" if row.holder is None else row.holder.owner.run


def _most(value: float | None) -> float:
    """Sorts the largest first, and what is not known last."""
    return 1.0 if value is None else -value


def _of_holder(value: Callable[[Holder], float | None]) -> Callable[[Row], float]:
    return lambda row: 1.0 if row.holder is None else _most(value(row.holder))


def _severity(row: Row) -> int:
    if row.holder is not None:
        return 2 if row.holder.verdict in ("", OK) else 0
    return 3 if row.device.state == FREE else 1


SORTS: Final[dict[str, Callable[[Row], Any]]] = {
    "gpu": lambda row: 0,
    "idle": _of_holder(lambda holder: holder.idle_seconds),
    "held": _of_holder(lambda holder: holder.held_seconds),
    "user": lambda row: (not row.user, row.user),
    "use": lambda row: _most(row.device.utilization_ratio),
    "memory": lambda row: _most(row.device.memory_used_bytes),
    "verdict": lambda row: (_severity(row), row.standing),
}
"""What rows can be sorted by."""
