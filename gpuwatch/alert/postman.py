"""One letter to Slack: where it goes, and whether it has been there before. Loads slack-sdk: see sender.py.

That a letter is sent off is noted before it is. What may have been posted is looked for before it is sent again; where
that cannot be seen it is not, as nobody must be told twice.
"""

from __future__ import annotations

import json
from typing import Final

from gpuwatch.alert.message.blocks import Message, addressed
from gpuwatch.alert.people import number_of
from gpuwatch.alert.refusal import NOBODY, UNSEEN, concerns_token
from gpuwatch.alert.search import find, mark
from gpuwatch.alert.slack import Slack
from gpuwatch.alert.workspace import Workspace
from gpuwatch.errors import SlackRefused, SlackUnreachable
from gpuwatch.model.outbox import POST, SENDING, THREAD, UPDATE, Letter, Outbox, Place

SETTLED_AFTER_SECONDS: Final = 15
"""Slack may still be at what was sent off so long ago: longer than a call is waited for."""


class Postman:
    """Carries letters to a workspace. All raise SlackRefused, SlackUnreachable and SlackUnsure."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._slack = Slack(workspace, patience_seconds=0)

    def carry(self, outbox: Outbox, letter: Letter, now_unix: float) -> Place:
        """Send a letter of an outbox, if it is not there already; where it is, then."""
        place = None if letter.action == POST else outbox.place_of(letter.notice)
        if letter.action != POST and place is None:
            raise SlackRefused("the message that it belongs to was never sent", code="no_message")
        thread = place if letter.action == THREAD else None
        if letter.state == SENDING and letter.action != UPDATE:  # an edit can be made again
            found = self._find(letter, thread, now_unix)
            if found is not None:
                return found
        return self._send(outbox, letter, place, now_unix)

    def _send(self, outbox: Outbox, letter: Letter, place: Place | None, now_unix: float) -> Place:
        domain = self._workspace.email_domain
        number = number_of(self._slack, outbox, letter.user, domain=domain, now_unix=now_unix)
        text, blocks = addressed(Message(letter.text, tuple(json.loads(letter.blocks))), letter.user, number)
        channel = place.channel if place else channel_for(self._slack, number, self._workspace.channel)
        outbox.begin(letter.id, channel=channel, now_unix=now_unix)
        if place is not None and letter.action == UPDATE:
            self._slack.update(place, text, blocks)
            return place
        return self._slack.post(channel, text, blocks, thread=place, metadata=mark(letter.id))

    def _find(self, letter: Letter, thread: Place | None, now_unix: float) -> Place | None:
        """Where a letter is that may have been posted."""
        if 0 <= now_unix - letter.begun_unix < SETTLED_AFTER_SECONDS:
            raise SlackUnreachable("what was sent off a moment ago may still arrive")
        try:
            return find(self._slack, letter.id, channel=letter.channel, thread=thread, since_unix=letter.begun_unix)
        except SlackRefused as error:
            if concerns_token(error.code):
                raise SlackUnreachable(str(error)) from error  # it can be put right, and looked for then
            raise SlackRefused(f"it may have been posted, and is not sent again: {error}", code=UNSEEN) from error


def channel_for(slack: Slack, number: str, channel: str) -> str:
    """Where to write to a person of this number: directly where that is possible, and else in the team's channel."""
    if number:
        try:
            return slack.open_direct(number)
        except SlackRefused as error:
            if concerns_token(error.code):
                raise
    if not channel:
        why = "slack.channel is not set, or not used as privacy.names withholds names"
        raise SlackRefused(f"Slack knows nobody of this person's address, and {why}", code=NOBODY)
    return channel
