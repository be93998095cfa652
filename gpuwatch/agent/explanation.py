"""Judging processes beside the agent: by the same rules, and among those that are on the GPUs now."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from gpuwatch.agent.attribution import Cases
from gpuwatch.agent.fleet import Fleet
from gpuwatch.agent.machine import PATIENCE_SECONDS, site_of
from gpuwatch.agent.processes import LiveProcesses
from gpuwatch.agent.settings import Settings
from gpuwatch.attribute.case import Case, Registration
from gpuwatch.attribute.resolver import Resolver, Verdict
from gpuwatch.errors import DriverUnavailable, GpuUnavailable, GpuwatchError, Unheard
from gpuwatch.explicit.client import tell
from gpuwatch.explicit.message import question
from gpuwatch.explicit.place import sockets
from gpuwatch.model import Identity, Lineage
from gpuwatch.sense.clocks import SYSTEM_CLOCK

_ASKING_SECONDS = 1.0


class AskedRegistrations:
    """What processes have said of themselves, as the agent that runs here tells: it is asked about each once.

    It answers people about their own processes, and root about all: about others' it is not asked.
    """

    version = 0

    def __init__(self, at: Iterable[Path], *, uid: int) -> None:
        self._sockets = tuple(at)
        self._uid = uid
        self._known: dict[Identity, Registration | None] = {}
        self.problem = ""
        """Why it is not known what some of them said."""

    def of(self, lineage: Lineage) -> Registration | None:
        """What the process, or else its nearest ancestor that said anything, said; by the rule of agent/registry.py."""
        for member in lineage.members:
            may_ask = self._uid in (0, member.uid)
            if may_ask and member.uid in (0, lineage.process.uid) and (said := self._said(member.identity)) is not None:
                return said
        return None

    def _said(self, process: Identity) -> Registration | None:
        if process not in self._known and not self.problem:
            try:
                answer = tell(question(process.pid), self._sockets, patience=_ASKING_SECONDS)
            except Unheard as error:
                self.problem = str(error)
                return None
            self._known[process] = _parse_registration(answer.get("registered"))
        return self._known.get(process)


def _parse_registration(said: object) -> Registration | None:
    """What the agent answered. It has cleaned the text, and checked it."""
    match said:
        case {"run": str(run), "name": str(name), "project": str(project), "url": str(url)}:
            return Registration(run, name, project, url)
    return None


class Seen(NamedTuple):
    """Processes as they are now."""

    pids: Collection[int]
    """All that could be seen of those that were asked for."""
    cases: Mapping[int, Case]
    """By pid, of those that can own something."""
    verdicts: Mapping[int, Verdict]
    gpus: Mapping[int, tuple[str, ...]]
    """By pid: the names of the GPUs that it is on."""
    problem: str = ""
    """Why it is not known what some of them told the agent."""


def see(settings: Settings, pids: Iterable[int] = ()) -> Seen:
    """The processes on the GPUs now and `pids`, with the run of each. Without a driver none is on a GPU."""
    gpus = _read_gpus_by_pid()
    processes = LiveProcesses()
    registrations = AskedRegistrations((*sockets(os.environ), settings.socket_path), uid=os.geteuid())
    try:
        sightings = processes.look({*pids, *gpus}, SYSTEM_CLOCK.boottime())
        boot_unix = SYSTEM_CLOCK.unix() - SYSTEM_CLOCK.boottime()
        cases = Cases(processes, registrations, site=site_of(settings), boot_unix=boot_unix).of(sightings)
    finally:
        processes.close()
    verdicts = Resolver(alias=settings.people.alias).resolve(cases)
    return Seen(tuple(sightings), cases, verdicts, gpus, registrations.problem)


def explained(pid: int, settings: Settings) -> tuple[Case, Verdict]:
    """The case of process `pid`, and what became of it.

    Raises GpuwatchError where it cannot be seen, or works for nobody.
    """
    # A launch may have begun its run in another of its processes: so all that are on GPUs are looked at.
    seen = see(settings, [pid])
    if pid not in seen.pids:
        raise GpuwatchError(f"there is no process {pid} that this user can see; `gpuwatch check` says what is hidden")
    if pid not in seen.cases:
        raise GpuwatchError(f"process {pid} works for the machine and for nobody: what it holds is charged to no run")
    case, verdict = seen.cases[pid], seen.verdicts[pid]
    is_own = os.geteuid() in (0, case.lineage.process.uid)
    problem = seen.problem or ("" if is_own else "the agent tells people about their own processes alone")
    if not problem:
        return case, verdict
    unread = {**case.traces.unread, "registration": problem}
    return replace(case, traces=replace(case.traces, unread=unread)), verdict


def _read_gpus_by_pid() -> dict[int, tuple[str, ...]]:
    """The GPUs of each process that is on one, in their order; none without a driver."""
    fleet = Fleet(patience=PATIENCE_SECONDS, clock=SYSTEM_CLOCK)
    try:
        readings = fleet.read({}, now=SYSTEM_CLOCK.boottime()).values()
    except (DriverUnavailable, GpuUnavailable):
        return {}
    finally:
        fleet.close()
    found: dict[int, tuple[str, ...]] = {}
    for reading in sorted(readings, key=lambda reading: reading.info.place):
        for pid in reading.processes or ():
            found[pid] = (*found.get(pid, ()), reading.info.name)
    return found
