"""The one door to systemd: the command systemctl, on this machine or for an image. Decides nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from gpuwatch.errors import ServiceError
from gpuwatch.service.unit import UNIT_NAME

_PATIENCE_SECONDS = 150.0
"""Longer than the unit's TimeoutStartSec and TimeoutStopSec."""
RUNNING_SYSTEMD = Path("/run/systemd/system")


class Systemctl:
    """Commands about the units, where none is named about the agent's.

    In an image, `live` is False: nothing runs there, and nothing is to be told.

    All raise ServiceError with what systemctl said.
    """

    def __init__(self, root: Path | None) -> None:
        self.live = root is None
        self._arguments = [] if root is None else [f"--root={root}"]
        self._program = shutil.which("systemctl")
        if self._program is None:
            raise ServiceError("there is no systemctl here: the service needs systemd (Debian: `apt install systemd`)")
        if self.live and not RUNNING_SYSTEMD.is_dir():
            raise ServiceError(
                f"systemd does not run here (no {RUNNING_SYSTEMD}): name the image of a system with --root DIR, "
                "or have `gpuwatch agent` started by what runs here instead"
            )

    def reload(self) -> None:
        """Have systemd read the units again."""
        if self.live:
            self._run("daemon-reload")

    def enable(self) -> None:
        """Start it at boot."""
        self._run("enable", UNIT_NAME)

    def disable(self, names: Sequence[str]) -> None:
        """Do not start these at boot any more; one that is never started at boot is left as it is."""
        if names:
            self._run("disable", *names)

    def start(self, *, anew: bool) -> None:
        """Start it, and wait until it serves; with `anew`, stop it first."""
        self._run("restart" if anew else "start", UNIT_NAME)

    def stop(self, names: Sequence[str]) -> None:
        """Stop these, and forget that they ever failed."""
        if self.live and names:
            self._run("stop", *names)
            for name in names:
                if self.show("ActiveState", name) == "failed":
                    self._run("reset-failed", name)

    def show(self, name: str, unit: str = UNIT_NAME) -> str:
        """A property of a unit."""
        return self._run("show", "--property", name, "--value", unit)

    def _run(self, *arguments: str) -> str:
        assert self._program is not None
        command = [self._program, *self._arguments, *arguments]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=_PATIENCE_SECONDS,
                env={**os.environ, "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0"},
            )
        except subprocess.TimeoutExpired as error:
            raise ServiceError(f"`systemctl {' '.join(arguments)}` took over {_PATIENCE_SECONDS:g} s") from error
        if done.returncode != 0:
            said = " ".join(done.stderr.split()) or f"exit status {done.returncode}"
            raise ServiceError(f"`systemctl {' '.join(arguments)}` failed: {said}")
        return done.stdout.strip()
