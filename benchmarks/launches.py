"""Real processes under names of their own, as though people had launched them from a shell."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

USER_IDS: Final = tuple(range(50001, 50007))
"""Six people, unknown to this machine: only root can be them."""

_SHELL_SCRIPT: Final = 'exec -a "$0" sleep 3600 >/dev/null & echo $!; wait'
"""The shell stays: what somebody starts from a shell is a run of its own."""


def slot_name(slot: int) -> str:
    """The name of the process, and so of the run, in a slot of a trace."""
    return f"w{slot:02}"


@contextmanager
def launches(count: int, *, user_ids: Sequence[int] = ()) -> Iterator[list[int]]:
    """Pids of `count` processes that do nothing, by slot; as root, of the `user_ids` in turn, else all our own."""
    shells: list[subprocess.Popen[str]] = []
    try:
        for slot in range(count):
            user = user_ids[slot % len(user_ids)] if user_ids and os.geteuid() == 0 else None
            shells.append(_launch(slot_name(slot), user))
        yield [_told_pid(shell) for shell in shells]
    finally:
        for shell in shells:
            os.killpg(shell.pid, signal.SIGKILL)
        for shell in shells:
            shell.communicate()


def _launch(name: str, user: int | None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["bash", "-c", _SHELL_SCRIPT, name],
        user=user,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
        env={"PATH": os.defpath},
    )


def _told_pid(shell: subprocess.Popen[str]) -> int:
    assert shell.stdout is not None
    return int(shell.stdout.readline())
