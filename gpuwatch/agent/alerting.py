"""The agent's thread that tells people: it gets the runs once a minute, and no reading ever waits for it."""

from __future__ import annotations

import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Final

from gpuwatch.agent.settings import Settings
from gpuwatch.agent.telling import Telling, Way
from gpuwatch.alert.plan import Local, Minute
from gpuwatch.alert.policy import AGENT, SHADOW, AlertPolicy
from gpuwatch.errors import GpuwatchError, UsageError
from gpuwatch.model.judgement import RunNow
from gpuwatch.model.notice import OUTCOMES
from gpuwatch.state.notices import Notices
from gpuwatch.state.notices_file import NoticesFile
from gpuwatch.state.outbox import Outbox
from gpuwatch.units import HOUR, MINUTE

log = logging.getLogger(__name__)

Deliver = Callable[[Outbox, float], float]
"""Send what is due at a time; the seconds until it is to be called again, or infinity."""
_NONE: Final = dict.fromkeys(OUTCOMES, 0)


class Alerting:
    """The thread. Without `deliver` nothing is sent, and nothing that knows Slack is loaded."""

    def __init__(
        self,
        open_telling: Callable[[NoticesFile], Telling],
        directory: Path,
        *,
        deliver: Deliver | None = None,
        read_unix: Callable[[], float],
        durable: bool = True,
    ) -> None:
        self._open_telling = open_telling
        self._directory = directory
        self._deliver = deliver
        self._read_unix = read_unix
        self._durable = durable
        self._next: deque[Minute] = deque(maxlen=1)
        self._wake = threading.Event()
        self._stopped = False
        self._problem = ""
        self._totals: Mapping[str, int] | None = None
        self._tidied = 0.0
        self._thread = threading.Thread(target=self._run, name="gpuwatch-alerts", daemon=True)

    @property
    def totals(self) -> Mapping[str, int] | None:
        """How many notices there ever were, by outcome, as far as the thread has come; None before that is known."""
        return self._totals

    @property
    def problem(self) -> str:
        """Why nothing is told or sent now; empty where all is well."""
        return self._problem

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def take(self, runs: tuple[RunNow, ...], unix: float, unseen: frozenset[str] = frozenset()) -> None:
        """Hand over the runs of a minute, in place of those of one that was not looked at yet. Never waits.

        Of the `unseen` nodes not all runs are known.
        """
        self._next.append(Minute(unix, runs, unseen))
        self._wake.set()

    def stop(self, timeout: float) -> None:
        """End, when what was handed over is noted; a call of Slack that takes longer than `timeout` is left alone."""
        self._stopped = True
        self._wake.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            try:
                with closing(NoticesFile(self._directory, unix=self._read_unix(), durable=self._durable)) as file:
                    if file.set_aside is not None:
                        log.error("the notices were damaged: they are kept as %s", file.set_aside)
                    self._work(file)
            except GpuwatchError as error:
                self._note(str(error))
            except Exception as error:  # noqa: BLE001  isolation: what breaks in one minute ends no other
                self._note(f"{type(error).__name__}: {error}")
            if self._stopped:
                return
            self._pause(MINUTE)

    def _work(self, file: NoticesFile) -> None:
        """Until told to stop. Raises DiskRefused: then the file is opened anew."""
        notices, outbox, telling = Notices(file), Outbox(file), self._open_telling(file)
        self._totals = {**_NONE, **notices.totals()}
        is_known = False
        while self._next or not self._stopped:
            if self._next:
                minute = self._next.pop()
                telling.tell(minute)
                self._tidy(notices, minute.now_unix)
                is_known = True
            pause = math.inf
            if is_known:  # what waits since before a restart may be over by now
                pause = math.inf if self._deliver is None else self._deliver(outbox, self._read_unix())
                self._note("")
                self._totals = {**_NONE, **notices.totals()}
            if not self._next and not self._stopped:
                self._pause(pause)

    def _pause(self, seconds: float) -> None:
        self._wake.wait(None if seconds == math.inf else seconds)
        self._wake.clear()

    def _tidy(self, notices: Notices, unix: float) -> None:
        if not 0 <= unix - self._tidied < HOUR:
            notices.tidy(unix=unix)
            self._tidied = unix

    def _note(self, problem: str) -> None:
        if problem and problem != self._problem:
            log.error("%s; nobody is told of anything until that is mended", problem)
        elif self._problem and not problem:
            log.info("people are told again")
        self._problem = problem


def alerting_of(settings: Settings, *, read_unix: Callable[[], float], simulated: bool = False) -> Alerting | None:
    """The thread as it is configured; None where this agent tells nobody. Nobody is sent what is simulated.

    Raises UsageError for what can be seen to be wrong only here.
    """
    policy = replace(settings.alert, mode=SHADOW) if simulated and settings.alert.mode == AGENT else settings.alert
    if policy.mode not in (SHADOW, AGENT):
        return None
    zone = clocks_of(policy)
    way, deliver = _by_slack(settings, zone) if policy.mode == AGENT else (None, None)

    def telling(file: NoticesFile) -> Telling:
        return Telling(Notices(file), Outbox(file), policy, local=local_in(zone), place=settings.node, way=way)

    return Alerting(telling, settings.state_directory, deliver=deliver, read_unix=read_unix, durable=not simulated)


def _by_slack(settings: Settings, zone: tzinfo | None) -> tuple[Way, Deliver]:
    """How messages are written, and sent."""
    from gpuwatch.alert.letters import letters_of  # noqa: PLC0415  an agent that sends nothing does not load them
    from gpuwatch.alert.message import Terms  # noqa: PLC0415
    from gpuwatch.alert.sender import Sender  # noqa: PLC0415

    terms = Terms(settings.policy.gpu_hour, settings.policy.currency, zone)
    way = Way(lambda step, earlier, now: letters_of(step, earlier, terms=terms, now_unix=now))
    if settings.prometheus.url:
        from gpuwatch.agent.elsewhere import Elsewhere, asking  # noqa: PLC0415

        way = replace(way, ask_elsewhere=Elsewhere(asking(settings.prometheus), settings.node))
    return way, Sender(settings.slack_of_notices).deliver


def clocks_of(policy: AlertPolicy) -> tzinfo | None:
    """The zone of the people who are told; None for the machine's own. Raises UsageError for a name that is none."""
    if not policy.time_zone:
        return None
    from zoneinfo import ZoneInfo  # noqa: PLC0415  an agent whose clocks are its people's does not load zones

    try:
        return ZoneInfo(policy.time_zone)
    except (ValueError, OSError, KeyError) as error:
        right = "a time zone that this machine knows, like Europe/Berlin"
        raise UsageError(f"alert.time_zone is {policy.time_zone!r}, and must be {right}") from error


def local_in(zone: tzinfo | None) -> Local:
    """The clocks of a zone."""
    return lambda unix: datetime.fromtimestamp(unix, UTC).astimezone(zone)
