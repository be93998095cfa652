"""The use of GPUs divided by what reports know beside the history: by teams of people, and by days of a calendar."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

from gpuwatch.model.history import KEYS, Filters, Source, Usage, Values, Window, WorstRun
from gpuwatch.report.document import NO_TEAM, SERVICE
from gpuwatch.report.period import Period

REPORT_KEYS: Final = (*KEYS, "team", "day")
_PEOPLE_KINDS: Final = ("batch", "interactive", "")
"""Of runs that are no services. That of `short` and `overflow` is not known."""
_ROUNDING: Final = 0.01
"""Held time under this part of the services' own is no people's: from a server the two differ by a little."""
_Part = TypeVar("_Part", Usage, WorstRun)
_Ask = Callable[[Window, Sequence[str], Filters], Mapping[Values, _Part]]


class Division(NamedTuple):
    """The use of people and of services, and the run of people that wasted most, by the same keys."""

    people: dict[Values, Usage]
    services: dict[Values, Usage]
    worst: dict[Values, WorstRun]


def divide(source: Source, period: Period, by: Sequence[str], where: Filters, teams: Mapping[str, str]) -> Division:
    """What `by` (of REPORT_KEYS) divides the use in the period into. `teams` are by person.

    Services stand by themselves, unless it is asked by kind. A run counts in each division that it was in.
    """
    keys = _Keys(period, tuple(by), teams)
    whole = keys.ask(source.usage, where, together)
    if "kind" in by or "kind" in where:
        return Division(whole, {}, keys.ask(source.worst_runs, where, worse))
    served = keys.ask(source.usage, {**where, "kind": (SERVICE,)}, together)
    worst = keys.ask(source.worst_runs, {**where, "kind": _PEOPLE_KINDS}, worse)
    parts = {values: apart(usage, served.get(values, Usage())) for values, usage in whole.items()}
    return Division(
        {values: people for values, (people, _) in parts.items()},
        {values: services for values, (_, services) in parts.items() if services.held > 0},
        worst,
    )


def count_runs(source: Source, window: Window, where: Filters) -> int:
    """Different runs of people in the window: those of its days or nodes do not add up."""
    runs = sum(usage.runs for usage in source.usage(window, (), where).values())
    if "kind" in where:
        return runs
    served = source.usage(window, (), {**where, "kind": (SERVICE,)}).values()
    return max(0, runs - sum(usage.runs for usage in served))


def together(one: Usage, other: Usage) -> Usage:
    """The use of both, where no run is of both."""
    known = [usage.sm_active for usage in (one, other) if usage.sm_active is not None]
    return Usage(
        one.held + other.held,
        one.busy + other.busy,
        one.joules + other.joules,
        sum(known) if known else None,
        one.runs + other.runs,
    )


def worse(one: WorstRun, other: WorstRun) -> WorstRun:
    """The one that was idle for longer."""
    return max(one, other, key=lambda run: run.held - run.busy)


def apart(whole: Usage, service: Usage) -> tuple[Usage, Usage]:
    """What is of people, and what is of services: both together are the whole."""
    if whole.held - service.held <= _ROUNDING * service.held:
        return Usage(), whole
    sm_active = whole.sm_active
    if sm_active is not None and service.sm_active is not None:
        sm_active = max(0.0, sm_active - service.sm_active)
    people = Usage(
        whole.held - service.held,
        max(0.0, whole.busy - service.busy),
        max(0.0, whole.joules - service.joules),
        sm_active,
        max(0, whole.runs - service.runs),
    )
    return people, service


class _Keys(NamedTuple):
    """What a report is divided by, and how that is asked of a history."""

    period: Period
    by: tuple[str, ...]
    teams: Mapping[str, str]

    def ask(self, ask: _Ask[_Part], where: Filters, join: Callable[[_Part, _Part], _Part]) -> dict[Values, _Part]:
        """The parts by the report's keys: once a day where that is one, and people's are joined to their team's."""
        keys = tuple(dict.fromkeys("user" if key == "team" else key for key in self.by if key != "day"))
        days = self.period.days() if "day" in self.by else [("", self.period.window)]
        parts: dict[Values, _Part] = {}
        for day, window in days:
            for answer, part in ask(window, keys, where).items():
                values = self._values(dict(zip(keys, answer, strict=True)), day)
                parts[values] = join(parts[values], part) if values in parts else part
        return parts

    def _values(self, known: Mapping[str, str], day: str) -> Values:
        team = self.teams.get(known.get("user", ""), NO_TEAM)
        return tuple({**known, "team": team, "day": day}[key] for key in self.by)
