"""Messages on their way to Slack: what the outbox keeps of them, whoever sends them. Times are seconds of UTC.

A letter is queued; then it is being sent, which is noted before it is; then it was sent, or has failed for good.
`gpuwatch.state.outbox.Outbox` keeps them.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

POST: Final = "post"
"""A message of its own: to the person, or to the channel."""
UPDATE: Final = "update"
"""The message of its notice anew, in the place of what it was."""
THREAD: Final = "thread"
"""Under the message of its notice."""

QUEUED: Final = "queued"
SENDING: Final = "sending"
SENT: Final = "sent"
FAILED: Final = "failed"
STATES: Final = (QUEUED, SENDING, SENT, FAILED)


class Place(NamedTuple):
    """Where a message is in Slack: what edits and threads refer to."""

    channel: str
    """Its number, whatever name was given."""
    stamp: str


class Letter(NamedTuple):
    """One message on its way."""

    id: str
    """Unique in the fleet. Slack keeps it with the message, by which it is found again after a crash."""
    notice: str
    """In whose conversation it is; of a digest, that of the notice in whose message the others stand."""
    action: str
    user: str
    """Whom it is for."""
    text: str
    """In Slack's markup, without the person's name."""
    blocks: str
    """JSON: what is shown in its place, without the person's name."""
    queued_unix: float
    state: str = QUEUED
    attempts: int = 0
    not_before_unix: float = 0.0
    channel: str = ""
    """Where it was sent off to; empty until it is."""
    begun_unix: float = 0.0
    """When it was sent off for the first time; 0 until it is."""
    why: str = ""
    """Why it was put off, or has failed."""


class Undelivered(NamedTuple):
    """What has not arrived."""

    waiting: int
    """Letters that were put off and are tried again."""
    failed: int
    """Letters that were given up."""
    why: str
    """Of the last of them."""


class Known(NamedTuple):
    """What was found out of a person in Slack, for a while."""

    number: str
    """Empty where Slack knows nobody of their address."""
    until_unix: float


class Outbox(Protocol):
    """What a sender needs of where letters are kept. What is noted is on the disk when the call returns."""

    def next_letter(self, now_unix: float) -> Letter | None:
        """The oldest whose time has come, of those that are queued or being sent. Letters of a notice keep their order:

        one is given only when all before it were sent or have failed.
        """

    def next_unix(self) -> float | None:
        """From when on there is one; None where none waits."""

    def begin(self, letter: str, *, channel: str, now_unix: float) -> None:
        """It is about to be sent off to this channel: SENDING, with one attempt more."""

    def end(self, letter: str, place: Place, *, now_unix: float) -> None:
        """It was sent, and is there."""

    def put_off(self, letter: str, *, until_unix: float, why: str, maybe_sent: bool = False) -> None:
        """It is tried again later. It is SENDING while it may have been sent, and else QUEUED."""

    def fail(self, letter: str, *, why: str, now_unix: float) -> None:
        """It is given up."""

    def place_of(self, notice: str) -> Place | None:
        """Where the message of a notice is, if it was sent."""

    def known(self, user: str) -> Known | None:
        """What was noted of a person."""

    def note(self, user: str, known: Known) -> None:
        """Note it."""
