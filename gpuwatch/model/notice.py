"""What somebody was told of a run, or would have been: one notice from its opening to its closing.

Times are seconds of UTC.
"""

from __future__ import annotations

from typing import Final, NamedTuple

SENT: Final = "sent"
SHADOW: Final = "shadow"
HELD_BACK: Final = "held_back"
FAILED: Final = "failed"
CLOSED: Final = "closed"
WRONG: Final = "wrong"
OUTCOMES: Final = (SENT, SHADOW, HELD_BACK, FAILED, CLOSED, WRONG)
"""What is counted: messages that were sent, would have been, or failed for good; notices that ended untold
(`held_back`) or told (`closed`), and those that somebody called false."""

EARLY: Final = "early"
SERVICE: Final = "service"
QUIET: Final = "quiet"
CAP: Final = "cap"
ELSEWHERE: Final = "elsewhere"
"""Why nobody is told: not yet wasteful enough; a service; quiet hours; told often enough today; another's business."""

ENDED: Final = "ended"
BUSY: Final = "busy"
SNOOZE: Final = "snoozed"
"""Why a notice is closed."""

FIRST: Final = "first"
REMINDER: Final = "reminder"
DIGEST: Final = "digest"
"""Messages that a person gets; edits, and what stands in a thread as a notice closes, are none."""


class Notice(NamedTuple):
    """One idle or stuck run, array or sweep of a person, for as long as it is so."""

    id: str
    """Unique in the fleet, and never used again."""
    key: str
    """Of its subject: the person and the run, or what the runs are of."""
    user: str
    verdict: str
    """`idle` or `stuck`, as it was when this was last written of."""
    runs: tuple[str, ...]
    nodes: tuple[str, ...]
    opened_unix: float
    """When somebody was told first; until then, when it was first seen."""
    outcome: str
    """What became of it: sent, in shadow mode only noted, or held back."""
    why: str
    """In words: why somebody is told, or is not."""
    held: str = ""
    """Why it is held back, as a code; empty of what is told."""
    told: int = 0
    """How often: the first message and the reminders."""
    told_unix: float = 0.0
    """The last of them."""
    refreshed_unix: float = 0.0
    """When the message was last written or edited."""
    seen_unix: float = 0.0
    """When its runs were last seen to waste anything."""
    wasted_gpu_seconds: float = 0.0
    """Until then, of whole GPUs."""
    closed_unix: float | None = None
    close_reason: str = ""
    """`ended`, `busy` or `snoozed`."""
    wrong: str = ""
    """The words of who called it a false alarm; empty where nobody did."""
    digest: str = ""
    """The notice whose message it stands in, where many were told at once: the first of them. Else empty."""

    @property
    def conversation(self) -> str:
        """The notice by whose id the letters of its message go."""
        return self.digest or self.id


class Told(NamedTuple):
    """One message to a person, sent or only noted."""

    unix: float
    user: str
    notice: str
    """Of a digest, the first in it."""
    what: str
    """`first`, `reminder` or `digest`."""
    outcome: str
    """`sent` or `shadow`."""
