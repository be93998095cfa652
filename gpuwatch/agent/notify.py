"""What systemd is told of the agent: that it serves, that its cycles come to an end, how it fares, that it stops.

The protocol of sd_notify(3): datagrams to the socket that $NOTIFY_SOCKET names. Nothing is sent where it names none.
This must never disturb the agent: it never waits, and what systemd does not take is said again after the next cycle.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping

from gpuwatch.model import Snapshot

log = logging.getLogger(__name__)

_PERIOD_SECONDS = 5.0
"""The time between two datagrams: each wakes systemd up."""
_FEEDS = 4
"""How many datagrams are due within the time after which systemd gives the agent up, where that is short."""
_LONGEST_STATUS = 200


class Notifier:
    """Tells the service manager. `watchdog_seconds` is the time after which it gives a silent agent up, if it does."""

    def __init__(self, address: str, *, watchdog_seconds: float | None = None) -> None:
        self._address = address
        self._feeds = watchdog_seconds is not None
        self._period = min(_PERIOD_SECONDS, (watchdog_seconds or _PERIOD_SECONDS * _FEEDS) / _FEEDS)
        self._socket = _open_socket() if address else None
        self._due = 0.0
        self._is_ready = False
        self._status = ""

    def cycled(self, snapshot: Snapshot, *, served: str, boottime: float) -> None:
        """After a cycle that came to its end, whose snapshot is published; `served` is where, empty while nowhere.

        Only this feeds the watchdog: a cycle that hangs, or a sampling thread that is no more, must let it bite.
        """
        if self._socket is None or boottime < self._due or not served:
            return
        status = f"{summary(snapshot)}; {served}"
        lines = [] if self._is_ready else ["READY=1"]
        if self._feeds:
            lines.append("WATCHDOG=1")
        if status != self._status:
            lines.append(f"STATUS={status}")
        if not lines or self._send(lines):
            self._is_ready, self._status, self._due = True, status, boottime + self._period

    def stopping(self) -> None:
        """The agent was told to stop, and does."""
        self._send(["STOPPING=1", "STATUS=stopping: the last totals are being saved"])

    def close(self) -> None:
        """Say nothing more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, lines: list[str]) -> bool:
        if self._socket is None:
            return False
        try:
            self._socket.sendto("\n".join(lines).encode("utf-8", "replace"), self._address)
        except OSError as error:
            log.debug("systemd was not told %s: %s", lines, error)
            return False
        return True


def notifier_of(environment: Mapping[str, str], *, pid: int) -> Notifier:
    """The notifier that the environment of process `pid` asks for; a silent one where it asks for none."""
    address = environment.get("NOTIFY_SOCKET", "")
    if address.startswith("@"):
        address = "\0" + address[1:]  # an abstract name has no file
    elif not address.startswith("/"):
        return Notifier("")
    microseconds = environment.get("WATCHDOG_USEC", "")
    if not microseconds.isdecimal() or environment.get("WATCHDOG_PID", str(pid)) != str(pid):
        return Notifier(address)
    return Notifier(address, watchdog_seconds=int(microseconds) / 1e6 or None)


def summary(snapshot: Snapshot) -> str:
    """One line on the GPUs and the state, for `systemctl status`."""
    held = {uuid for uuid, _ in snapshot.holding} | {view.info.uuid for view in snapshot.devices if view.strangers}
    silent = sum(view.reading is None for view in snapshot.devices)
    parts = [f"{len(snapshot.devices)} GPUs", f"{len(held)} held"]
    if silent:
        parts.append(f"{silent} not answering")
    if not snapshot.devices:
        gpu = snapshot.sensors.get("gpu")
        parts = ["no GPUs" if gpu is None or not gpu.problem else _line(gpu.problem)]
    return f"{', '.join(parts)}; {'state saved' if snapshot.persisted else 'state NOT saved'}"


def _line(text: str) -> str:
    """A problem may quote what a library said: in a datagram, a line break would begin another message."""
    return " ".join(text.split())[:_LONGEST_STATUS]


def _open_socket() -> socket.socket | None:
    try:
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    except OSError as error:
        log.warning("systemd cannot be told how the agent fares: %s", error)
        return None
    opened.setblocking(False)
    return opened
