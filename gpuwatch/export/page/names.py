"""Whose names the page shows: `[privacy] names`. Pure.

It is a rule of manners and no lock: `/metrics` and `/api/v1/status` are for tools, and have them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gpuwatch.export.page.words import plain, web_link
from gpuwatch.model import Owner, Snapshot, Use
from gpuwatch.model.judgement import SNOOZED, Judgement

ALL: Final = "all"
TEAM: Final = "team"
NO_TEAM: Final = "no team"
_FOLDED: Final = {"short": "short runs", "overflow": "further runs"}
_KINDS: Final = {"service": "a service", "interactive": "a notebook or shell", "batch": "a batch job"}


class Names:
    """What stands for people and their runs."""

    def __init__(self, policy: str, snapshot: Snapshot) -> None:
        self._policy = policy
        self._snapshot = snapshot
        self._numbers = {} if policy in (ALL, TEAM) else _numbered(snapshot)

    @property
    def withheld(self) -> str:
        """What is not shown, in words; empty where everything is."""
        if self._policy == ALL:
            return ""
        return "People are shown as their teams" if self._policy == TEAM else "Names are withheld"

    @property
    def heading(self) -> str:
        """What stands for a person."""
        return "Team" if self._policy == TEAM else "Person"

    def person(self, user: str) -> str:
        """Who that is."""
        if self._policy == ALL:
            return plain(user)
        if self._policy == TEAM:
            return plain(self._snapshot.teams.get(user, NO_TEAM))
        return f"person {self._numbers[user]}"

    def team(self, user: str) -> str:
        """Of a person who is shown by name; empty where there is none."""
        return plain(self._snapshot.teams[user]) if self._policy == ALL and user in self._snapshot.teams else ""

    def run(self, owner: Owner) -> tuple[str, str, str]:
        """What people call a run, its name in the record where that is another, and its link."""
        about = self._snapshot.runs.get(owner)
        if self._policy != ALL:
            return _KINDS.get(about.kind if about else "", _FOLDED.get(owner.run, "a run")), "", ""
        name = plain(about.name) if about and about.name else ""
        run = _FOLDED.get(owner.run, plain(owner.run))
        return name or run, run if name else "", web_link(about.url) if about else ""

    def reason(self, judgement: Judgement) -> str:
        """Why, in words. What people said themselves is withheld with their names."""
        if self._policy != ALL and judgement.verdict == SNOOZED:
            return "somebody says it is meant"
        return judgement.reason


def _numbered(snapshot: Snapshot) -> Mapping[str, int]:
    """People by their use of the last week, most first."""
    users = {owner.user for _, owner in (*snapshot.holding, *snapshot.judgements)}
    people = {user: snapshot.course.people.get(user, Use()).held for user in {*users, *snapshot.course.people}}
    ordered = sorted(people, key=lambda user: (-people[user], user))
    return {user: number for number, user in enumerate(ordered, start=1)}
