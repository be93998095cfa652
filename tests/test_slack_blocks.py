"""A report as messages of Slack: within Slack's limits, with nothing in it that Slack would take for markup."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC
from typing import Any

import pytest
from history import Charge, FakeHistory, Spell
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk.models.blocks import Block
from week import HOSTILE, MONDAY, NOW, fleet_week

from gpuwatch.model import Owner
from gpuwatch.model.history import Source
from gpuwatch.report.document import Report
from gpuwatch.report.period import parse_period
from gpuwatch.report.policy import Policy
from gpuwatch.report.slack_blocks import (
    LONGEST_TEXT,
    MOST_BLOCKS,
    Message,
    people_message,
    person_message,
    render_slack,
    team_message,
)
from gpuwatch.report.summary import gather
from gpuwatch.units import HOUR

LAST_WEEK = parse_period("last week", None, zone=UTC, now_unix=NOW)
PHONE = 34
"""Characters of one width that a phone shows in a line."""


def reported(source: Source, *by: str, names: str = "all", **where: tuple[str, ...]) -> Report:
    policy = Policy(gpu_hour=2.5, names=names)
    return gather(source, LAST_WEEK, by=by or ("user",), where=where, policy=policy, teams={}, viewer="ann")


def leaves(item: Any) -> Iterator[Mapping[str, Any]]:
    """All objects in it that have a type."""
    if isinstance(item, Mapping):
        yield from [item] if "type" in item else []
        for value in item.values():
            yield from leaves(value)
    elif isinstance(item, list | tuple):
        for value in item:
            yield from leaves(value)


def texts(message: Message) -> str:
    return "\n".join(str(leaf["text"]) for leaf in leaves(message.blocks) if isinstance(leaf.get("text"), str))


def tables(message: Message) -> list[str]:
    fixed = [leaf for leaf in leaves(message.blocks) if leaf["type"] == "rich_text_preformatted"]
    return ["".join(element["text"] for element in leaf["elements"]) for leaf in fixed]


def valid(message: Message) -> Message:
    """The same, if Slack takes it."""
    assert len(message.blocks) <= MOST_BLOCKS
    assert 0 < len(message.text) <= 2 * LONGEST_TEXT
    for block in message.blocks:
        parsed = Block.parse(dict(block))
        assert parsed is not None
        parsed.validate_json()
    for leaf in leaves(message.blocks):
        assert leaf["type"] != "mrkdwn"
        if isinstance(leaf.get("text"), str):
            assert 0 < len(leaf["text"]) <= LONGEST_TEXT
    return message


def test_the_team_reads_the_headline() -> None:
    message = valid(team_message(reported(fleet_week())))
    assert message.text.startswith("GPU report: last week (2026-W46). 8,064 GPU-h paid, $20,160: ")
    assert "you could be running" in texts(message)
    assert "dora" not in texts(message)


def test_a_table_fits_a_phone() -> None:
    for by in (("user",), ("run",), ("user", "project", "node")):
        found = tables(valid(people_message(reported(fleet_week(), *by))))
        assert found
        assert max(len(line) for table in found for line in table.splitlines()) <= PHONE


def test_a_long_name_has_a_line_of_its_own() -> None:
    people, services = tables(people_message(reported(fleet_week())))
    lines = people.splitlines()
    assert lines[0].split() == ["user", "held", "h", "used", "idle", "h"]
    assert lines[lines.index("francesca-longname") + 1].startswith(" " * 14)
    assert services.splitlines()[1].startswith("svc ")


def test_the_worst_run_is_linked() -> None:
    message = people_message(reported(fleet_week()))
    links = [leaf["url"] for leaf in leaves(message.blocks) if leaf["type"] == "link"]
    assert links[0] == "https://wandb.example.com/speech/dora"


def test_names_are_no_markup_and_no_mention() -> None:
    hostile = "<!channel> <@U1> <https://evil.example|x> & *b* `c`"
    source = FakeHistory(
        [Charge(MONDAY, Owner(hostile, "p", f"wandb:{HOSTILE}"), 1e6, 0.0, kind="batch", url="javascript:alert(1)")],
    )
    message = valid(people_message(reported(source)))
    assert "<!channel>" in texts(message)  # in elements that are not parsed
    assert not [leaf for leaf in leaves(message.blocks) if leaf["type"] == "link"]
    person = valid(person_message(reported(source, "run", user=(hostile,))))
    assert not set("<>") & set(person.text)
    assert "&lt;!channel&gt;" in person.text


def test_ones_own_report_names_ones_own_runs() -> None:
    message = valid(person_message(reported(fleet_week(), "run", names="none", user=("ann",))))
    assert ("Your GPUs: last week" in message.text, "wandb:resnet" in texts(message)) == (True, True)
    assert "dora" not in texts(message)


def test_what_is_simulated_says_so_everywhere() -> None:
    source = fleet_week()
    source.simulated = True
    for message in (team_message(reported(source)), person_message(reported(source, "run", user=("ann",)))):
        assert message.text.startswith("SIMULATED")
        assert "SIMULATED" in texts(message)


def test_an_idle_week_is_a_message_too() -> None:
    source = FakeHistory(spells=[Spell(MONDAY, free=float(HOUR))])
    assert "Nobody held a GPU." in texts(valid(people_message(reported(source))))


@pytest.mark.parametrize("count", [1, 41, 200, 500])
def test_however_many_people_it_is_one_message(count: int) -> None:
    source = FakeHistory(
        [
            Charge(MONDAY, Owner(f"somebody-with-a-long-name-{n}", "p", f"wandb:{n}"), 1e6, n / 1e3, kind=kind)
            for n in range(count)
            for kind in ("batch", "service")
        ]
    )
    message = valid(people_message(reported(source)))
    assert ("left out here" in texts(message)) == (count > 200)


@given(st.text(max_size=300), st.text(max_size=300))
def test_whatever_names_are_slack_takes_it(user: str, run: str) -> None:
    source = FakeHistory([Charge(MONDAY, Owner(user, "p", f"wandb:{run}"), 1e6, 0.0, kind="batch")])
    for message in (people_message(reported(source)), people_message(reported(source, "run", "user"))):
        json.dumps(valid(message).blocks).encode()


def test_the_format_is_what_slack_is_sent() -> None:
    document = json.loads(render_slack(reported(fleet_week())))
    assert document.keys() == {"text", "blocks"}
    assert len(document["blocks"]) <= MOST_BLOCKS
