"""Who is on a GPU: its processes as owners, worked out anew when the list of processes or their owners have changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from gpuwatch.account.device import Holders, owners_of
from gpuwatch.agent.attribution import Attributed
from gpuwatch.model import GpuReading, OnDevice, Owner


class Occupancy(NamedTuple):
    """Who is on one GPU."""

    holders: Holders
    memory: Mapping[OnDevice, int | None]
    """Device memory in bytes of its owners, by device and owner; None where the driver won't say."""
    strangers: int | None
    """Processes of which nothing could be read; None where the driver lists no processes."""
    reserved: Owner | None = None
    """Who has it from the scheduler, where nothing runs on it."""


class _Seen(NamedTuple):
    processes: Mapping[int, int | None] | None
    known: Mapping[int, Owner]
    attributed: Attributed
    occupancy: Occupancy


class Occupancies:
    """The occupancy of each GPU, as of its last reading."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def of(self, reading: GpuReading, known: Mapping[int, Owner], attributed: Attributed) -> Occupancy:
        """Who is on it. `known` are all pids whose owner is known, those that have just ended among them."""
        uuid = reading.info.uuid
        seen = self._seen.get(uuid)
        if (
            seen is None
            or seen.known is not known
            or seen.attributed is not attributed
            or seen.processes != reading.processes
        ):
            occupancy = occupancy_of(reading, known, attributed)
            seen = self._seen[uuid] = _Seen(reading.processes, known, attributed, occupancy)
        return seen.occupancy


def occupancy_of(reading: GpuReading, known: Mapping[int, Owner], attributed: Attributed) -> Occupancy:
    """The owners of its processes or, where it has none, of the job that it is reserved for."""
    uuid, processes = reading.info.uuid, reading.processes
    if processes is None:
        return Occupancy(owners_of(None, known), {}, None)
    theirs = processes.keys() - attributed.ignored
    holders, owner = owners_of(theirs, known), attributed.reserved.get(uuid)
    if holders.listed or holders.hidden or owner is None:
        strangers = len(theirs - attributed.owners.keys())
        return Occupancy(holders, _memory(uuid, processes.items(), attributed.owners), strangers)
    return Occupancy(Holders(known, frozenset({owner}), hidden=False), {(uuid, owner): None}, 0, owner)


def _memory(
    uuid: str, sizes: Iterable[tuple[int, int | None]], owners: Mapping[int, Owner]
) -> dict[OnDevice, int | None]:
    memory: dict[OnDevice, int | None] = {}
    for pid, size in sizes:
        if pid in owners:
            key = (uuid, owners[pid])
            before = memory.get(key)
            memory[key] = before if size is None else size + (before or 0)
    return memory
