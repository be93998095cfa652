"""The process: it serves, and a thread tells people, each minute and whenever Alertmanager has said something."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gpuwatch.agent.alerting import Alerting, clocks_of, local_in
from gpuwatch.agent.settings import Settings
from gpuwatch.agent.telling import Way
from gpuwatch.alert.letters import letters_of
from gpuwatch.alert.message import Terms
from gpuwatch.alert.policy import FLEET, SHADOW
from gpuwatch.alert.sender import Sender
from gpuwatch.errors import UsageError
from gpuwatch.export.server import Server, bind
from gpuwatch.notify.evidence import Asking
from gpuwatch.notify.firing import Firing
from gpuwatch.notify.pages import HOOK, Pages
from gpuwatch.notify.telling import FleetTelling, policy_of
from gpuwatch.state.file import lock_directory
from gpuwatch.state.notices import Notices
from gpuwatch.state.notices_file import NoticesFile
from gpuwatch.state.outbox import Outbox
from gpuwatch.units import MINUTE

if TYPE_CHECKING:
    from gpuwatch.export.web import Web

log = logging.getLogger(__name__)

_LAST_CALL_SECONDS: Final = 15.0
"""For a call of Slack that is under way when the receiver is told to stop."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the receiver is, and what it keeps."""

    listen: str
    directory: Path
    web: Web | None = None


class Receiver:
    """One receiver, from start to stop. Raises UsageError for settings with which nobody can be told."""

    def __init__(self, settings: Settings, place: Place, *, read_unix: Callable[[], float]) -> None:
        if settings.alert.mode not in (FLEET, SHADOW):
            raise UsageError('alert.mode must be "fleet" where gpuwatch notify tells people, or "shadow" to note only')
        if not settings.prometheus.url:
            raise UsageError("the evidence is Prometheus's: set prometheus.url, or give --prometheus URL")
        self._settings = settings
        self._place = place
        self._read_unix = read_unix
        self._problem = ""
        self._zone = clocks_of(settings.alert)

    def run(self) -> None:
        """Serve and tell until told to stop. Raises what keeps it from starting."""
        listener = bind(self._place.listen)
        with lock_directory(self._place.directory):
            firing = Firing(self._place.directory)
            alerting = self._alerting(firing)
            alerting.start()
            try:
                asyncio.run(self._serve(listener, firing, alerting))
            finally:
                alerting.stop(_LAST_CALL_SECONDS)

    async def _serve(self, listener: socket.socket, firing: Firing, alerting: Alerting) -> None:
        def wake(unix: float) -> None:
            alerting.take((), unix)

        pages = Pages(
            self._settings.node,
            firing,
            read_totals=lambda: alerting.totals,
            read_problem=lambda: alerting.problem or self._problem,
            wake=wake,
        )
        server = Server(pages, self._read_unix, web=self._place.web, inbox=pages)
        server.ready.set()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, server.stop.set)
        log.info("Alertmanager may post to %s on %s", HOOK, self._place.listen)
        ticking = asyncio.create_task(self._tick(wake))
        try:
            await server.serve(sockets=[listener])
        finally:
            ticking.cancel()
            with suppress(asyncio.CancelledError):
                await ticking

    async def _tick(self, wake: Callable[[float], None]) -> None:
        while True:
            wake(self._read_unix())
            await asyncio.sleep(MINUTE)

    def _alerting(self, firing: Firing) -> Alerting:
        settings, policy = self._settings, policy_of(self._settings.alert)
        way, deliver = None, None
        if settings.alert.mode == FLEET:
            terms = Terms(settings.policy.gpu_hour, settings.policy.currency, self._zone)
            way = Way(lambda step, earlier, now: letters_of(step, earlier, terms=terms, now_unix=now))
            deliver = Sender(settings.slack_of_notices).deliver

        def telling(file: NoticesFile) -> FleetTelling:
            return FleetTelling(
                Notices(file),
                Outbox(file),
                policy,
                local=local_in(self._zone),
                place=f"notify {settings.node}",
                way=way,
                firing=firing,
                ask=lambda unix: Asking(settings.prometheus, unix),
                note=self._note,
            )

        return Alerting(telling, self._place.directory, deliver=deliver, read_unix=self._read_unix)

    def _note(self, problem: str) -> None:
        if problem and problem != self._problem:
            log.error("%s; nobody is told of anything new until that is mended", problem)
        elif self._problem and not problem:
            log.info("Prometheus answers again")
        self._problem = problem
