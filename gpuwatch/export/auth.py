"""Basic authentication against bcrypt hashes. Never hashes on the event loop, and never logs a name or a password."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping

import bcrypt

from gpuwatch.export.pages import Response

MOST_WAITING = 64
"""Requests that wait for their password to be hashed; far fewer than connections, so that these do not run out."""
LOWEST_COST, HIGHEST_COST = 4, 16
"""Costs of bcrypt: 4 is its lowest, and 16 takes about 4 s, which is what a scrape can wait."""
_LONGEST_PASSWORD = 72
"""Bytes that bcrypt looks at."""
_HASH = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")
_TEXT = "text/plain; charset=utf-8"
_UNAUTHORIZED = Response(401, _TEXT, b"A user and a password are needed here.\n")
_BUSY = Response(503, _TEXT, b"Too many passwords are being checked. Try again in a second.\n")


class BasicAuth:
    """Lets in who has the password of a user. A right answer is remembered, so that a scraper is hashed once."""

    def __init__(self, hashes: Mapping[str, bytes]) -> None:
        """bcrypt hashes by user; at least one."""
        self._hashes = dict(hashes)
        self._key = secrets.token_bytes(32)
        self._right: dict[str, bytes] = {}
        """The digest of each user's password, once it was given: a user has one, so this does not grow."""
        self._one_at_a_time = asyncio.Lock()
        self._waiting = 0

    async def refusal(self, authorization: str) -> Response | None:
        """The answer to a request that is not let in; None for one that is. By the request's header of that name."""
        credentials = parse_basic(authorization)
        if credentials is None:
            return _UNAUTHORIZED
        user, password = credentials
        digest = self._digest(user, password)
        if self._is_remembered(user, digest):
            return None
        if self._waiting >= MOST_WAITING:
            return _BUSY
        self._waiting += 1
        try:
            async with self._one_at_a_time:
                right = self._is_remembered(user, digest) or await self._check(user, password)
        finally:
            self._waiting -= 1
        if not right:
            return _UNAUTHORIZED
        self._right[user] = digest
        return None

    def _is_remembered(self, user: str, digest: bytes) -> bool:
        # The key stands for none: no digest equals it, and it takes as long to compare.
        return hmac.compare_digest(self._right.get(user, self._key), digest)

    async def _check(self, user: str, password: bytes) -> bool:
        """Hash in a thread. A user that is not there is hashed like one that is, always the same one."""
        known = user in self._hashes
        number = int.from_bytes(self._digest(user, b"")) % len(self._hashes)
        against = self._hashes[user] if known else list(self._hashes.values())[number]
        right = await asyncio.to_thread(bcrypt.checkpw, password[:_LONGEST_PASSWORD], against)
        return known and right

    def _digest(self, user: str, password: bytes) -> bytes:
        return hmac.digest(self._key, user.encode() + b":" + password, hashlib.sha256)


def parse_basic(authorization: str) -> tuple[str, bytes] | None:
    """User and password of an Authorization header; None where it is another, or none."""
    scheme, _, text = authorization.strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(text.strip(), validate=True).partition(b":")
        return (user.decode(), password) if colon else None
    except (binascii.Error, ValueError):
        return None


def is_hash(text: str) -> bool:
    """Whether this is a bcrypt hash that can be checked in bearable time."""
    match = _HASH.fullmatch(text)
    return match is not None and LOWEST_COST <= int(match[1]) <= HIGHEST_COST
