"""What the agents of other nodes say of a run, as the Prometheus server has it: asked before its owner is first told.

A run on several nodes is told of once, by the first of them by name; and by none while it is snoozed on any.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from gpuwatch.alert.subject import WASTING, Subject, wasted_by
from gpuwatch.errors import GpuwatchError
from gpuwatch.model.judgement import SNOOZED, RunNow
from gpuwatch.report.prometheus.client import Client, Labels
from gpuwatch.report.prometheus.promql import selector
from gpuwatch.report.server import Server
from gpuwatch.units import MINUTE

PATIENCE_SECONDS: Final = 15 * MINUTE
"""A server that does not answer is waited for so long. Then the run is told of: at worst once by each of its nodes."""
_UNANSWERED: Final = "the Prometheus server does not say whether another node tells of it"
_RUN = tuple[str, str]
"""(user, run)"""

Ask = Callable[[Sequence[str], float], Sequence[Labels]]
"""The verdicts that hold on some runs at a time: labels with node, user, run and verdict. Raises GpuwatchError."""


class Elsewhere:
    """Asks for one node."""

    def __init__(self, ask: Ask, node: str) -> None:
        self._ask = ask
        self._node = node
        self._silent: tuple[float, float] | None = None
        """From which question to which there was no answer; None where the last one was answered."""

    def __call__(self, subjects: Sequence[Subject], now_unix: float) -> Mapping[str, str]:
        """By key, the subjects that are not to be told of by this node, and why."""
        runs = sorted({run.owner.run for subject in subjects for run in subject.runs})
        try:
            said = _by_run(self._ask(runs, now_unix))
        except GpuwatchError:
            return self._unanswered(subjects, now_unix)
        self._silent = None
        found = {subject.key: self._why_not(subject, said) for subject in subjects}
        return {key: why for key, why in found.items() if why}

    def _why_not(self, subject: Subject, said: Mapping[_RUN, Mapping[str, set[str]]]) -> str:
        """Why none of its runs is this node's to tell of; empty where one is."""
        whys = [self._why_not_run(run, said) for run in subject.runs if wasted_by(run)]
        return whys[0] if all(whys) else ""

    def _why_not_run(self, run: RunNow, said: Mapping[_RUN, Mapping[str, set[str]]]) -> str:
        verdicts = said.get((run.owner.user, run.owner.run), {})
        if snoozed := sorted(node for node, these in verdicts.items() if SNOOZED in these and node != self._node):
            return f"snoozed on {snoozed[0]}"
        first = min((node for node, these in verdicts.items() if these & WASTING), default=self._node)
        return f"{first} tells of it" if first < self._node else ""

    def _unanswered(self, subjects: Sequence[Subject], now_unix: float) -> Mapping[str, str]:
        since, until = self._silent or (now_unix, now_unix)
        if not 0 <= now_unix - until < PATIENCE_SECONDS:  # it was not asked for long: that is another silence
            since = now_unix
        self._silent = (since, now_unix)
        if now_unix - since >= PATIENCE_SECONDS:
            return {}
        return dict.fromkeys((subject.key for subject in subjects), _UNANSWERED)


def asking(server: Server) -> Ask:
    """The way to ask a server."""

    def ask(runs: Sequence[str], unix: float) -> Sequence[Labels]:
        verdicts = selector("gpuwatch_run_verdict", {"run": runs, "verdict": sorted({*WASTING, SNOOZED})})
        return [sample.labels for sample in Client(server).query(verdicts, at=unix, purpose="verdicts of other nodes")]

    return ask


def _by_run(said: Sequence[Labels]) -> Mapping[_RUN, Mapping[str, set[str]]]:
    found: dict[_RUN, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for labels in said:
        run = (labels.get("user", ""), labels.get("run", ""))
        found[run][labels.get("node", "")].add(labels.get("verdict", ""))
    return found
