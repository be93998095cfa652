"""Who is connected. At the cap the one that has been idle longest goes, and never one that is being answered."""

from __future__ import annotations

from typing import Any, Protocol


class Client(Protocol):
    """One that is connected."""

    def drop(self) -> None:
        """End the connection without an answer."""


class Crowd:
    """All who are connected, and in which order they became idle."""

    def __init__(self, connections: set[Any], most: int) -> None:
        """`connections` is the server's own set of them, kept here; `most` is the cap."""
        self.connections = connections
        self.most = most
        self._idle: dict[Client, None] = {}

    def enter(self, client: Client) -> None:
        """A new one, idle as yet. Where it is one too many, the idlest goes."""
        self.connections.add(client)
        self.rest(client)
        if len(self.connections) > self.most:
            next(iter(self._idle)).drop()

    def rest(self, client: Client) -> None:
        """From now on it is idle; where it is already, it is so since then."""
        self._idle.setdefault(client, None)

    def work(self, client: Client) -> None:
        """From now on it is being answered."""
        self._idle.pop(client, None)

    def leave(self, client: Client) -> None:
        """It has gone."""
        self.connections.discard(client)
        self._idle.pop(client, None)
