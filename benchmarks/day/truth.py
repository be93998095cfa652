"""What the script alone says that people are to be charged with: the judge. It knows nothing of gpuwatch.

The published rule is of a stretch between two looks, which are a second apart: of the holders each has what it used and
an equal part of the rest, and joules in proportion. Held and busy come out the same however long a stretch is, as long
as the same people hold the GPU; joules do not, which is why `LOOK_SECONDS` matters to the judge. Where no agent may
know, nobody is charged.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Final, NamedTuple

from standin.trace import ROUNDING, Gpu, Share, States

from benchmarks.day.script import NodeScript, Span

LOOK_SECONDS: Final = 1.0
INSTANT_SECONDS: Final = 1e-6
"""Looks so dense that the rule holds at every moment: what nobody can see, told beside."""


class Account(NamedTuple):
    """What a window adds up to: by person, and by state (seconds of GPUs), with all joules."""

    people: Mapping[str, Share]
    states: States
    unknown: float
    joules: float


class _Stretch(NamedTuple):
    """A piece of one GPU's time in which the same slots hold it: the seconds of it that each of them uses."""

    start: float
    end: float
    busy: Mapping[int, float]

    @property
    def seconds(self) -> float:
        return self.end - self.start


def account_of(nodes: Iterable[NodeScript], window: Span, *, look_seconds: float = LOOK_SECONDS) -> Account:
    """What the script gives to everybody in the window, over all nodes."""
    people: defaultdict[str, Share] = defaultdict(lambda: Share(0.0, 0.0, 0.0))
    active = idle = free = unknown = joules = 0.0
    for node in nodes:
        names = {launch.slot: launch.person.name for launch in node.launches}
        for gpu, board in enumerate(node.trace.gpus):
            joules += node.trace.joules(gpu, *window)
            for stretch in _stretches(node, gpu, window, look_seconds):
                busy = sum(stretch.busy.values())
                if any(span.holds(stretch.start) for span in node.absences):
                    unknown += stretch.seconds
                    continue
                active += busy
                idle += stretch.seconds - busy if stretch.busy else 0.0
                free += 0.0 if stretch.busy else stretch.seconds
                for slot, share in _divide(board, stretch).items():
                    people[names[slot]] = _plus(people[names[slot]], share)
    return Account(dict(people), States(active, idle, free), unknown, joules)


def _divide(board: Gpu, stretch: _Stretch) -> dict[int, Share]:
    """The published rule."""
    busy = sum(stretch.busy.values())
    joules = board.idle_watts * stretch.seconds + (board.peak_watts - board.idle_watts) * busy
    due = {}
    for slot, used in stretch.busy.items():
        held = used + (stretch.seconds - busy) / len(stretch.busy)
        due[slot] = Share(held, used, joules * held / stretch.seconds)
    return due


def _stretches(node: NodeScript, gpu: int, window: Span, look_seconds: float) -> Iterator[_Stretch]:
    """The window of one GPU, cut at all looks and wherever somebody comes or goes."""

    def look(piece: _Stretch) -> tuple[int, frozenset[int]]:
        return math.floor(piece.start / look_seconds), frozenset(piece.busy)

    for _, group in groupby(_pieces(node, gpu, window), key=look):
        pieces = list(group)
        busy = {slot: sum(piece.busy[slot] for piece in pieces) for slot in pieces[0].busy}
        yield _Stretch(pieces[0].start, pieces[-1].end, busy)


def _pieces(node: NodeScript, gpu: int, window: Span) -> Iterator[_Stretch]:
    """The window of one GPU, cut at everything that happens on it, and at every second."""
    uses: dict[int, float] = {}
    at = window.start
    for time, slot, use in sorted(_events(node, gpu, window), key=lambda event: event[0]):
        until = min(time, window.end)
        if until - at > ROUNDING:
            yield _Stretch(at, until, {holder: share * (until - at) for holder, share in uses.items()})
            at = until
        if use is None:
            uses.pop(slot, None)
        elif slot >= 0:
            uses[slot] = use


def _events(node: NodeScript, gpu: int, window: Span) -> Iterator[tuple[float, int, float | None]]:
    """When, which slot, and which share it uses from then on; None where it goes. Slot -1 is a cut and nothing else.

    At the end of a hold its last burst ends first.
    """
    for burst in node.trace.bursts:
        if burst.gpu == gpu:
            yield burst.start, burst.slot, burst.share
            yield burst.end, burst.slot, 0.0
    for hold in node.trace.holds:
        if hold.gpu == gpu:
            yield hold.start, hold.slot, 0.0
            yield hold.end, hold.slot, None
    for second in range(int(window.start), int(window.end) + 1):
        yield float(second), -1, 0.0


def _plus(one: Share, other: Share) -> Share:
    return Share(one.held + other.held, one.busy + other.busy, one.joules + other.joules)
