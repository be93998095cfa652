"""`[users]` and `[teams]`: one name for all accounts of a person, and the team of each, by names or unix groups."""

from __future__ import annotations

import grp
import logging
import os
import pwd
from pathlib import Path

import pytest
from configured import configured, in_file, told

from gpuwatch.agent.teams import read_teams
from gpuwatch.attribute.group import read_group
from gpuwatch.attribute.people import People

USERS = 'must be a table of persons by their other names, like { "ann.smith" = "ann" }'
TEAMS = 'must be a table of lists, like { vision = ["ann", "%vision"] }, with each in one team'
TEXT = """
[users]
"ann.smith" = "ann"
asmith = "ann"
"uid:1234" = "bob"

[teams]
vision = ["ann", "bob"]
"language & speech" = ["eve", "%nlp"]
"""


def test_the_maps_are_read_from_the_file(tmp_path: Path) -> None:
    people = configured(path=in_file(tmp_path, TEXT)).settings.people
    assert [people.alias(name) for name in ("ann.smith", "asmith", "uid:1234", "ann", "eve")] == [
        "ann", "ann", "bob", "ann", "eve",
    ]  # fmt: skip
    assert people.groups == {"nlp"}
    assert people.teams() == {"ann": "vision", "bob": "vision", "eve": "language & speech"}


def test_without_any_everybody_is_who_they_are() -> None:
    people = configured().settings.people
    assert (people.alias("ann"), people.groups, people.teams()) == ("ann", frozenset(), {})


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("users = 1", f"users is 1, and {USERS}"),
        ("[users]\nann = ['a']", f'users has "ann", which is a list, and {USERS}'),
        ("[users]\nann = ''", f'users has "ann", which is "", and {USERS}'),
        ('[users]\nann = "a\\u202Eb"', f'users has "ann", which is "a\\u202eb", and {USERS}'),
        ("[users]\n'' = 'ann'", f'users has "" as a name, and {USERS}'),
        ("[users]\n'ann.smith' = 'xoxb-1-geheim'", "users has \"ann.smith\", which is not shown here, as it may hold a "
         f"secret, and {USERS}"),
        ("[users]\na = 'b'\nb = 'c'", f'users has "b" both as a person and as a name of "c", and {USERS}'),
        (f"[users]\nann = '{'a' * 129}'", f'users has "ann", which is "{"a" * 60}"…, and {USERS}'),
        ("[teams]\nvision = 'ann'", f'teams has "vision", which is "ann", and {TEAMS}'),
        ("[teams]\nvision = ['ann', 7]", f'teams has in "vision" a member that is 7, and {TEAMS}'),
        ("[teams]\nvision = ['%']", f'teams has in "vision" a member that is "%", and {TEAMS}'),
        ("[teams]\na = ['ann']\nb = ['ann']", f'teams has "ann" in two teams, "a" and "b", and {TEAMS}'),
        ("[teams]\na = ['%nlp']\nb = ['%nlp']", f'teams has "%nlp" in two teams, "a" and "b", and {TEAMS}'),
        ('[teams]\n"a\\nb" = ["ann"]', f'teams has "a\\nb" as a name, and {TEAMS}'),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(tmp_path: Path, text: str, mistake: str) -> None:
    path = in_file(tmp_path, text)
    assert told("config", "--show", "--config", path) == [f"{path}: {mistake}"]


def test_a_variable_holds_a_table_of_toml() -> None:
    people = configured(environment={"GPUWATCH_USERS": '{ "ann.smith" = "ann" }'}).settings.people
    assert people.alias("ann.smith") == "ann"


@pytest.mark.parametrize("text", ["{}\nx = 1", "{", "[" * 20_000, "ann", ""], ids=range(5))
def test_a_variable_with_anything_else_is_told(text: str) -> None:
    (mistake,) = told("config", "--show", environment={"GPUWATCH_USERS": text})
    assert mistake.startswith("GPUWATCH_USERS is ")
    assert mistake.endswith(USERS)


def test_groups_add_who_is_named_nowhere() -> None:
    people = People(
        aliases={"ann.smith": "ann", "ben.w": "ben"},
        members={"vision": ("ann", "%lab"), "nlp": ("%nlp", "%lab-nlp")},
    )
    groups = {"nlp": frozenset({"ann.smith", "ben.w", "eve"}), "lab": frozenset({"eve"})}
    assert people.groups == {"lab", "nlp", "lab-nlp"}
    assert people.teams(groups) == {"ann": "vision", "ben": "nlp", "eve": "vision"}


def test_a_unix_group_has_its_members_and_those_whose_primary_group_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    users = [pwd.struct_passwd((name, "x", 1000, gid, "", "/", "/bin/sh")) for name, gid in (("ann", 7), ("ben", 8))]
    monkeypatch.setattr(pwd, "getpwall", lambda: users)
    monkeypatch.setattr(grp, "getgrnam", lambda name: grp.struct_group((name, "x", 7, ["eve", "a\x1bdam"])))
    assert read_group("vision") == {"ann", "eve", "adam"}


def test_teams_by_real_groups_and_one_that_is_none(caplog: pytest.LogCaptureFixture) -> None:
    me, mine = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(pwd.getpwuid(os.getuid()).pw_gid).gr_name
    with caplog.at_level(logging.WARNING):
        teams = read_teams(People(members={"us": (f"%{mine}", "%no-such-group")}))
    assert teams[me] == "us"
    assert [record.getMessage() for record in caplog.records] == [
        "the unix group no-such-group in [teams] cannot be read: there is none of this name"
    ]
