"""A look at the GPUs of this node without an agent, and without writing anything."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpuwatch.errors import StateError, UsageError

if TYPE_CHECKING:
    from gpuwatch.agent.cycle import Cycle
    from gpuwatch.agent.scheduler import Slurm
    from gpuwatch.agent.settings import Settings

_LOOK_SECONDS = 1.0
_SLURM_SECONDS = 5.0
"""What an answer of Slurm is waited for."""
_POLL_SECONDS = 0.2


def look() -> dict[str, Any]:
    """A status document after a single look of a second."""
    with closing(Look()) as looking:
        return looking.read()


class Look:
    """Looks as the agent does, as often as it is asked to, and keeps its history in mind."""

    def __init__(self) -> None:
        self._settings: Settings | None = None
        self._cycle: Cycle | None = None
        self._slurm: Slurm | None = None

    def read(self) -> dict[str, Any]:
        """A status document. The first takes a second, and longer where Slurm does."""
        from gpuwatch.agent.daemon import read_moment  # noqa: PLC0415  the driver is needed only without an agent
        from gpuwatch.export.status import status_document  # noqa: PLC0415

        cycle = self._cycle or self._begun()
        return status_document(cycle.run(read_moment()), agent=False)

    def doubt(self) -> str:
        """Why a GPU that nobody holds may not be free all the same; empty where that is known."""
        from gpuwatch.agent.maintenance import read_drains  # noqa: PLC0415  see above

        if self._slurm is not None and self._slurm.is_asking:
            return "Slurm has not said which GPUs it has given away"
        try:
            if self._settings is not None:
                read_drains(self._settings.state_directory)
        except StateError as error:
            return str(error)
        return ""

    def close(self) -> None:
        """Let go of the driver."""
        if self._cycle is not None:
            self._cycle.close()

    def _begun(self) -> Cycle:
        """After the first readings, from which on there is a use of GPUs."""
        from gpuwatch.agent.cycle import Cycle  # noqa: PLC0415  see above
        from gpuwatch.agent.daemon import load, read_moment  # noqa: PLC0415
        from gpuwatch.agent.machine import this_machine  # noqa: PLC0415
        from gpuwatch.agent.maintenance import MaintenanceFile  # noqa: PLC0415
        from gpuwatch.agent.scheduler import find_scheduler  # noqa: PLC0415

        self._settings = settings = _settings()
        self._slurm = find_scheduler(settings.slurm_node)
        maintenance = MaintenanceFile(settings.state_directory)
        machine = this_machine()._replace(read_maintenance=maintenance.read, scheduler=self._slurm)
        now = read_moment()
        self._cycle = Cycle(settings, machine, None, load(None, now), now)
        self._cycle.run(now)
        time.sleep(_LOOK_SECONDS)
        deadline = time.monotonic() + _SLURM_SECONDS
        while self._slurm is not None and self._slurm.is_asking and time.monotonic() < deadline:
            self._cycle.run(read_moment())
            time.sleep(_POLL_SECONDS)
        return self._cycle


def _settings() -> Settings:
    """As configured, with the state directory in which operators say what is out of service.

    Nothing is charged here, so every run has its own name at once.
    """
    from dataclasses import replace  # noqa: PLC0415  see above

    from gpuwatch.agent.settings import Settings  # noqa: PLC0415
    from gpuwatch.cli.source import configured, state_directory  # noqa: PLC0415

    try:
        configuration = configured(None)
        settings = replace(configuration.settings, state_directory=state_directory(configuration))
    except (UsageError, StateError):  # a wrong configuration, or a user without a home: this is for those too
        settings = Settings(state_directory=Path("/nonexistent"))
    return replace(settings, bounds=replace(settings.bounds, short_run_seconds=0.0))
