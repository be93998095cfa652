"""Who a person is in Slack: found by the mail address that they have at work."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gpuwatch.alert.refusal import MISSING_RIGHT
from gpuwatch.errors import SlackRefused
from gpuwatch.model.outbox import Known, Outbox
from gpuwatch.units import DAY, HOUR

if TYPE_CHECKING:
    from gpuwatch.alert.slack import Slack

KNOWN_SECONDS: Final = DAY
UNKNOWN_SECONDS: Final = HOUR
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
"""What a mailbox may be called here; `uid:1234` is none, and neither is what somebody made up."""


def email_of(person: str, domain: str) -> str | None:
    """A person's mail address; None where their name cannot be one's."""
    return f"{person}@{domain}" if _NAME.fullmatch(person) else None


def number_of(slack: Slack, outbox: Outbox, person: str, *, domain: str, now_unix: float) -> str:
    """A person's number in Slack; empty where it is not found, or may not be. What is found out is noted for a while.

    Raises SlackUnreachable, and SlackRefused where Slack refuses more than this.
    """
    known = outbox.known(person)
    if known is not None and now_unix < known.until_unix <= now_unix + KNOWN_SECONDS:
        return known.number
    number = _look_up(slack, email_of(person, domain) if domain else None)
    outbox.note(person, Known(number, now_unix + (KNOWN_SECONDS if number else UNKNOWN_SECONDS)))
    return number


def _look_up(slack: Slack, email: str | None) -> str:
    try:
        return (slack.find_by_email(email) or "") if email else ""
    except SlackRefused as error:
        if error.code == MISSING_RIGHT:
            return ""  # without the right to know people, their names do
        raise
