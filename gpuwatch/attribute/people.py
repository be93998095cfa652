"""Who people are here: one name for all accounts of a person, and their teams. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

GROUP_MARK = "%"
"""Before the name of a unix group among the members of a team, as in sudoers."""


@dataclass(frozen=True, slots=True)
class People:
    """The maps `[users]` and `[teams]` of the configuration."""

    aliases: Mapping[str, str] = field(default_factory=dict)
    """Persons by unix name, by `uid:N` where there is none, or by their name at Slurm, W&B or on a pod."""
    members: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By team: persons, and unix groups after a `%`."""

    def alias(self, name: str) -> str:
        """The person who goes by this name."""
        return self.aliases.get(name, name)

    @property
    def groups(self) -> frozenset[str]:
        """The unix groups that stand for their members."""
        members = (member for team in self.members.values() for member in team)
        return frozenset(member.removeprefix(GROUP_MARK) for member in members if member.startswith(GROUP_MARK))

    def teams(self, groups: Mapping[str, frozenset[str]] = MappingProxyType({})) -> dict[str, str]:
        """The team of each person; `groups` are the unix names in each group, as far as they are known.

        Who is named is in that team, whatever groups say; of teams by groups the first one counts.
        """
        teams = {
            member: team
            for team, members in self.members.items()
            for member in members
            if not member.startswith(GROUP_MARK)
        }
        for team, members in self.members.items():
            for member in members:
                for name in groups.get(member.removeprefix(GROUP_MARK), ()) if member.startswith(GROUP_MARK) else ():
                    teams.setdefault(self.alias(name), team)
        return teams
