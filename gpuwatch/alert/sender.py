"""Letters on their way: one at a time from the outbox to Slack, each once, however often Slack or we fail.

slack-sdk is loaded when there is a first letter to send.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from gpuwatch.alert.refusal import UNSEEN, Delayed, concerns_all, concerns_channel
from gpuwatch.alert.workspace import Workspace
from gpuwatch.errors import SlackRefused, SlackUnreachable, SlackUnsure
from gpuwatch.model.outbox import FAILED, QUEUED, SENDING, SENT, UPDATE, Letter, Outbox
from gpuwatch.units import DAY, HOUR, MINUTE

if TYPE_CHECKING:
    from gpuwatch.alert.postman import Postman

LONGEST_DELAY_SECONDS: Final = 15 * MINUTE
GIVEN_UP_AFTER_SECONDS: Final = DAY
"""What is that old tells nobody anything."""
UNSURE_SECONDS: Final = 20
"""Before then it is not looked for what may have been posted: Slack may still be at it."""


class Sending(NamedTuple):
    """What came of a letter."""

    letter: Letter
    state: str
    """SENT, FAILED, or QUEUED and SENDING of what is tried again."""
    why: str = ""
    until_unix: float = 0.0
    """Until then it waits, if it is tried again."""


class Sender:
    """Sends letters to a workspace. It never sleeps; a call takes as long as Slack does, which is bounded."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._postman: Postman | None = None
        self._failures = 0
        """In a row, of a kind that concerns all letters."""
        self._quiet_until = 0.0

    def deliver(self, outbox: Outbox, now_unix: float) -> float:
        """Try the next letter; the seconds until it is worth calling again, infinite where none waits."""
        if self.send_next(outbox, now_unix) is not None:
            return 0.0
        unix = outbox.next_unix()
        return math.inf if unix is None else max(1.0, max(unix, self._quiet_until) - now_unix)

    def send_next(self, outbox: Outbox, now_unix: float) -> Sending | None:
        """Try the next letter whose time has come; None where there is none, or Slack wants to be left alone.

        Raises only what the outbox does.
        """
        if not 0 < self._quiet_until - now_unix <= HOUR:  # more is a clock that was set back
            self._quiet_until = 0.0
            letter = outbox.next_letter(now_unix)
            if letter is not None:
                return self._try(outbox, letter, now_unix)
        return None

    def _try(self, outbox: Outbox, letter: Letter, now_unix: float) -> Sending:
        maybe_sent = letter.state == SENDING
        try:
            place = self._open().carry(outbox, letter, now_unix)
        except SlackRefused as error:
            sending = self._refused(letter, error, now_unix)
        except SlackUnsure as error:
            sending = self._put_off(letter, error, now_unix, maybe_sent=letter.action != UPDATE)
        except SlackUnreachable as error:
            sending = self._put_off(letter, error, now_unix, maybe_sent=maybe_sent)
        else:
            self._failures = 0
            outbox.end(letter.id, place, now_unix=now_unix)
            return Sending(letter, SENT)
        _note(outbox, sending, now_unix)
        return sending

    def _refused(self, letter: Letter, error: SlackRefused, now_unix: float) -> Sending:
        """What somebody can put right is tried again, and what is wrong with the letter itself is not."""
        if concerns_all(error.code):
            return self._put_off(letter, error, now_unix, maybe_sent=False)
        if error.code == UNSEEN:
            return _again(letter, error, now_unix, seconds=LONGEST_DELAY_SECONDS, maybe_sent=True)
        if concerns_channel(error.code):
            return _again(letter, error, now_unix, seconds=_delay(letter.attempts + 1), maybe_sent=False)
        return Sending(letter, FAILED, str(error))

    def _put_off(self, letter: Letter, error: Exception, now_unix: float, *, maybe_sent: bool) -> Sending:
        """Slack takes nothing now: all letters wait, the longer the more often it was so."""
        self._failures += 1
        asked = min(error.seconds, HOUR) if isinstance(error, Delayed) else 0
        settled = UNSURE_SECONDS if isinstance(error, SlackUnsure) else 0
        seconds = max(_delay(self._failures), asked, settled)
        self._quiet_until = now_unix + seconds
        return _again(letter, error, now_unix, seconds=seconds, maybe_sent=maybe_sent)

    def _open(self) -> Postman:
        if self._postman is None:
            from gpuwatch.alert.postman import Postman  # noqa: PLC0415  loads slack-sdk, which few agents need

            self._postman = Postman(self._workspace)
        return self._postman


def _again(letter: Letter, error: Exception, now_unix: float, *, seconds: float, maybe_sent: bool) -> Sending:
    """It is tried again, unless it is too old."""
    if now_unix - letter.queued_unix >= GIVEN_UP_AFTER_SECONDS:
        return Sending(letter, FAILED, str(error))
    return Sending(letter, SENDING if maybe_sent else QUEUED, str(error), now_unix + seconds)


def _note(outbox: Outbox, sending: Sending, now_unix: float) -> None:
    letter, state, why, until_unix = sending
    if state == FAILED:
        outbox.fail(letter.id, why=why, now_unix=now_unix)
    else:
        outbox.put_off(letter.id, until_unix=until_unix, why=why, maybe_sent=state == SENDING)


def _delay(failures: int) -> float:
    """1 s, 2 s, 4 s … up to 15 min."""
    return float(min(2 ** min(max(failures - 1, 0), 30), LONGEST_DELAY_SECONDS))
