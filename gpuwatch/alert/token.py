"""The bot's token: read from its file when it is needed, and never told in an error."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Final

from gpuwatch.errors import SlackRefused

_LONGEST: Final = 4096
_TOKEN: Final = re.compile(rb"[!-~]+")


def read_token(path: Path | None) -> str:
    """The token. Raises SlackRefused where there is none to be read."""
    if path is None:
        raise SlackRefused("no token of Slack is configured: set slack.token_file to a file that holds a bot's token")
    try:
        # A pipe without a writer would have us wait for ever.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            token = file.read(_LONGEST + 1).strip() if regular else b""
    except OSError as error:
        raise SlackRefused(f"slack.token_file, {path}, cannot be read: {error.strerror}") from error
    if not _TOKEN.fullmatch(token) or len(token) > _LONGEST:
        raise SlackRefused(f"slack.token_file, {path}, must hold one line with a bot's token")
    return token.decode("ascii")
