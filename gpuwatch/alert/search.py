"""A message that may have been posted: is it there? It is known by what Slack keeps with it, unseen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from gpuwatch.alert.slack import Slack
from gpuwatch.errors import SlackRefused
from gpuwatch.model.outbox import Place

_EVENT: Final = "gpuwatch_notice"
_MOST_PAGES: Final = 50
_PER_PAGE: Final = 200
_APART_SECONDS: Final = 600
"""How far Slack's clock and ours may be from each other."""
_NUMBERS: Final = tuple("CGD")
"""What the numbers of channels and conversations begin with."""


def mark(letter: str) -> dict[str, Any]:
    """What Slack is to keep with the message of a letter."""
    return {"event_type": _EVENT, "event_payload": {"id": letter}}


def find(slack: Slack, letter: str, *, channel: str, thread: Place | None, since_unix: float) -> Place | None:
    """The message of a letter in a channel, or in a thread of it, not older than that; None where it is not there.

    Raises SlackRefused where the bot may not look, or more was written since than can be looked through.
    """
    channel = thread.channel if thread else _number_of(slack, channel)
    oldest = f"{since_unix - _APART_SECONDS:.6f}"
    for message in _written(slack, channel, thread, oldest):
        about = message.get("metadata")
        if isinstance(about, dict) and about == mark(letter):
            return Place(channel, str(message.get("ts", "")))
    return None


def _written(slack: Slack, channel: str, thread: Place | None, oldest: str) -> Iterator[dict[str, Any]]:
    about: dict[str, Any] = {
        "channel": channel, "oldest": oldest, "limit": _PER_PAGE, "include_all_metadata": True,
    }  # fmt: skip
    if thread is None:
        yield from _pages(slack, "conversations_history", "messages", about)
    else:
        yield from _pages(slack, "conversations_replies", "messages", {**about, "ts": thread.stamp})


def _number_of(slack: Slack, channel: str) -> str:
    """Of a channel that the bot is in, by its name: only postings may name it so."""
    name = channel.removeprefix("#")
    if channel.startswith(_NUMBERS) and channel.isupper():
        return channel
    about = {"types": "public_channel,private_channel", "limit": _PER_PAGE, "exclude_archived": True}
    for one in _pages(slack, "users_conversations", "channels", about):
        if one.get("name") == name:
            return str(one.get("id", ""))
    raise SlackRefused("Slack's bot is in no channel of this name: set slack.channel", code="channel_not_found")


def _pages(slack: Slack, method: str, what: str, about: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The things on all pages of an answer."""
    cursor = ""
    for _ in range(_MOST_PAGES):
        more = {"cursor": cursor} if cursor else {}
        answer = slack.ask(lambda client, more=more: getattr(client, method)(**about, **more))  # type: ignore[misc]
        items = answer.get(what)
        yield from (item for item in items if isinstance(item, dict)) if isinstance(items, list) else ()
        following = answer.get("response_metadata")
        cursor = str(following.get("next_cursor") or "") if isinstance(following, dict) else ""
        if not cursor:
            return
    raise SlackRefused("too much was written since to look through it", code="too_much_to_read")
