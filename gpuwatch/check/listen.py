"""The agent's address: is it free, or who has it? And an agent that runs there: how is it?"""

from __future__ import annotations

import errno
import json
import os
import re
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from gpuwatch import __version__
from gpuwatch.check.fetch import Answer, fetch
from gpuwatch.check.finding import Finding, fail, ok, warn
from gpuwatch.export.address import parse_address

PROC = Path("/proc")
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_LISTENING = "0A"
"""TCP_LISTEN in /proc/net/tcp."""
_LONGEST_TABLE = 1 << 22
_NO_START = "the agent does not start"


class Holder(NamedTuple):
    """The process that listens there."""

    pid: int
    name: str


class ListenFacts(NamedTuple):
    """The address; why it cannot be had (an errno, 0 where it can); and what answers there if somebody has it."""

    address: str
    error: int
    reason: str = ""
    health: Answer = Answer(0)
    status: Answer = Answer(0)
    holder: Holder | None = None


def read_listen(address: str, *, secured: bool = False, proc: Path = PROC) -> ListenFacts:
    """Try the address for a moment; where it is taken, ask who is there. `secured` is by TLS."""
    host, port = parse_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            return ListenFacts(address, error.errno or errno.EINVAL, reason=error.strerror or "no such address")
    else:
        return ListenFacts(address, 0)
    near = _ANYWHERE.get(host, host)
    base = f"{'https' if secured else 'http'}://{f'[{near}]' if ':' in near else near}:{port}"
    return ListenFacts(
        address,
        errno.EADDRINUSE,
        health=fetch(f"{base}/healthz", here=True),
        status=fetch(f"{base}/api/v1/status", here=True),
        holder=read_holder(port, proc),
    )


def judge_listen(facts: ListenFacts, *, guarded: bool = False) -> list[Finding]:
    """The address, and the agent that runs there; `guarded` by TLS or a password, it may not answer."""
    where = facts.address
    if facts.error == 0:
        start = "systemctl start gpuwatch, or gpuwatch agent"
        return [ok("listen", f"{where} is free"), warn("agent", "none runs", lost="history", mend=start)]
    if facts.error != errno.EADDRINUSE:
        mend = "gpuwatch agent --listen HOST:PORT, with an address of this machine and a port over 1023"
        return [fail("listen", f"{where} cannot be had: {facts.reason}", lost=_NO_START, mend=mend)]
    holder = f" (pid {facts.holder.pid}, {facts.holder.name})" if facts.holder else ""
    document = _document(facts.status)
    if version := _version(document):
        listen = ok("listen", f"{where} is a gpuwatch agent's{holder}")
        return [listen, _judge_agent(facts.health, version), *_judge_telling(document)]
    if guarded:
        return [
            ok("listen", f"{where} is taken{holder}: by an agent or not, it answers only who has a password or key")
        ]
    kill = f": kill {facts.holder.pid}" if facts.holder else ""
    mend = f"stop it{kill}, or gpuwatch agent --listen with another port"
    return [fail("listen", f"{where} is taken by something else{holder}", lost=_NO_START, mend=mend)]


def parse_listeners(table: str, port: int) -> set[str]:
    """The inodes of the sockets that listen on a port, from the text of /proc/net/tcp or tcp6."""
    inodes = set()
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] == _LISTENING and fields[1].rpartition(":")[2] == f"{port:04X}":
            inodes.add(fields[9])
    return inodes


def read_holder(port: int, proc: Path = PROC) -> Holder | None:
    """The process that listens on a port; None where this user cannot tell."""
    tables = (_read(proc / "net" / name) for name in ("tcp", "tcp6"))
    inodes = {inode for table in tables for inode in parse_listeners(table, port)}
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for pid in (int(path.name) for path in proc.iterdir() if path.name.isdecimal()) if wanted else ():
        if wanted.intersection(_links(proc / str(pid) / "fd")):
            return Holder(pid, _name(proc / str(pid)))
    return None


def _read(table: Path) -> str:
    try:
        with table.open("rb") as file:
            return file.read(_LONGEST_TABLE).decode("ascii", "replace")
    except OSError:
        return ""  # a machine without IPv6


def _links(folder: Path) -> Iterable[str]:
    try:
        descriptors = os.listdir(folder)
    except OSError:
        return  # another user's, or gone
    for descriptor in descriptors:
        with suppress(OSError):  # closed meanwhile
            yield os.readlink(folder / descriptor)


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "gone"


def _document(status: Answer) -> dict[str, Any]:
    """An agent's status document; empty for anything else."""
    try:
        document = json.loads(status.body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) and document.get("agent") is True else {}


def _version(document: Mapping[str, Any]) -> str:
    """The version of an agent; empty where none is told."""
    version = document.get("version")
    return version if isinstance(version, str) and re.fullmatch(r"[\w.+-]{1,40}", version) else ""


def _judge_telling(document: Mapping[str, Any]) -> list[Finding]:
    """Why the agent cannot tell anybody of anything now, if that is so."""
    problem = document.get("notices_problem")
    if not isinstance(problem, str):
        return []
    lost = "that owners are told of GPUs that they do not use, and a note of it"
    return [warn("notices", f"the agent tells nobody: {problem}", lost=lost, mend="journalctl -u gpuwatch")]


def _judge_agent(health: Answer, version: str) -> Finding:
    lost, restart = "readings", "systemctl restart gpuwatch; journalctl -u gpuwatch"
    said = health.body[:200].decode("utf-8", "replace").strip()
    if health.status != 200:
        return fail("agent", f"version {version}: {said or health.problem}", lost=lost, mend=restart)
    if version != __version__:
        found = f"version {version} runs, this command is {__version__}"
        return warn("agent", found, lost="what is new since", mend="systemctl restart gpuwatch")
    return ok("agent", f"version {version}, {said}")
