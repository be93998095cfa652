"""The process: one thread samples, the main thread serves, signals set flags and the loops act on them."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gpuwatch.account.ledger import LINGER_SECONDS
from gpuwatch.agent.alerting import Alerting, alerting_of
from gpuwatch.agent.chronicle import Chronicle
from gpuwatch.agent.complaints import Complaints
from gpuwatch.agent.cycle import GLANCE_SECONDS, Cycle, Moment
from gpuwatch.agent.door import Door, Grant
from gpuwatch.agent.dues import Dues
from gpuwatch.agent.machine import Machine
from gpuwatch.agent.memory import keep_little
from gpuwatch.agent.notify import notifier_of
from gpuwatch.agent.registrations import RegistrationsFile
from gpuwatch.agent.settings import Settings
from gpuwatch.agent.snoozes import SnoozesFile
from gpuwatch.agent.wishes import Wishes
from gpuwatch.errors import DiskRefused
from gpuwatch.export.pages import Pages
from gpuwatch.export.server import Server, bind
from gpuwatch.model import Snapshot
from gpuwatch.sense.clocks import read_boot_id, read_boottime, read_unix
from gpuwatch.state.saved import Saved
from gpuwatch.state.store import Store

if TYPE_CHECKING:
    from gpuwatch.export.web import Web

log = logging.getLogger(__name__)

_LISTENER = "_GPUWATCH_LISTENER"
_FRESH_SINCE = "_GPUWATCH_FRESH_SINCE"
"""Carried by a fresh process: the inherited listening socket, and when (boot time) it took over."""
_FILES = 8192
_ALERTS_SECONDS = 2.0
"""What a message that is being sent may still take at the end."""
_FRESH_SECONDS = 300.0
"""A library that does not match the driver on disk either is not tried again for this long."""


class Agent:
    """One agent on a machine, from start to stop."""

    def __init__(self, settings: Settings, machine: Machine) -> None:
        self._settings = settings
        self._machine = machine
        self._snapshot: Snapshot | None = None
        self._chronicle = Chronicle()
        self._stop = threading.Event()
        self._fresh_process = False
        self._failure: BaseException | None = None
        self._notifier = notifier_of(os.environ, pid=os.getpid())
        self._server: Server | None = None
        self._web: Web | None = None
        self._url = ""
        self._alerting: Alerting | None = None

    def run(self) -> None:
        """Sample and serve until told to stop. Raises what ended it otherwise."""
        keep_little()
        _allow_many_files()
        self._web = _read_web(self._settings.web_config)
        self._alerting = alerting_of(self._settings, read_unix=read_unix, simulated=self._machine.simulated)
        listener = _inherited_listener() or bind(self._settings.listen)
        now = read_moment()
        store, saved = self._open(now)
        try:
            if store is not None:
                self._chronicle.restore(store, unix=now.unix)
            self._serve(listener, Cycle(self._settings, self._machine, store, saved, now))
        finally:
            if store is not None:
                store.close()
        if self._failure is not None:
            raise self._failure
        if self._fresh_process:
            _become_fresh_process(listener)

    def _open(self, now: Moment) -> tuple[Store | None, Saved]:
        """The state, and what it knows. One that can be opened and not read is left alone, not written over."""
        store = None
        try:
            store = Store(self._settings.state_directory, unix=now.unix, simulated=self._machine.simulated)
            store.note_node(self._settings.node)
            saved = load(store, now)
        except DiskRefused as error:
            log.error("%s; going on without it: all totals start at 0", error)
            if store is not None:
                store.close()
            return None, load(None, now)
        if store.set_aside is not None:
            log.error("the state file was damaged: it is kept as %s, and all totals start at 0", store.set_aside)
        return store, saved

    def _serve(self, listener: socket.socket, cycle: Cycle) -> None:
        host, port = listener.getsockname()[:2]
        at = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._url = f"{'https' if self._web and self._web.tls else 'http'}://{at}/"
        log.info("look at %s and have Prometheus scrape %smetrics", self._url, self._url)
        asyncio.run(self._serve_until_stopped(listener.dup(), cycle))

    async def _serve_until_stopped(self, listener: socket.socket, cycle: Cycle) -> None:
        pages = Pages(lambda: self._snapshot, names=self._settings.policy.names)
        server = self._server = Server(pages, read_unix, web=self._web)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, server.stop.set)

        def tell(event: asyncio.Event) -> None:
            loop.call_soon_threadsafe(event.set)

        door = self._open_door()
        if self._alerting is not None:
            self._alerting.start()
        told = (partial(tell, server.ready), partial(tell, server.stop))
        sampler = threading.Thread(target=self._sample, args=(cycle, *told), name="gpuwatch-cycle")
        sampler.start()
        try:
            await server.serve(sockets=[listener])
        finally:
            self._stop.set()
            if self._failure is None and not self._fresh_process:  # the fresh one is the same to systemd
                self._notifier.stopping()
            await asyncio.to_thread(sampler.join)
            if self._alerting is not None:
                await asyncio.to_thread(self._alerting.stop, _ALERTS_SECONDS)
            if door is not None:
                await door.stop()
            self._notifier.close()

    def _open_door(self) -> Door | None:
        """Let processes say which run they are, and take up what they said to the agent before this one."""
        if self._machine.registry is None:
            return None
        file = RegistrationsFile(self._machine.registry, self._settings.state_directory, boot_id=read_boot_id())
        file.restore()
        path, registry = self._settings.socket_path, self._machine.registry
        door = Door(registry, path, read_unix=read_unix, url=self._url, keep=file.keep, grant=self._granting())
        door.start()
        return door

    def _granting(self) -> Grant | None:
        """What answers people's wishes for their runs, with the snoozes that the agent before this one knew."""
        if self._machine.snoozes is None:
            return None
        file = SnoozesFile(self._machine.snoozes, self._settings.state_directory)
        file.restore()
        return Wishes(
            file,
            Complaints(self._settings.state_directory, read_unix=read_unix),
            people=self._settings.people,
            read_owners=lambda: tuple(self._snapshot.runs) if self._snapshot is not None else (),
            read_unix=read_unix,
            facts={"node": self._settings.node, "is_shared": bool(self._settings.prometheus.url)},
        ).grant

    def _sample(self, cycle: Cycle, ready: Callable[[], object], end: Callable[[], object]) -> None:
        try:
            self._sample_until_stopped(cycle, ready)
        except BaseException as error:  # noqa: BLE001  carried to the main thread, which raises it
            self._failure = error
        if not self._stop.is_set():
            end()

    def _sample_until_stopped(self, cycle: Cycle, ready: Callable[[], object]) -> None:
        due, dues = read_boottime(), Dues(self._settings.alert, self._alerting)
        try:
            while self._wait(due, cycle):
                now = read_moment()
                first, self._snapshot = self._snapshot is None, self._chronicle.add(dues.add(cycle.run(now)))
                if first:
                    ready()
                self._notifier.cycled(self._snapshot, served=self._served(), boottime=now.boottime)
                due = max(due + self._settings.interval, now.boottime)
                if cycle.needs_fresh_process and _may_be_fresh(now.boottime):
                    self._fresh_process = True
                    return
            cycle.run(read_moment())
        finally:
            cycle.close()

    def _served(self) -> str:
        """Where the pages are served; nothing as long as they are not."""
        return self._url if self._server is not None and self._server.started else ""

    def _wait(self, due: float, cycle: Cycle) -> bool:
        """Wait for the next cycle; False where the agent is told to stop."""
        while (left := due - read_boottime()) > 0:
            if self._stop.wait(min(left, GLANCE_SECONDS)):
                return False
            if left > GLANCE_SECONDS:
                cycle.glance()
        return not self._stop.is_set()


