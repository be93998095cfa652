"""Messages in Slack: post and edit them, and find whom to write to. Decides nothing of what is said, and to whom."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from slack_sdk.web import SlackResponse, WebClient

from gpuwatch.alert.client import call
from gpuwatch.alert.refusal import Delayed
from gpuwatch.alert.workspace import Workspace
from gpuwatch.errors import SlackRefused, SlackUnreachable, SlackUnsure
from gpuwatch.model.outbox import Place

LONGEST_WAIT_SECONDS: Final = 60
"""Slack asks for up to half a minute; whoever asks for more is not waited for."""

Blocks = Sequence[Mapping[str, Any]]


class Slack:
    """A workspace, as its bot sees it. The token is read with each call, so a new one is taken at once.

    All raise SlackRefused, SlackUnreachable (a Delayed where Slack says for how long) and SlackUnsure, in words that
    hold no secret. Where Slack is busy, it is waited for once, unless that takes longer than `patience_seconds`.
    """

    def __init__(
        self,
        workspace: Workspace,
        *,
        patience_seconds: float = LONGEST_WAIT_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._workspace = workspace
        self._patience_seconds = patience_seconds
        self._sleep = sleep

    def post(
        self,
        channel: str,
        text: str,
        blocks: Blocks,
        *,
        thread: Place | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Place:
        """Post to a channel, or to a person by their number in Slack; under another message with `thread`.

        `text` is what notifications show in place of the blocks. Slack keeps `metadata` with the message, unseen.
        """
        channel = thread.channel if thread else channel
        answer = self._call(
            lambda client: client.chat_postMessage(
                channel=channel,
                text=text,
                blocks=[dict(block) for block in blocks],
                thread_ts=thread.stamp if thread else None,
                metadata=dict(metadata) if metadata else None,
                unfurl_links=False,  # a table of runs is no place for previews of them
                unfurl_media=False,
            )
        )
        return Place(str(answer.get("channel", channel)), str(answer.get("ts", "")))

    def update(self, place: Place, text: str, blocks: Blocks) -> None:
        """Put this in the place of what a message was. Nobody is notified of it."""
        self._call(
            lambda client: client.chat_update(
                channel=place.channel, ts=place.stamp, text=text, blocks=[dict(block) for block in blocks]
            )
        )

    def find_by_email(self, email: str) -> str | None:
        """The number of the person with this address; None where there is none."""
        try:
            user = self.ask(lambda client: client.users_lookupByEmail(email=email)).get("user")
        except SlackRefused as error:
            if error.code == "users_not_found":
                return None
            raise
        return str(user["id"]) if isinstance(user, dict) and user.get("id") and not user.get("deleted") else None

    def open_direct(self, person: str) -> str:
        """The number of the conversation with a person, by theirs."""
        channel = self.ask(lambda client: client.conversations_open(users=person)).get("channel")
        if not isinstance(channel, dict) or not channel.get("id"):
            raise SlackUnreachable("Slack opens no conversation, and does not say why")
        return str(channel["id"])

    def ask(self, method: Callable[[WebClient], SlackResponse]) -> dict[str, Any]:
        """What Slack answers to a question, which leaves nothing behind: it is never unsure."""
        try:
            return self._call(method)
        except SlackUnsure as error:
            raise SlackUnreachable(str(error)) from None

    def _call(self, method: Callable[[WebClient], SlackResponse]) -> dict[str, Any]:
        """One call; where Slack is busy, once more after the time that it asks for."""
        try:
            return call(self._workspace, method)
        except Delayed as busy:
            if busy.seconds > self._patience_seconds:
                raise
            self._sleep(busy.seconds)
        return call(self._workspace, method)
