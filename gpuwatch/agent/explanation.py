"""Judging one process beside the agent: by the same rules, and among the processes that are on the GPUs now."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

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
    """What processes have said of themselves, as the agent that runs here tells: it is asked about each once."""

    version = 0

    def __init__(self, at: Iterable[Path]) -> None:
        self._sockets = tuple(at)
        self._known: dict[Identity, Registration | None] = {}
        self.problem = ""
        """Why it is not known what some of them said."""

    def of(self, lineage: Lineage) -> Registration | None:
        """What the process, or else its nearest ancestor that said anything, said; by the rule of agent/registry.py."""
        for member in lineage.members:
            if member.uid in (0, lineage.process.uid) and (said := self._said(member.identity)) is not None:
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


def explained(pid: int, settings: Settings) -> tuple[Case, Verdict]:
    """The case of process `pid`, and what became of it.

    Raises GpuwatchError where it cannot be seen, or works for nobody.
    """
    processes = LiveProcesses()
    registrations = AskedRegistrations((*sockets(os.environ), settings.socket_path))
    try:
        sightings = processes.look({pid, *_pids_on_gpus()}, SYSTEM_CLOCK.boottime())
        boot_unix = SYSTEM_CLOCK.unix() - SYSTEM_CLOCK.boottime()
        cases = Cases(processes, registrations, site=site_of(settings), boot_unix=boot_unix).of(sightings)
    finally:
        processes.close()
    if pid not in sightings:
        raise GpuwatchError(f"there is no process {pid} that this user can see; `gpuwatch check` says what is hidden")
    if pid not in cases:
        raise GpuwatchError(f"process {pid} works for the machine and for nobody: what it holds is charged to no run")
    case, verdict = cases[pid], Resolver(alias=settings.people.alias).resolve(cases)[pid]
    if not registrations.problem:
        return case, verdict
    unread = {**case.traces.unread, "registration": registrations.problem}
    return replace(case, traces=replace(case.traces, unread=unread)), verdict


def _pids_on_gpus() -> set[int]:
    """A launch may have begun its run in another of its processes. Without a driver there are none to ask about."""
    fleet = Fleet(patience=PATIENCE_SECONDS, clock=SYSTEM_CLOCK)
    try:
        readings = fleet.read({}, now=SYSTEM_CLOCK.boottime())
    except (DriverUnavailable, GpuUnavailable):
        return set()
    finally:
        fleet.close()
    return {pid for reading in readings.values() for pid in reading.processes or ()}
