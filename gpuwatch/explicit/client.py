"""One word to the agent and its answer, within a bound: nobody's training waits for a daemon."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gpuwatch.errors import Unheard
from gpuwatch.explicit.message import LONGEST_BYTES

PATIENCE_SECONDS = 0.05


def tell(message: bytes, sockets: Iterable[Path], *, patience: float = PATIENCE_SECONDS) -> dict[str, Any]:
    """The answer of the first agent that listens. Returns within `patience` seconds.

    Raises Unheard where there is none, or it refuses.
    """
    deadline = time.monotonic() + patience
    for path in sockets:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            try:
                connection.settimeout(max(0.001, deadline - time.monotonic()))
                connection.connect(str(path))
                connection.send(message)
                return _answer(connection.recv(LONGEST_BYTES))
            except (FileNotFoundError, ConnectionRefusedError):
                continue  # no agent here
            except OSError as error:
                raise Unheard(f"the agent at {path} does not answer: {error.strerror or error}") from error
    raise Unheard("no agent listens on this node: start one with `gpuwatch agent`")


def _answer(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except ValueError:
        document = None
    if isinstance(document, dict) and document.get("ok") is True:
        return document
    reason = document.get("error") if isinstance(document, dict) else None
    raise Unheard(f"the agent refused: {reason or 'no reason given'}")
