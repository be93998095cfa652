"""The week before: the script's past, run through the agent's own cycle into a state of the demo's own.

To the state it is another boot of the machine, which began a day before: so its boot clock never was below zero,
however short the machine that shows the demo has been up.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import closing

from gpuwatch.account.ledger import LINGER_SECONDS, Ledger
from gpuwatch.agent.cycle import Cycle, Moment
from gpuwatch.agent.settings import Settings
from gpuwatch.demo.machine import simulated_machine
from gpuwatch.demo.script import turns
from gpuwatch.state.store import Store
from gpuwatch.units import DAY, MINUTE

log = logging.getLogger(__name__)

PAST_SECONDS = 7 * DAY
_BOOT_ID = "simulated-past"
_BEFORE_SECONDS = 0.001
"""What is recorded at the end of a minute is of that minute, and not of the one that begins."""


def play_past(settings: Settings, *, until_unix: float, seconds: float = PAST_SECONDS) -> None:
    """Fill the state with the `seconds` before `until_unix`, or with what has passed since it was last written.

    Raises StateError where the directory cannot be used, or has totals that are not simulated.
    """
    with closing(Store(settings.state_directory, unix=until_unix, simulated=True)) as store:
        store.note_node(settings.node)
        boot_unix = until_unix - seconds - DAY
        saved = store.load(unix=until_unix, boot_id=_BOOT_ID, boot_unix=boot_unix, run_seconds=LINGER_SECONDS)
        boot_unix = saved.boot_unix
        last = max((device.used_unix for device in saved.devices.values()), default=-math.inf)
        start = min(max(until_unix - seconds, last), until_unix)  # a clock may have been set back
        now = Moment(start - boot_unix, start)
        cycle = Cycle(settings, simulated_machine(boot_unix, sample_seconds=None), store, saved, now)
        cycle.record(now)
        for at in _steps(start, until_unix):
            _note_looks(cycle.ledger, at - boot_unix)
            cycle.record(Moment(at - boot_unix, at if at % MINUTE else at - _BEFORE_SECONDS))


def _steps(start: float, end: float) -> Iterator[float]:
    """The ends of the minutes in between, all moments at which something turns, and the end."""
    minutes = range(int(start // MINUTE) + 1, int(end // MINUTE) + 1)
    yield from sorted({*(minute * float(MINUTE) for minute in minutes), *turns(start, end), end} - {start})


def _note_looks(ledger: Ledger, boottime: float) -> None:
    """Between two steps nothing turns: it is as if the GPUs had been looked at all the while."""
    for uuid, mark in ledger.marks.items():
        ledger.marks[uuid] = mark._replace(seen_at=boottime)
