"""Where the Prometheus server is that has the fleet's record, and how to get in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Server:
    """A server with Prometheus's query API. Secrets stay in their files until they are sent."""

    url: str = ""
    """Without a slash at its end; empty where none is known."""
    ca_file: Path | None = None
    """Whose certificates to trust, in PEM; the system's without it."""
    user: str = ""
    password_file: Path | None = None
    """Basic auth, with `user`."""
    token_file: Path | None = None
    """A bearer token instead."""
