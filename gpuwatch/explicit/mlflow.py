"""MLflow: a plain `mlflow.start_run()` is announced, with no change to anybody's code.

`start_run()` asks every plugin of `mlflow.run_context_provider` for tags, before the run exists and so before it has an
id. So this one gives no tags, and starts a thread that looks at MLflow's own list of active runs until there is one,
and then until it ends. MLflow has no public word for "active on any thread"; `_get_latest_active_run` is what its own
system metrics use. Source: mlflow/tracking/fluent.py of 3.17.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from gpuwatch.explicit.message import Announcement
from gpuwatch.explicit.voice import harmless, voice

_LOOK_SECONDS = 0.25
_PATIENCE_SECONDS = 60.0
"""How long a run may take to appear, or to be heard of by an agent, before nobody looks any more."""


class RunContextProvider:
    """What MLflow loads: it is asked at each `start_run()`, in the user's thread."""

    def in_context(self) -> bool:
        """Have a run looked for. It starts a thread, at most, and takes well under a millisecond."""
        with harmless():
            _watch().expect()
        return False

    def tags(self) -> dict[str, str]:
        """None: the runs of the user stay as they are."""
        return {}


class Watch:
    """Looks at the active runs of this process, while there are any or one is expected."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until = 0.0
        self._watching = False
        self._announced: Announcement | None = None
        self._run_id = ""
        self._heard = False

    def expect(self) -> None:
        """A run is about to start."""
        with self._lock:
            self._until = time.monotonic() + _PATIENCE_SECONDS
            if not self._watching:
                self._watching = True
                threading.Thread(target=self._watch, name="gpuwatch-mlflow", daemon=True).start()

    def _watch(self) -> None:
        while self._goes_on():
            time.sleep(_LOOK_SECONDS)
            with harmless():
                self._look()

    def _goes_on(self) -> bool:
        with self._lock:
            self._watching = bool(self._run_id) or time.monotonic() < self._until
            return self._watching

    def _look(self) -> None:
        run = _active_run()
        run_id = run.info.run_id if run is not None else ""
        if run_id != self._run_id:
            self._run_id = run_id
            before, self._announced = self._announced, None
            if run is not None:
                self._announced = _announcement(run)
            self._heard = self._announced is not None and voice().begin(self._announced)
            if before is not None:
                voice().finish(before)
        elif self._announced is not None and not self._heard and time.monotonic() < self._until:
            self._heard = voice().begin(self._announced)


_watches: dict[int, Watch] = {}


def _watch() -> Watch:
    """This process's: threads do not live through a fork."""
    pid = os.getpid()
    return _watches.get(pid) or _watches.setdefault(pid, Watch())


def _active_run() -> Any:
    """The run of this process that started last and has not ended; None where there is none."""
    from mlflow.tracking.fluent import _get_latest_active_run  # noqa: PLC0415  it is there: it called

    return _get_latest_active_run()  # type: ignore[no-untyped-call]


def _announcement(run: Any) -> Announcement:
    """What to say of a run. Asks the tracking server once, for the experiment's name: this is not the user's thread."""
    import mlflow  # noqa: PLC0415  it is there: it called

    info, project = run.info, ""
    with harmless():
        project = mlflow.MlflowClient().get_experiment(info.experiment_id).name
    return Announcement(
        f"mlflow:{info.run_id}",
        name=info.run_name or "",
        project=project,
        url=run_url(mlflow.get_tracking_uri(), experiment=info.experiment_id, run=info.run_id),
    )


def run_url(tracking_uri: str, *, experiment: str, run: str) -> str:
    """The run's page; empty where the tracking server has none. Never with the password that a URI can hold."""
    parts = urlsplit(tracking_uri)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return ""
    place = parts.netloc.rpartition("@")[2]
    page = f"/experiments/{quote(experiment, safe='')}/runs/{quote(run, safe='')}"
    return urlunsplit((parts.scheme, place, parts.path.rstrip("/") + "/", "", page))
