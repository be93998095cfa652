"""A lane: one thread for calls that may never come back.

A call into a driver can hang in the kernel, and a thread there cannot be killed. So calls are made one after another on
a thread of the lane; the one that overruns is left behind with its thread, and a fresh thread makes the rest. It knows
nothing of what it calls.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from gpuwatch.errors import Overrun

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")
_SHORTEST_WAIT = 0.01
_HASTE = 8
_SHORTEST_PATIENCE = 0.05


class _Batch(Generic[K, R]):
    """Calls handed to a thread, and what came of them. `current` is the one under way."""

    def __init__(self, calls: deque[tuple[K, Callable[[], R]]]) -> None:
        self.calls = calls
        self.results: dict[K, R | Exception] = {}
        self.current: K | None = None
        self.called_at = 0.0
        self.abandoned = False
        self.lock = threading.Lock()
        self.done: SimpleQueue[None] = SimpleQueue()  # a third of the price of an Event

    def work(self) -> bool:
        """Make the calls; False where the batch was abandoned meanwhile and this thread is one too many."""
        while True:
            with self.lock:
                if self.abandoned:
                    return False
                if not self.calls:
                    break
                self.current, call = self.calls.popleft()
                self.called_at = time.monotonic()
            result = _attempt(call)
            with self.lock:
                if self.abandoned:
                    return False
                self.results[self.current] = result
                self.current = None
        self.done.put(None)
        return True

    def wait(self, patience: float) -> K | None:
        """Wait for the end; the key of a call that took over `patience`, which takes the batch off its thread."""
        remaining = patience
        while True:
            try:
                self.done.get(timeout=remaining)
            except Empty:
                with self.lock:
                    remaining = self.called_at + patience - time.monotonic()
                    if self.current is not None and remaining <= 0:
                        self.abandoned = True
                        return self.current
                remaining = max(remaining, _SHORTEST_WAIT)
            else:
                return None


def _attempt(call: Callable[[], R]) -> R | Exception:
    try:
        return call()
    except Exception as error:  # noqa: BLE001  the one place where sensors are isolated: one that breaks costs no other
        return error


class Lane(Generic[K, R]):
    """Makes calls by key, each batch within bounds, and leaves out the keys whose last call is still under way."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._queue: SimpleQueue[_Batch[K, R] | None] | None = None
        self._stuck: dict[K, threading.Thread] = {}
        self._thread: threading.Thread | None = None

    def run(self, calls: Mapping[K, Callable[[], R]], *, patience: float) -> dict[K, R | Exception]:
        """What each call returned, the exception that it raised, or Overrun.

        `patience` is what the first call that hangs may take, in seconds; those after it in the same batch get an
        eighth, so that many that hang at once cost the others little.
        """
        stuck = self.stuck()
        results: dict[K, R | Exception] = {key: Overrun("its last call still hangs") for key in stuck & calls.keys()}
        waiting = deque((key, call) for key, call in calls.items() if key not in stuck)
        while waiting:
            batch = _Batch(waiting)
            try:
                self._submit(batch)
            except RuntimeError as error:  # no further thread is to be had now
                return results | dict.fromkeys((key for key, _ in waiting), error)
            if (hung := batch.wait(patience)) is not None:
                self._leave_behind(hung)
                batch.results[hung] = Overrun(f"no answer within {patience:g} s")
                patience = max(patience / _HASTE, _SHORTEST_PATIENCE)
            results.update(batch.results)
            waiting = batch.calls
        return results

    def stuck(self) -> set[K]:
        """Keys whose call has not come back yet."""
        self._stuck = {key: thread for key, thread in self._stuck.items() if thread.is_alive()}
        return set(self._stuck)

    def close(self) -> None:
        """Let the idle thread go. Threads that hang end with the process."""
        if self._queue is not None:
            self._queue.put(None)
            self._queue = self._thread = None

    def _submit(self, batch: _Batch[K, R]) -> None:
        if self._queue is None:
            queue: SimpleQueue[_Batch[K, R] | None] = SimpleQueue()
            thread = threading.Thread(target=_serve, args=(queue,), name=self._name, daemon=True)
            thread.start()
            self._queue, self._thread = queue, thread
        self._queue.put(batch)

    def _leave_behind(self, key: K) -> None:
        assert self._thread is not None
        self._stuck[key] = self._thread
        self._queue = self._thread = None


def _serve(queue: SimpleQueue[_Batch[K, R] | None]) -> None:
    while (batch := queue.get()) is not None:
        if not batch.work():
            return