def read_moment() -> Moment:
    """Now, on both clocks."""
    return Moment(read_boottime(), read_unix())


def load(store: Store | None, now: Moment) -> Saved:
    """What the state knows of the past; nothing where there is no state. Raises DiskRefused."""
    boot_unix = now.unix - now.boottime
    if store is None:
        return Saved({}, {}, {}, {}, {}, {}, boot_unix)
    return store.load(unix=now.unix, boot_id=read_boot_id(), boot_unix=boot_unix, run_seconds=LINGER_SECONDS)


def _read_web(path: Path | None) -> Web | None:
    """What the listener is to do beyond plain HTTP. Raises UsageError, before anything is sampled or written."""
    if path is None:
        return None
    from gpuwatch.export.web import read_web  # noqa: PLC0415  an agent without one does not load YAML and bcrypt

    return read_web(path)


def _allow_many_files() -> None:
    """A descriptor for each client and each process on a GPU can be more than the usual 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def _inherited_listener() -> socket.socket | None:
    descriptor = os.environ.pop(_LISTENER, "")
    return socket.socket(fileno=int(descriptor)) if descriptor.isdecimal() else None


def _may_be_fresh(boottime: float) -> bool:
    return boottime - float(os.environ.get(_FRESH_SINCE) or -_FRESH_SECONDS) >= _FRESH_SECONDS


def _become_fresh_process(listener: socket.socket) -> None:
    """Replace this process by a new one on the same socket, where clients wait meanwhile."""
    log.warning("starting afresh to load the NVML library of the driver that is there now")
    os.set_inheritable(listener.fileno(), True)
    os.environ |= {_LISTENER: str(listener.fileno()), _FRESH_SINCE: str(read_boottime())}
    os.execv(sys.executable, [sys.executable, "-m", "gpuwatch", *sys.argv[1:]])
