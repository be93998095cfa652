"""A record of the past in memory: what a Source answers, from rows of charges and of what became of devices' time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from gpuwatch.model import Owner, Run
from gpuwatch.model.history import (
    Bin,
    Extent,
    Filters,
    Fleet,
    Question,
    RunOnDevice,
    RunRecord,
    Usage,
    Values,
    Window,
    WorstRun,
)
from gpuwatch.units import DAY

NO_SINGLE_RUN = {"short", "overflow"}


class Charge(NamedTuple):
    """What one owner had of one device in a piece of time. Seconds of that device, which counts `capacity`."""

    start: float
    owner: Owner
    held: float
    busy: float
    joules: float = 0.0
    sm_active: float | None = None
    node: str = "n1"
    gpu: str = "0"
    model: str = "H100"
    kind: str = "batch"
    capacity: float = 1.0
    seconds: float = 3600.0
    url: str = ""


class Spell(NamedTuple):
    """What became of the time of one device in which nobody held it."""

    start: float
    free: float = 0.0
    unavailable: float = 0.0
    unknown: float = 0.0
    node: str = "n1"
    gpu: str = "0"
    model: str = "H100"
    capacity: float = 1.0
    unattributed_busy: float = 0.0


_Row = TypeVar("_Row", Charge, Spell)


@dataclass
class FakeHistory:
    """A Source over rows in memory, each wholly in the window that its start is in."""

    charges: Sequence[Charge] = ()
    spells: Sequence[Spell] = ()
    silent: Sequence[str] = ()
    """Nodes that are known and sent nothing."""
    runs: Sequence[Run] = ()
    cpu: Sequence[tuple[Owner, tuple[float, float, float]]] = ()
    name: str = "a record in memory"
    simulated: bool = False
    asked: list[Question] = field(default_factory=list)

    def extent(self, window: Window) -> Extent:
        """As the protocol says, with the silent ones known at any time."""
        signs = [(row.start, row.node) for row in self.charges] + [(row.start, row.node) for row in self.spells]
        recent = Window(window.start - 7 * DAY, window.end)
        here = {node for start, node in signs if _is_in(window, start)}
        known = {node for start, node in signs if _is_in(recent, start)} | set(self.silent)
        ends = [row.start + row.seconds for row in self.charges if row.start < window.end]
        ends += [row.start for row in self.spells if row.start < window.end]
        return Extent(
            min(signs)[0] if signs else None,
            min(max(ends), window.end) if ends else None,
            tuple(sorted(known)),
            tuple(sorted(known - here)),
        )

    def usage(self, window: Window, by: Sequence[str], where: Filters) -> dict[Values, Usage]:
        """Sums of charges."""
        self._note(f"usage by {', '.join(by)}", window, where)
        sums: dict[Values, Usage] = {}
        runs: dict[Values, set[Owner]] = {}
        for charge in _chosen(self.charges, window, where):
            values = tuple(_value(charge, key) for key in by)
            sums[values] = _plus(sums.get(values, Usage()), charge)
            if charge.owner.run not in NO_SINGLE_RUN:
                runs.setdefault(values, set()).add(charge.owner)
        return {values: usage._replace(runs=len(runs.get(values, ()))) for values, usage in sums.items()}

    def fleet(self, window: Window, by: Sequence[str], where: Filters) -> dict[Values, Fleet]:
        """Sums of charges as active and idle, and of spells as the rest."""
        self._note(f"time of devices by {', '.join(by)}", window, where)
        sums: dict[Values, Fleet] = {}
        for charge in _chosen(self.charges, window, where):
            values = tuple(_value(charge, key) for key in by)
            sums[values] = _held_time(sums.get(values, Fleet()), charge)
        for spell in _chosen(self.spells, window, where):
            values = tuple(_value(spell, key) for key in by)
            sums[values] = _other_time(sums.get(values, Fleet()), spell)
        return sums

    def worst_runs(self, window: Window, by: Sequence[str], where: Filters) -> dict[Values, WorstRun]:
        """Of each division the run with the most idle time."""
        self._note(f"worst runs by {', '.join(by)}", window, where)
        totals: dict[Values, dict[Owner, WorstRun]] = {}
        for charge in _chosen(self.charges, window, where):
            if charge.owner.run in NO_SINGLE_RUN:
                continue
            runs = totals.setdefault(tuple(_value(charge, key) for key in by), {})
            run = runs.get(charge.owner, WorstRun(charge.owner, 0.0, 0.0))
            held, busy = run.held + charge.held * charge.capacity, run.busy + charge.busy * charge.capacity
            runs[charge.owner] = WorstRun(charge.owner, held, busy, charge.url or run.url)
        worst = {values: max(runs.values(), key=_idle_of) for values, runs in totals.items()}
        return {values: run for values, run in worst.items() if _idle_of(run) > 0}

    def find_runs(self, text: str) -> list[Owner]:
        """By full name, without its source, by batch job, by display name: newest first."""
        newest: dict[Owner, float] = {}
        for charge in self.charges:
            newest[charge.owner] = max(newest.get(charge.owner, 0.0), charge.start)
        about = {run.owner: run for run in self.runs}
        kinds = (
            lambda owner: owner.run == text,
            lambda owner: owner.run.partition(":")[2] == text,
            lambda owner: owner in about and about[owner].batch_job == text,
            lambda owner: owner in about and about[owner].name == text,
        )
        for means in kinds:
            if found := [owner for owner in newest if means(owner)]:
                return sorted(found, key=lambda owner: -newest[owner])
        return []

    def read_run(self, owner: Owner) -> RunRecord | None:
        """All charges of it, by device."""
        self._note(f"run {owner.run}", Window(0.0, 0.0), {})
        devices: dict[tuple[str, str], list[Charge]] = {}
        for charge in sorted(self.charges):
            if charge.owner == owner:
                devices.setdefault((charge.node, charge.gpu), []).append(charge)
        if not devices:
            return None
        about = next((run for run in self.runs if run.owner == owner), None)
        cpu = tuple(sorted(piece for whose, piece in self.cpu if whose == owner))
        return RunRecord(owner, about, tuple(_on_device(charges) for _, charges in sorted(devices.items())), cpu)

    def _note(self, purpose: str, window: Window, where: Filters) -> None:
        self.asked.append(Question(purpose, f"{tuple(window)} where {dict(where)}", 0.001))


def _is_in(window: Window, start: float) -> bool:
    return window.start <= start < window.end


def _chosen(rows: Sequence[_Row], window: Window, where: Filters) -> list[_Row]:
    return [
        row
        for row in rows
        if _is_in(window, row.start) and all(_value(row, key) in values for key, values in where.items())
    ]


def _value(row: Charge | Spell, key: str) -> str:
    """A row's value of one of the history's keys."""
    if key == "gpu":
        return f"{row.node}/{row.gpu}"
    whose = row.owner if isinstance(row, Charge) and key in Owner._fields else row
    return str(getattr(whose, key))


def _plus(usage: Usage, charge: Charge) -> Usage:
    sm_active = usage.sm_active
    if charge.sm_active is not None:
        sm_active = (sm_active or 0.0) + charge.sm_active * charge.capacity
    return Usage(
        usage.held + charge.held * charge.capacity,
        usage.busy + charge.busy * charge.capacity,
        usage.joules + charge.joules,
        sm_active,
    )


def _held_time(fleet: Fleet, charge: Charge) -> Fleet:
    return fleet._replace(
        active=fleet.active + charge.busy * charge.capacity,
        idle=fleet.idle + (charge.held - charge.busy) * charge.capacity,
        joules=fleet.joules + charge.joules,
    )


def _other_time(fleet: Fleet, spell: Spell) -> Fleet:
    return fleet._replace(
        free=fleet.free + spell.free * spell.capacity,
        unavailable=fleet.unavailable + spell.unavailable * spell.capacity,
        unknown=fleet.unknown + spell.unknown * spell.capacity,
        unattributed_busy=fleet.unattributed_busy + spell.unattributed_busy * spell.capacity,
    )


def _idle_of(run: WorstRun) -> float:
    return run.held - run.busy


def _on_device(charges: Sequence[Charge]) -> RunOnDevice:
    bins = [
        Bin(charge.start, charge.seconds, charge.held, charge.busy, charge.joules, charge.sm_active or 0.0)
        for charge in charges
    ]
    first = charges[0]
    return RunOnDevice(
        node=first.node,
        gpu=first.gpu,
        uuid=f"GPU-{first.node}-{first.gpu}",
        model=first.model,
        capacity=first.capacity,
        memory_bytes=80 * 2**30,
        memory_peak_bytes=11 * 2**30,
        sm_known=first.sm_active is not None,
        bins=tuple(bins),
    )
