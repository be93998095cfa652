"""Telling the fleet's people: of the runs of which Alertmanager says so, and of those they were told of, to the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import replace
from typing import Final

from gpuwatch.agent.telling import Telling, Way
from gpuwatch.alert.plan import Local, Minute, Step
from gpuwatch.alert.policy import AGENT, SHADOW, AlertPolicy
from gpuwatch.alert.subject import key_of
from gpuwatch.errors import PrometheusError
from gpuwatch.model.judgement import RunNow
from gpuwatch.model.notice import Notice
from gpuwatch.notify.evidence import Asking
from gpuwatch.notify.firing import Firing
from gpuwatch.notify.runs import runs_of
from gpuwatch.state.notices import Notices
from gpuwatch.state.outbox import Outbox

_SILENT: Final = "Alertmanager does not say so (any more): not due, or silenced"
Ask = Callable[[float], Asking]
"""Ask the server, at a time."""
Note = Callable[[str], None]
"""Note why nobody can be told now; nothing where all is well."""


def policy_of(policy: AlertPolicy) -> AlertPolicy:
    """The policy of who tells for the fleet: the agents have waited already, by theirs, and nobody waits twice."""
    mode = SHADOW if policy.mode == SHADOW else AGENT
    return replace(policy, mode=mode, push_after="1m", interactive_after="1m", push_gpu_hours=0.0)


class FleetTelling(Telling):
    """Telling by what Alertmanager says and Prometheus has. What they do not tell is neither told nor closed."""

    def __init__(
        self,
        notices: Notices,
        outbox: Outbox,
        policy: AlertPolicy,
        *,
        local: Local,
        place: str,
        way: Way | None,
        firing: Firing,
        ask: Ask,
        note: Note,
    ) -> None:
        super().__init__(notices, outbox, policy, local=local, place=place, way=way)
        self._open = notices.open
        self._firing = firing
        self._ask = ask
        self._note = note

    def tell(self, minute: Minute) -> list[Step]:
        """Find out what there is to tell at the time of this minute, and tell it. Raises DiskRefused."""
        firing, notices = self._firing.runs(minute.now_unix), self._open()
        users = {user for user, _ in firing} | {notice.user for notice in notices}
        if not users:
            self._note("")
            return []
        try:
            asking = self._ask(minute.now_unix)
            evidence, unseen = asking.evidence(users), asking.unseen()
        except PrometheusError as error:
            self._note(str(error))
            return []
        self._note("")
        return super().tell(minute_of(runs_of(evidence, minute.now_unix), unseen, firing, notices, minute.now_unix))


def minute_of(
    runs: Iterable[RunNow],
    unseen: frozenset[str],
    firing: Set[tuple[str, str]],
    notices: Iterable[Notice],
    now_unix: float,
) -> Minute:
    """What there is to tell of. A word on any run of an array or sweep is one on all of it."""
    runs = tuple(runs)
    said = {key_of(run) for run in runs if (run.owner.user, run.owner.run) in firing}
    known = {notice.key for notice in notices}
    elsewhere: Mapping[str, str] = dict.fromkeys(known - said, _SILENT)
    concerned = tuple(run for run in runs if key_of(run) in said | known)
    return Minute(now_unix, concerned, unseen=unseen, elsewhere=elsewhere)
