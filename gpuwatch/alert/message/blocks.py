"""A message in the forms that Slack takes: text for notifications, and blocks. Pure, and within Slack's limits.

In blocks, names and links stand in elements that Slack does not parse; in the text, what it would parse is escaped. So
nothing in them is markup, a mention or a link.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from gpuwatch.alert.message.words import cut, plain

Block = Mapping[str, Any]
MOST_BLOCKS: Final = 50
LONGEST_TEXT: Final = 3000
"""Characters of one element, and of the text of notifications."""
_LONGEST_HEADER: Final = 150
_LONGEST_SMALL: Final = 2000
_LONGEST_LINE: Final = 600
_MOST_LINES: Final = 12
"""Of a list: no message is read further."""
_WHOM: Final = "<@>"
"""Stands in texts for the person; in blocks a mention of nobody does. No name can hold it, as names are escaped."""


class Link(NamedTuple):
    """Words that lead to a page."""

    text: str
    url: str


class Strong(NamedTuple):
    """Words that stand out."""

    text: str


class Whom(NamedTuple):
    """The person whom the message is for: mentioned, or named where Slack does not know them."""


WHOM: Final = Whom()
Piece = str | Link | Strong | Whom
Line = tuple[Piece, ...]


class Content(NamedTuple):
    """What a message says, in the order in which it does."""

    title: str
    """Of the blocks only: the text begins with the opening. Empty for a line in a thread."""
    opening: Line
    facts: tuple[tuple[str, str], ...] = ()
    """What is known, by what it is."""
    items: tuple[Line, ...] = ()
    """Each on a line of its own, after a bullet."""
    causes: tuple[str, ...] = ()
    commands: tuple[tuple[str, str], ...] = ()
    """What to do, and the command that does it."""
    notes: tuple[str, ...] = ()
    """Small, at the end."""


class Message(NamedTuple):
    """One message: what notifications show, in Slack's markup, and the blocks that are shown in its place."""

    text: str
    blocks: tuple[Block, ...]


def rendered(content: Content) -> Message:
    """The message that says it, for nobody yet: see `addressed`."""
    return Message(_text(content), tuple(_blocks(content)))


def addressed(message: Message, name: str, number: str) -> Message:
    """The message for a person: mentioned by their number in Slack, or by name where that is empty."""
    mention = f"<@{number}>" if number else _escaped(plain(name))
    element = {"type": "user", "user_id": number} if number else _run(plain(name), bold=True)
    return Message(
        message.text.replace(_WHOM, mention), tuple(_with_person(block, element) for block in message.blocks)
    )


def _with_person(item: Any, person: Block) -> Any:
    """The same, with the person wherever nobody is mentioned."""
    if isinstance(item, Mapping):
        nobody = item.get("type") == "user" and not item.get("user_id")
        return person if nobody else {key: _with_person(value, person) for key, value in item.items()}
    return [_with_person(value, person) for value in item] if isinstance(item, list | tuple) else item


def _text(content: Content) -> str:
    lines = [
        "".join(map(_marked, content.opening)),
        *(f"{_escaped(what)}: {_escaped(fact)}" for what, fact in content.facts),
        *(f"• {''.join(map(_marked, item))}" for item in content.items[:_MOST_LINES]),
        *(f"Perhaps: {_escaped(cause)}" for cause in content.causes),
        *("\n".join(map(_escaped, (f"{what}:", *command.split("\n")))) for what, command in content.commands),
        *map(_escaped, content.notes),
    ]
    kept = list(lines[:1])
    for line in lines[1:]:
        if sum(map(len, kept)) + len(kept) + len(line) > LONGEST_TEXT:
            break  # whole lines only: half an entity or mention would be another
        kept.append(line)
    return "\n".join(kept)


def _marked(piece: Piece) -> str:
    return _WHOM if isinstance(piece, Whom) else _escaped(piece if isinstance(piece, str) else piece.text)


def _escaped(text: str) -> str:
    safe = cut(text, _LONGEST_LINE).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return safe.replace("\n", " ")


def _blocks(content: Content) -> list[Block]:
    blocks: list[Block] = []
    if content.title:
        blocks.append({"type": "header", "text": _plain_text(content.title, _LONGEST_HEADER)})
    blocks.append(_rich(_section(content.opening)))
    if content.facts:
        blocks.append(_rich(_bullets([(Strong(f"{what}: "), fact) for what, fact in content.facts])))
    if content.items:
        blocks.append(_rich(_bullets(content.items[:_MOST_LINES])))
    if content.causes:
        blocks.append(_rich(_section((Strong("Likely causes"),)), _bullets([(cause,) for cause in content.causes])))
    blocks += [_command(what, command) for what, command in content.commands]
    if content.notes:
        blocks.append({"type": "context", "elements": [_plain_text("\n".join(content.notes), _LONGEST_SMALL)]})
    return blocks


def _command(what: str, command: str) -> Block:
    """In a type of one width, so that it can be copied as it is."""
    shown = {"type": "rich_text_preformatted", "elements": [_run(command)]}
    return _rich(_section((f"{what}:",)), shown)


def _rich(*elements: Block) -> Block:
    return {"type": "rich_text", "elements": list(elements)}


def _bullets(lines: Sequence[Line]) -> Block:
    return {"type": "rich_text_list", "style": "bullet", "elements": [_section(line) for line in lines]}


def _section(line: Line) -> Block:
    return {"type": "rich_text_section", "elements": [_element(piece) for piece in line if piece != ""]}


def _element(piece: Piece) -> Block:
    if isinstance(piece, Whom):
        return {"type": "user", "user_id": ""}
    if isinstance(piece, Link):
        return {"type": "link", "url": piece.url, "text": cut(piece.text, _LONGEST_LINE)}
    return _run(piece.text, bold=True) if isinstance(piece, Strong) else _run(piece)


def _run(text: str, *, bold: bool = False) -> Block:
    return {"type": "text", "text": cut(text, LONGEST_TEXT), **({"style": {"bold": True}} if bold else {})}


def _plain_text(text: str, longest: int) -> Block:
    return {"type": "plain_text", "text": cut(text, longest), "emoji": False}
