"""Messages that are posted once: what is to be sent, what was, and what came of it."""

from __future__ import annotations

from collections.abc import Callable

from gpuwatch.alert.deliveries import Deliveries
from gpuwatch.alert.refusal import concerns_all
from gpuwatch.errors import GpuwatchError, SlackRefused, SlackUnreachable, SlackUnsure
from gpuwatch.model.outbox import Place


class Stopped(Exception):
    """Slack is in a state in which no further message would be posted."""


class Round:
    """One try at delivering some messages. What a try before has posted is not posted again."""

    def __init__(self, deliveries: Deliveries, tell: Callable[[str], None]) -> None:
        self._deliveries = deliveries
        self._tell = tell
        self.is_complete = True
        """Whether all that was to be posted is."""

    def post(self, recipient: str, send: Callable[[], Place | None]) -> Place | None:
        """Have `send` post to a recipient; where it is. `send` returns None where there is nobody to send it to.

        Tells what came of it. Raises Stopped where nothing more need be tried, StateError where nothing is noted, and
        what `send` raises that is not Slack's, as it does before it sends anything.
        """
        if self._deliveries.is_begun(recipient):
            return self._was_posted(recipient)
        self._deliveries.begin(recipient)
        try:
            posted = send()
        except (SlackRefused, SlackUnreachable) as error:
            self._deliveries.cancel(recipient)
            self._failed(recipient, str(error))
            if not isinstance(error, SlackRefused) or concerns_all(error.code):
                raise Stopped from error
            return None
        except SlackUnsure as error:
            self._failed(recipient, f"{error}; it may have been posted, so it is not sent again")
            raise Stopped from error
        except GpuwatchError:  # what is not Slack's comes before anything is sent: there was nothing to be read
            self._deliveries.cancel(recipient)
            raise
        if posted is None:
            self._deliveries.cancel(recipient)
            self._tell(f"{recipient}: not sent, as Slack knows nobody of this address")
        else:
            self._deliveries.end(recipient, posted)
            self._tell(f"{recipient}: posted")
        return posted

    def _was_posted(self, recipient: str) -> Place | None:
        posted = self._deliveries.posted(recipient)
        if posted is None:
            self._failed(recipient, "may have been posted by a try that was cut off, so it is not sent again")
        else:
            self._tell(f"{recipient}: was posted before")
        return posted

    def _failed(self, recipient: str, why: str) -> None:
        self.is_complete = False
        self._tell(f"{recipient}: not posted: {why}")
