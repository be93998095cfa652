"""What Slack's refusals mean, and what would be right. Pure."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from gpuwatch.errors import SlackUnreachable

CODE: Final = re.compile(r"[a-z_]{1,40}")
"""How Slack names an error."""
_SCOPES: Final = re.compile(r"[a-z:._,]{1,100}")
_OF_TOKEN: Final = frozenset(
    {"invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "not_allowed_token_type"}
)
_OF_CHANNEL: Final = {
    "not_in_channel": "Slack's bot is not in the channel: write `/invite @` and its name there",
    "channel_not_found": "there is no such channel that the bot can see: set slack.channel, or /invite the bot",
    "is_archived": "the channel is archived: set slack.channel to another",
}
MISSING_RIGHT: Final = "missing_scope"
_TROUBLE: Final = frozenset({"internal_error", "fatal_error", "service_unavailable", "request_timeout"})
_BUSY: Final = frozenset({"ratelimited", "rate_limited"})
NOBODY: Final = "nobody"
"""Of us: there is neither the person nor a channel to write to."""
UNSEEN: Final = "unseen"
"""Of us, and not of Slack: something may have been posted, and Slack does not let us look."""


class Delayed(SlackUnreachable):
    """Slack takes no more for a while, and says for how long."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Slack takes no more for {seconds} s: try again later")
        self.seconds = seconds


def concerns_token(code: str) -> bool:
    """Whether Slack refuses the token, or there is none to be sent."""
    return not code or code in _OF_TOKEN


def concerns_all(code: str) -> bool:
    """Whether Slack would refuse every message for it, and not only to this channel or person."""
    return concerns_token(code) or code == MISSING_RIGHT


def concerns_channel(code: str) -> bool:
    """Whether the channel is not as it should be, or there is none, which somebody may put right."""
    return code in _OF_CHANNEL or code == NOBODY


def is_busy(code: object) -> bool:
    """Whether Slack takes no more for a while."""
    return isinstance(code, str) and code in _BUSY


def is_trouble(code: str) -> bool:
    """Whether it is Slack's own trouble, in which it may have done what was asked or not."""
    return code in _TROUBLE


def sentence_of(code: str, needed: object, token_file: Path | None) -> str:
    """What a refusal means: `needed` is the right that was missing, as Slack gave it."""
    if code in _OF_TOKEN:
        return (
            f"Slack refuses the token ({code}): put the bot's token of the Slack app (OAuth & Permissions) "
            f"into {token_file}"
        )
    if code == MISSING_RIGHT:
        right = needed if isinstance(needed, str) and _SCOPES.fullmatch(needed) else "chat:write and users:read.email"
        return f"the Slack app lacks a right: add {right} under OAuth & Permissions, and install the app anew"
    return _OF_CHANNEL.get(code, f"Slack refuses it: {code}")
