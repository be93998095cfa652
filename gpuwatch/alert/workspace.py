"""Where Slack is, and who people are there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Workspace:
    """A Slack workspace. The token stays in its file until it is sent."""

    token_file: Path | None = None
    api_url: str = "https://slack.com/api"
    """Without a slash at its end."""
    channel: str = ""
    """Where the team reads: a channel's name or its number."""
    email_domain: str = ""
    """People are found in Slack by `person@email_domain`."""
