"""What is asked of a record of the past, and what it answers: of one node from its state, of a fleet from Prometheus.

GPU time is in seconds of whole GPUs: an hour on a MIG instance of one slice of seven counts a seventh. The agent never
imports this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from gpuwatch.model.identity import Owner, Run

KEYS: Final = ("user", "project", "run", "node", "model", "kind", "gpu")
"""What a record can be divided by. `gpu` is `NODE/INDEX`, of a MIG instance `NODE/INDEX:INSTANCE`."""
DEVICE_KEYS: Final = ("node", "model", "gpu")
"""Those that say something of a device, whoever holds it."""

Values = tuple[str, ...]
"""A value for each key that was asked for, in that order."""
Filters = Mapping[str, Sequence[str]]
"""By key, the values of which any will do."""


class Window(NamedTuple):
    """A stretch of time, in seconds of UTC: from `start` up to, and without, `end`."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start


class Usage(NamedTuple):
    """What somebody had of GPUs."""

    held: float = 0.0
    busy: float = 0.0
    joules: float = 0.0
    sm_active: float | None = None
    """Seconds of all SMs, of the GPUs that tell; None where none does."""
    runs: int = 0
    """Different runs, without what is no single run (`short`, `overflow`)."""

    @property
    def idle(self) -> float:
        """Held and not used."""
        return max(0.0, self.held - self.busy)


class Fleet(NamedTuple):
    """What became of the GPUs' time, of which all seconds are in one of the five, and their energy."""

    active: float = 0.0
    idle: float = 0.0
    free: float = 0.0
    unavailable: float = 0.0
    unknown: float = 0.0
    joules: float = 0.0
    unattributed_busy: float = 0.0
    """Of the busy time, what nobody is charged with."""

    @property
    def capacity(self) -> float:
        """All of it: what was paid."""
        return self.active + self.idle + self.free + self.unavailable + self.unknown

    @property
    def held(self) -> float:
        """Somebody had it."""
        return self.active + self.idle


class WorstRun(NamedTuple):
    """The run that held GPUs longest without using them, among those of one division."""

    owner: Owner
    held: float
    busy: float
    url: str = ""


class Extent(NamedTuple):
    """What a record has of a window."""

    first_unix: float | None
    """Since when there is a record at all; None where there is none."""
    last_unix: float | None
    """The newest reading before the window's end."""
    nodes: tuple[str, ...]
    """Those known in the window, or in the seven days before it, sorted."""
    missing: tuple[str, ...]
    """Those of them of which nothing is recorded in the window."""


class Bin(NamedTuple):
    """What a run did on one device in a piece of time: a minute, or an hour or day where it is long ago."""

    start_unix: float
    seconds: float
    held: float
    busy: float
    joules: float
    sm_active: float


class RunOnDevice(NamedTuple):
    """A run on one device. Its bins are in seconds of that device, ascending; time without a bin was not held."""

    node: str
    gpu: str
    """`3`, or `3:1` of a MIG instance."""
    uuid: str
    model: str
    capacity: float
    memory_bytes: int | None
    """Of the device in all."""
    memory_peak_bytes: int | None
    sm_known: bool
    bins: tuple[Bin, ...]


class RunRecord(NamedTuple):
    """All that a record has of one run."""

    owner: Owner
    about: Run | None
    """What is known of it beside its totals. The root is of its node, and (0, 0) from Prometheus."""
    devices: tuple[RunOnDevice, ...]
    cpu: tuple[tuple[float, float, float], ...]
    """Start (UTC), length in seconds, and CPU seconds of its process trees, ascending; empty where that is unknown."""


class Question(NamedTuple):
    """What was asked to make a figure: SQL or PromQL that can be run by hand, what for, and how long it took."""

    purpose: str
    text: str
    seconds: float


class Source(Protocol):
    """A record of the past. Raises GpuwatchError, in words, from any method, where it cannot be read."""

    @property
    def name(self) -> str:
        """Where it is, in a few words, and of which kind its figures are."""

    @property
    def simulated(self) -> bool:
        """Nothing in it is real."""

    @property
    def asked(self) -> Sequence[Question]:
        """All that was asked so far."""

    def extent(self, window: Window) -> Extent:
        """What it has of the window."""

    def usage(self, window: Window, by: Sequence[str], where: Filters) -> dict[Values, Usage]:
        """The use of GPUs in the window, divided by some of KEYS. With no key it is one row, of ()."""

    def fleet(self, window: Window, by: Sequence[str], where: Filters) -> dict[Values, Fleet]:
        """What became of all GPUs' time in the window, divided and filtered by some of DEVICE_KEYS."""

    def worst_runs(self, window: Window, by: Sequence[str], where: Filters) -> dict[Values, WorstRun]:
        """Of each division the run with the most idle time in the window."""

    def find_runs(self, text: str) -> list[Owner]:
        """The runs that somebody may mean: by name as it stands in the record, without its source, or by batch job."""

    def read_run(self, owner: Owner) -> RunRecord | None:
        """All that it has of a run."""
