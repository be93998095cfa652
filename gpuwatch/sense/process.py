"""Processes, read from /proc: one process, its ancestors, the tree below it. Their text is hostile and only carried."""

from __future__ import annotations

import os
from collections.abc import Iterable, Set
from pathlib import Path
from typing import NamedTuple

from gpuwatch.model import Identity, Lineage, Process, TreeReading

PROC = Path("/proc")
_DEEPEST = 64
_LARGEST_TREE = 4096
_ARGUMENT_BYTES = 4096
_MOST_THREADS = 4096
_LONGEST_FILE = 1 << 20
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Stat(NamedTuple):
    """The fields of /proc/PID/stat used here. Ticks are kernel clock ticks, memory is bytes."""

    name: str
    parent: int
    cpu_ticks: int
    """Of the process, and of the children that it has waited for."""
    start_ticks: int
    memory_bytes: int


def parse_stat(text: bytes) -> Stat:
    """One /proc/PID/stat. The name may hold any byte, parentheses too: it ends at the last one."""
    head, _, tail = text.rpartition(b")")
    fields = tail.split()
    return Stat(
        name=head.partition(b"(")[2].decode("utf-8", "replace"),
        parent=int(fields[1]),
        cpu_ticks=sum(map(int, fields[11:15])),
        start_ticks=int(fields[19]),
        memory_bytes=int(fields[21]) * _PAGE,
    )


def _read(path: str, size: int = 4096) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, size)
    finally:
        os.close(descriptor)


def _read_whole(path: str) -> bytes:
    """A file that the kernel gives a page at a time."""
    with open(path, "rb", buffering=0) as file:
        parts: list[bytes] = []
        while (part := file.read(65536)) and len(parts) * 4096 < _LONGEST_FILE:
            parts.append(part)
        return b"".join(parts)


def read_stat(pid: int, proc: Path = PROC) -> Stat | None:
    """The process's stat, None where it is gone or not ours to see."""
    try:
        return parse_stat(_read(f"{proc}/{pid}/stat"))
    except OSError:
        return None


def read_process(pid: int, proc: Path = PROC) -> Process | None:
    """The process, None where it is gone or, under `hidepid`, not ours to see."""
    try:
        stat = parse_stat(_read(f"{proc}/{pid}/stat"))
        owner = os.stat(f"{proc}/{pid}").st_uid
        arguments = _read(f"{proc}/{pid}/cmdline", _ARGUMENT_BYTES)
    except OSError:
        return None
    return Process(
        identity=Identity(pid, stat.start_ticks),
        parent=stat.parent,
        uid=owner,
        name=stat.name,
        arguments=tuple(part.decode("utf-8", "replace") for part in arguments.rstrip(b"\0").split(b"\0")),
    )


def read_lineage(pid: int, proc: Path = PROC) -> Lineage | None:
    """The process and its ancestors below init; None where the process itself is gone."""
    members: list[Process] = []
    while pid > 1 and len(members) < _DEEPEST:
        process = read_process(pid, proc)
        if process is None or (members and process.identity.start_ticks > members[-1].identity.start_ticks):
            break  # a parent that started after its child is another process under a used pid
        members.append(process)
        pid = process.parent
    return Lineage(tuple(members)) if members else None


def read_tree(roots: Iterable[Identity], proc: Path = PROC, *, others: Set[int] = frozenset()) -> TreeReading | None:
    """CPU and memory of the trees below `roots`, themselves included, down to `others`; None where all are gone.

    Follows the children of each thread, so the cost grows with these trees and not with the machine. The CPU of a child
    that was waited for is in its parent, so the sum does not fall when a child ends.
    """
    ticks = memory = 0
    alive = {root.pid: stat for root in roots if (stat := _read_stat_of(root, proc)) is not None}
    members = set(alive)
    waiting = list(alive)
    while waiting and len(members) < _LARGEST_TREE:
        pid = waiting.pop()
        stat = alive.get(pid) or read_stat(pid, proc)
        if stat is None:
            continue
        ticks += stat.cpu_ticks
        memory += stat.memory_bytes
        children = _read_children(pid, proc) - members - others
        members |= children
        waiting.extend(children)
    return TreeReading(ticks / TICKS_PER_SECOND, memory) if alive else None


def _read_stat_of(process: Identity, proc: Path) -> Stat | None:
    stat = read_stat(process.pid, proc)
    return stat if stat is not None and stat.start_ticks == process.start_ticks else None


def _read_children(pid: int, proc: Path) -> set[int]:
    children: set[int] = set()
    try:
        for thread in os.listdir(f"{proc}/{pid}/task")[:_MOST_THREADS]:
            children.update(map(int, _read_whole(f"{proc}/{pid}/task/{thread}/children").split()))
    except OSError:
        return children  # it ended while it was read: what was found so far still lives
    return children
