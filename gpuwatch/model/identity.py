"""Who: owners, processes and runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Owner(NamedTuple):
    """Who a stretch of device time is charged to."""

    user: str
    project: str
    run: str


OnDevice = tuple[str, Owner]
"""(device uuid, owner)"""


Person = tuple[str, str]
"""(user, project)"""


class Identity(NamedTuple):
    """One process for as long as this boot lasts: a pid alone is used again."""

    pid: int
    start_ticks: int


@dataclass(frozen=True, slots=True)
class Process:
    """What the kernel says of one process at first sight. All text is the user's own, and hostile."""

    identity: Identity
    parent: int
    uid: int
    name: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lineage:
    """A process and its ancestors, nearest first, as far up as could be read."""

    members: tuple[Process, ...]

    @property
    def process(self) -> Process:
        """The process itself."""
        return self.members[0]


@dataclass(frozen=True, slots=True)
class Run:
    """A run as attribution knows it. Unknown parts are empty."""

    owner: Owner
    root: Identity
    started_unix: float
    source: str
    name: str = ""
    kind: str = ""
    batch_job: str = ""
    url: str = ""
    group: str = ""
    """Of the array or sweep that it is one of; empty where it is of none."""
