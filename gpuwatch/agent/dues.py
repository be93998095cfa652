"""Of whom somebody is to be told: worked out whenever the runs were judged anew, and handed to who tells people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from gpuwatch.agent.runs_now import due_now, runs_now
from gpuwatch.alert.policy import OFF, AlertPolicy
from gpuwatch.model import Owner, Snapshot
from gpuwatch.model.judgement import Judged, RunNow


class Teller(Protocol):
    """Who tells people. `agent/alerting.py` says what each part means."""

    @property
    def totals(self) -> Mapping[str, int] | None:
        """Notices by outcome; None before that is known."""
        ...

    @property
    def problem(self) -> str:
        """Why nobody can be told now; empty where all is well."""
        ...

    def take(self, runs: tuple[RunNow, ...], unix: float, unseen: frozenset[str] = frozenset()) -> None:
        """The runs of a minute, and the nodes whose runs are not all known."""
        ...


class Dues:
    """What is due now. Nothing waits for the one who tells, and there may be none."""

    def __init__(self, policy: AlertPolicy, teller: Teller | None) -> None:
        self._push = policy.push if policy.mode != OFF else None
        self._teller = teller
        self._judged: Judged | None = None
        self._due: Mapping[Owner, str] = {}
        self._read: set[str] = set()
        """The devices that were ever read: of what is on the others nothing is known after a restart."""

    def add(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot, with what is due and how many notices there were."""
        if snapshot.judged is not self._judged and self._push is not None:
            self._judged = snapshot.judged
            runs = runs_now(snapshot)
            self._due = due_now(runs, self._push)
            if self._teller is not None:
                self._teller.take(runs, snapshot.taken_unix, self._unseen(snapshot))
        totals, problem = (None, "") if self._teller is None else (self._teller.totals, self._teller.problem)
        return replace(snapshot, due=self._due, notices=totals, notices_problem=problem)

    def _unseen(self, snapshot: Snapshot) -> frozenset[str]:
        self._read |= {device.info.uuid for device in snapshot.devices if device.reading is not None}
        is_known = snapshot.devices and all(device.info.uuid in self._read for device in snapshot.devices)
        return frozenset() if is_known else frozenset({snapshot.node})
