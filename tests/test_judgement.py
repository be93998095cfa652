"""What is thought of runs, story by story: tests/judgement_stories.py, and the table of docs/judgement.md."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from judged import Story, course
from judgement_stories import STORIES

DOCUMENT = Path(__file__).parent.parent / "docs" / "judgement.md"


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.title)
def test_the_story_is_judged_and_told_as_it_should_be(story: Story) -> None:
    verdicts, told, _ = course(story)
    assert (verdicts, told) == (dict(story.verdicts), story.told)


def row(story: Story) -> str:
    verdicts, told, _ = course(story)
    (_, first), *later = verdicts.items()
    words = [first, *(f"{verdict} from {minute}" for minute, verdict in later)]
    return f"| {story.title} | {', '.join(words)} | {told or 'never'} | {story.why} |\n"


def test_the_table_of_the_documentation_is_what_happened() -> None:
    """After a change that is meant: `GOLDEN=write make test`, and read the difference."""
    table = "".join(map(row, STORIES))
    text = DOCUMENT.read_text(encoding="utf-8")
    (head, written) = re.findall(r"^(\| story \| .*\n\| --- .*\n)((?:\|.*\n)*)", text, re.MULTILINE)[0]
    if os.environ.get("GOLDEN") == "write":
        DOCUMENT.write_text(text.replace(head + written, head + table), encoding="utf-8")
        written = table
    assert written == table


def test_no_two_stories_have_the_same_title() -> None:
    assert len({story.title for story in STORIES}) == len(STORIES)
