"""The one door to systemd: the command systemctl, on this machine or for an image. Decides nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from gpuwatch.errors import ServiceError
from gpuwatch.service.unit import UNIT_NAME

_PATIENCE_SECONDS = 150.0
"""Longer than the unit's TimeoutStartSec and TimeoutStopSec."""
RUNNING_SYSTEMD = Path("/run/systemd/system")


class Systemctl:
    """Commands about the unit. In an image, `live` is False: nothing runs there, and nothing is to be told.

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

    def disable(self) -> None:
        """Do not start it at boot any more."""
        self._run("disable", UNIT_NAME)

    def start(self, *, anew: bool) -> None:
        """Start it, and wait until it serves; with `anew`, stop it first."""
        self._run("restart" if anew else "start", UNIT_NAME)

    def stop(self) -> None:
        """Stop it, and forget that it ever failed."""
        if self.live:
            self._run("stop", UNIT_NAME)
            if self.show("ActiveState") == "failed":
                self._run("reset-failed", UNIT_NAME)

    def show(self, name: str) -> str:
        """A property of the unit."""
        return self._run("show", "--property", name, "--value", UNIT_NAME)

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
