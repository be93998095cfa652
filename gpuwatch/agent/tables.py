"""What tables that are values may hold: `[users]`, `[teams]` and every `[[judge.override]]`. Pure, as kinds.py is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gpuwatch.agent.kinds import NAME, Kind, Mistake, parse_value, shown, told
from gpuwatch.judge.overrides import FIELDS


def _is_name(value: object) -> bool:
    try:
        NAME.check(value)
    except ValueError:
        return False
    return True


def _pairs(table: object) -> Iterator[tuple[str, object]]:
    """The rows of a table, each by a name that may be one."""
    if not isinstance(table, dict):
        raise ValueError
    for name, value in table.items():
        if not _is_name(name):
            raise Mistake(f"has {shown(name)} as a name")
        yield name, value


def _aliases(table: object) -> dict[str, str]:
    aliases = {}
    for name, person in _pairs(table):
        if not isinstance(person, str) or not _is_name(person):
            raise Mistake(f"has {shown(name)}, which {told(person)}")
        aliases[name] = person
    for person in aliases.values():
        if aliases.get(person, person) != person:
            raise Mistake(f"has {shown(person)} both as a person and as a name of {shown(aliases[person])}")
    return aliases


def _teams(table: object) -> dict[str, tuple[str, ...]]:
    teams: dict[str, tuple[str, ...]] = {}
    team_of: dict[str, str] = {}
    for team, members in _pairs(table):
        if not isinstance(members, list):
            raise Mistake(f"has {shown(team)}, which {told(members)}")
        for member in members:
            if not isinstance(member, str) or not _is_name(member) or member == "%":
                raise Mistake(f"has in {shown(team)} a member that {told(member)}")
            if team_of.setdefault(member, team) != team:
                raise Mistake(f"has {shown(member)} in two teams, {shown(team_of[member])} and {shown(team)}")
        teams[team] = tuple(members)
    return teams


def _overrides(rows: object) -> tuple[Mapping[str, object], ...]:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError
    for number, row in enumerate(rows, start=1):
        for name, value in row.items():
            if (field := FIELDS.get(name)) is None:
                raise Mistake(f"has {shown(name)} in table {number}, which is none of {', '.join(FIELDS)}")
            try:
                field.parse(value)
            except ValueError:
                raise Mistake(f"has {name} in table {number}, which {told(value)} and not {field.right}") from None
    return tuple(rows)


USERS = Kind('a table of persons by their other names, like { "ann.smith" = "ann" }', _aliases, parse_value)
TEAMS = Kind('a table of lists, like { vision = ["ann", "%vision"] }, with each in one team', _teams, parse_value)
OVERRIDES = Kind(
    'a list of tables like { kind = "interactive", hours = "12:00-14:00", days = "mon-fri", idle_after = "2h" }',
    _overrides,
    parse_value,
)
