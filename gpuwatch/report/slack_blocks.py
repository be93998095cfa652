"""A report as messages of Slack: for the team, of its people, and of one person. Pure, and within Slack's limits.

Names and links stand in elements that Slack does not parse, so that nothing in them is markup, a mention or a link.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from gpuwatch.report.document import Report, Row
from gpuwatch.report.figures import written_hours, written_share
from gpuwatch.report.formats import prose
from gpuwatch.report.formats.text import plain, web_link

Block = Mapping[str, Any]
MOST_BLOCKS: Final = 50
LONGEST_TEXT: Final = 3000
"""Characters of one block."""
_LONGEST_HEADER: Final = 150
_LONGEST_SMALL: Final = 2000
_NAME: Final = 14
_LINE: Final = "{:<14} {:>6} {:>5} {:>6}"
"""A line of a table: 34 characters, which a phone shows without breaking them."""
_WIDTH: Final = 34
_ROWS_IN_BLOCK: Final = 40
_MOST_ROWS: Final = 200


class Message(NamedTuple):
    """One message: what notifications show, in Slack's markup, and the blocks that are shown in its place."""

    text: str
    blocks: tuple[Block, ...]


def render_slack(report: Report) -> str:
    """All of it as one message in JSON, as `chat.postMessage` takes it, with a newline at its end."""
    team, people = team_message(report), people_message(report)
    document = {"text": team.text, "blocks": [*team.blocks, *people.blocks]}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def team_message(report: Report) -> Message:
    """What was paid and what became of it."""
    sentences = prose.summary(report)
    title = f"GPU report: {plain(report.period.label)}"
    blocks = [*_opening(report, title, sentences), _small("\n".join(prose.endnotes(report)))]
    return Message(_notification(report, f"{title}. {sentences[0]}"), tuple(blocks))


def people_message(report: Report) -> Message:
    """Who held GPUs, and used them; services by themselves; and the runs that wasted most."""
    return Message(_notification(report, f"{prose.total_line(report)}."), tuple(_people(report)))


def person_message(report: Report) -> Message:
    """One person's own report, for themselves: its rows are their runs."""
    title = f"Your GPUs: {plain(report.period.label)}"
    sentences = prose.summary(report)[:1]
    blocks = [*_opening(report, title, sentences), *_people(report), _small("\n".join(prose.endnotes(report)))]
    return Message(_notification(report, f"{title}. {sentences[0]}"), tuple(blocks))


def _opening(report: Report, title: str, sentences: Sequence[str]) -> list[Block]:
    header = {"type": "header", "text": _text(title, _LONGEST_HEADER)}
    marked = [_section(prose.SIMULATED)] if report.simulated else []
    return [header, *marked, *map(_section, sentences)]


def _people(report: Report) -> Iterator[Block]:
    if report.rows:
        yield from _table(report, report.rows)
        yield _section(f"{prose.total_line(report)}.")
    else:
        yield _section(prose.nothing(report))
    if report.services:
        yield _section("Services, which wait for requests:")
        yield from _table(report, report.services)
    if rows := prose.worst_rows(report):
        yield _rich([_paragraph([_run("Most idle", bold=True)]), _list([_waste(report, row) for row in rows])])


def _table(report: Report, rows: Sequence[Row]) -> Iterator[Block]:
    """The rows in a type of one width, in blocks of so many."""
    head = _LINE.format(_cut(", ".join(report.by), _NAME), "held h", "used", "idle h")
    for first in range(0, min(len(rows), _MOST_ROWS), _ROWS_IN_BLOCK):
        lines = [line for row in rows[first : first + _ROWS_IN_BLOCK] for line in _lines(row)]
        yield _rich([{"type": "rich_text_preformatted", "elements": [_run("\n".join([head, *lines]))]}])
    if len(rows) > _MOST_ROWS:
        yield _small(f"{len(rows) - _MOST_ROWS} more held less, and are left out here.")


def _lines(row: Row) -> Iterator[str]:
    """A line, or two where the name is long."""
    name = prose.name(row)
    if len(name) > _NAME:
        yield _cut(name, _WIDTH)
        name = ""
    share = written_share(row.utilization).replace(" ", "")
    yield _LINE.format(name, written_hours(row.usage.held), share, written_hours(row.usage.idle))


def _waste(report: Report, row: Row) -> Block:
    """What a row wasted, with a link to the run that did most of it."""
    words = [_run(prose.name(row), bold=True), _run(f": {prose.waste(report, row)}")]
    if row.worst is not None and (link := web_link(row.worst.url)):
        words += [_run(" "), {"type": "link", "url": link, "text": "open"}]
    return _paragraph(words)


def _rich(elements: Sequence[Block]) -> Block:
    return {"type": "rich_text", "elements": list(elements)}


def _list(items: Sequence[Block]) -> Block:
    return {"type": "rich_text_list", "style": "bullet", "elements": list(items)}


def _paragraph(words: Sequence[Block]) -> Block:
    return {"type": "rich_text_section", "elements": list(words)}


def _run(text: str, *, bold: bool = False) -> Block:
    return {"type": "text", "text": _cut(text, LONGEST_TEXT), **({"style": {"bold": True}} if bold else {})}


def _section(text: str) -> Block:
    return {"type": "section", "text": _text(text, LONGEST_TEXT)}


def _small(text: str) -> Block:
    return {"type": "context", "elements": [_text(text, _LONGEST_SMALL)]}


def _text(text: str, longest: int) -> Block:
    return {"type": "plain_text", "text": _cut(text, longest), "emoji": False}


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _notification(report: Report, text: str) -> str:
    """A text that Slack does parse, with nothing in it to be parsed."""
    text = _cut(plain(f"{prose.SIMULATED} {text}" if report.simulated else text), LONGEST_TEXT)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
