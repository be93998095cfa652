"""Looking again and again beside the screen, which never waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from gpuwatch.errors import GpuwatchError
from gpuwatch.terminal.page import Scene


class Watch:
    """Reads each `period` seconds after the first `scene`, on a thread of its own; calls `wake` after each reading."""

    def __init__(
        self, scene: Scene, *, read: Callable[[], Scene], close: Callable[[], None], wake: Callable[[], None],
        period: float,
    ) -> None:  # fmt: skip
        self._read = read
        self._close = close
        self._wake = wake
        self._period = period
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._failure: BaseException | None = None
        self._began: float | None = None
        """The reading that is under way, by the monotonic clock."""
        self.scene = scene
        """The newest."""
        self.problem = ""
        """Why the last reading failed, in words; empty where it did not."""

    def asking_seconds(self) -> float:
        """How long the reading that is under way has been; 0 where there is none."""
        began = self._began
        return 0.0 if began is None else time.monotonic() - began

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def check(self) -> None:
        """Raise what ended the reading, where something did."""
        if self._failure is not None:
            raise self._failure

    def stop(self, patience: float) -> None:
        """Read no more. A reading that is under way is waited for so long: a server may be slow."""
        self._stop.set()
        self._thread.join(patience)

    def _run(self) -> None:
        try:
            while not self._stop.wait(self._period):
                self._look()
            self._close()
        except BaseException as error:  # noqa: BLE001  the main thread ends by it
            self._failure = error
            self._wake()

    def _look(self) -> None:
        self._began = time.monotonic()
        try:
            self.scene, self.problem = self._read(), ""
        except GpuwatchError as error:
            self.problem = str(error)
        self._began = None
        self._wake()
