"""What stands in each column of the table of GPUs. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from gpuwatch.model.judgement import IDLE, KEPT_WARM, OK, RESERVED, SNOOZED, STUCK, UNDERUSED
from gpuwatch.model.live import FREE, HELD, UNAVAILABLE, UNKNOWN, Holder
from gpuwatch.terminal.rows import IDLES, Row
from gpuwatch.terminal.table import BAD, GOOD, PLAIN, QUIET, WARN, Cell, Column
from gpuwatch.terminal.words import NOTHING, length, memory, percent, plain, verdict

STYLES: Final = {
    IDLE: WARN, RESERVED: WARN, UNDERUSED: WARN, KEPT_WARM: WARN, STUCK: BAD, SNOOZED: QUIET, OK: PLAIN,
    FREE: GOOD, UNKNOWN: BAD, UNAVAILABLE: QUIET, HELD: PLAIN,
}  # fmt: skip
"""Of verdicts and states."""


def columns_of(rows: Sequence[Row], *, with_node: bool) -> list[Column]:
    """The columns that these rows have anything for, from left to right."""

    def column(
        head: str, write: Callable[[Row], Cell], *,
        rank: int = 0, least: int | None = None, steady: int = 0, right: bool = False,
    ) -> Column:  # fmt: skip
        return Column(head, [write(row) for row in rows], rank, least, steady, right)

    every = [
        column("NODE", lambda row: Cell(plain(row.node.name)), least=6) if with_node else None,
        column("GPU", lambda row: Cell(plain(row.device.gpu))),
        column("MODEL", lambda row: Cell(_model(row)), rank=9, least=10),
        column("USE", lambda row: Cell(percent(row.device.utilization_ratio)), rank=2, steady=4, right=True),
        column("MEMORY", _memory, rank=4, steady=9, right=True),
        column("POWER", lambda row: _figure(row.device.power_watts, "W"), rank=10, steady=5, right=True),
        column("TEMP", lambda row: _figure(row.device.temperature_celsius, "C"), rank=11, steady=4, right=True),
        column("USER", _user, least=8),
        column("PROJECT", _of_holder(lambda holder: plain(holder.owner.project)), rank=7, least=8),
        column("HELD", _of_holder(lambda holder: _length(holder.held_seconds)), rank=5, steady=6, right=True),
        column("BUSY", _of_holder(_busy), rank=6, steady=4, right=True),
        column("IDLE", _idle, rank=1, steady=6, right=True),
        column("VERDICT", _verdict, rank=3, steady=9),
        column("RUN", _run, least=14),
        column("NAME", _of_holder(_name), rank=8, least=8),
    ]
    return [one for one in every if one is not None and (one.head not in _OPTIONAL or any(c.text for c in one.cells))]


_OPTIONAL: Final = {"PROJECT", "NAME"}


def _of_holder(write: Callable[[Holder], str]) -> Callable[[Row], Cell]:
    return lambda row: Cell("" if row.holder is None else write(row.holder))


def _model(row: Row) -> str:
    return plain(row.device.model).replace("NVIDIA ", "")


def _memory(row: Row) -> Cell:
    return Cell(memory(row.device.memory_used_bytes, row.device.memory_total_bytes))


def _figure(value: float | None, unit: str) -> Cell:
    return Cell(NOTHING if value is None else f"{value:.0f} {unit}")


def _user(row: Row) -> Cell:
    return Cell(plain(row.user) or NOTHING, STYLES.get(row.standing, PLAIN))


def _run(row: Row) -> Cell:
    if row.holder is None:
        return Cell(plain(row.device.note) or row.device.state, STYLES[row.device.state])
    return Cell(plain(row.holder.owner.run))


def _name(holder: Holder) -> str:
    name = plain(holder.name)
    return "" if name in holder.owner.run else name


def _busy(holder: Holder) -> str:
    if not holder.held_seconds or holder.busy_seconds is None:
        return NOTHING
    return percent(holder.busy_seconds / holder.held_seconds)


def _length(seconds: float | None) -> str:
    return NOTHING if seconds is None else length(seconds)


def _idle(row: Row) -> Cell:
    if row.holder is None:
        return Cell("")
    return Cell(_length(row.holder.idle_seconds), STYLES.get(row.standing, PLAIN) if row.standing in IDLES else PLAIN)


def _verdict(row: Row) -> Cell:
    """What is wrong with it, and for how long where the idle clock does not say so; nothing of what is ok."""
    holder = row.holder
    if holder is None or holder.verdict in ("", OK):
        return Cell("")
    told = holder.verdict in (*IDLES, SNOOZED)
    since = f" {length(holder.wasted_seconds)}" if holder.wasted_seconds and not told else ""
    return Cell(verdict(holder.verdict) + since, STYLES.get(holder.verdict, PLAIN))
