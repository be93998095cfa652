"""Where Slack is, and who people are there."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

CREDENTIAL: Final = "slack.token"
"""What the token is called among the credentials that systemd hands to a service."""


def credential(environment: Mapping[str, str]) -> Path | None:
    """The file of the token that systemd hands to this service; None where it hands none."""
    directory = environment.get("CREDENTIALS_DIRECTORY", "")
    path = Path(directory, CREDENTIAL)
    return path if directory and os.access(path, os.R_OK) else None


@dataclass(frozen=True, slots=True)
class Workspace:
    """A Slack workspace. The token stays in its file until it is sent."""

    token_file: Path | None = field(default_factory=lambda: credential(os.environ))
    api_url: str = "https://slack.com/api"
    """Without a slash at its end."""
    channel: str = ""
    """Where the team reads: a channel's name or its number."""
    email_domain: str = ""
    """People are found in Slack by `person@email_domain`."""

    @property
    def is_secret(self) -> bool:
        """Whether nobody else sees what is sent there: it is encrypted, or does not leave this machine."""
        parts = urlsplit(self.api_url)
        return parts.scheme == "https" or is_loopback(parts.hostname or "")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
