"""Who speaks: the process at the other end of the socket, as the kernel says, and for whom it may."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path
from typing import NamedTuple

from gpuwatch.model import Identity
from gpuwatch.sense.process import PROC, read_stat

_CREDENTIALS = struct.Struct("3i")


class Peer(NamedTuple):
    """The process that connected, by the pid that it has for this one."""

    pid: int
    uid: int


def read_peer(connection: socket.socket) -> Peer:
    """Who connected."""
    pid, uid, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return Peer(pid, uid & 0xFFFFFFFF)


def read_process_of(peer: Peer, pid: int | None, proc: Path = PROC) -> tuple[Identity, int]:
    """The process that the peer speaks for, and its uid. Raises ValueError that says why it may not.

    It may be one of the same user; root speaks for all. In a container a pid is a number of another list, so from there
    nobody names one. The uid is asked after the start time: if another process has come into the pid since the peer
    connected, it is its user that counts.
    """
    if pid is not None and pid != peer.pid and is_in_container(peer.pid, proc):
        raise ValueError("from inside a container a process speaks for itself: leave out pid")
    wanted = peer.pid if pid is None else pid
    stat = read_stat(wanted, proc) if wanted else None
    try:
        uid = os.stat(f"{proc}/{wanted}").st_uid
    except OSError:
        stat = None
    if stat is None:
        raise ValueError("there is no such process, or the agent cannot see it")
    if peer.uid not in (0, uid):
        raise ValueError("a user speaks for their own processes only")
    return Identity(wanted, stat.start_ticks), uid


def is_alive(process: Identity, proc: Path = PROC) -> bool:
    """Whether it is still there, and not another one in its pid."""
    stat = read_stat(process.pid, proc)
    return stat is not None and stat.start_ticks == process.start_ticks


def is_in_container(pid: int, proc: Path = PROC) -> bool:
    """Whether its pid is another one to itself: NSpid lists one for each namespace that it is in."""
    try:
        with open(f"{proc}/{pid}/status", "rb") as file:
            lines = file.read(1 << 16).splitlines()
    except OSError:
        return True
    return any(line.startswith(b"NSpid:") and len(line.split()) > 2 for line in lines)
