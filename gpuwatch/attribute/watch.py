"""The run files that a process has open, found among its descriptors, and looked for again at little cost.

W&B's library keeps `wandb/(offline-)run-DATE_TIME-ID/logs/debug.log` open in the process that called `wandb.init`, and
its helper writes `run-ID.wandb` beside it (source: `wandb` 0.31, `Settings.sync_dir`). Both are the user's own: nothing
but a regular file is opened, and only where it belongs to who wrote the log; little of it is read.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from gpuwatch.attribute.case import TrackedRun
from gpuwatch.attribute.wandb_file import RunRecord, parse_run

PROC = Path("/proc")
READING_RIGHTS = "CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"
"""What it takes to read the environment and the descriptors of another user's process."""
_LOG = "/logs/debug.log"
_LOG_PATH = re.compile(
    r"(?P<folder>/.*/(?P<offline>offline-)?run-(?P<began>\d{8}_\d{6})-(?P<id>[^/]{1,200}))"
    r"/logs/debug\.log(?: \(deleted\))?",
    re.DOTALL,
)
_REMOVED = " (deleted)"
"""What the kernel puts behind the path of a file that is not there any more."""
_NUMBERED = re.compile(r"(?P<id>.+)-\d{1,4}", re.DOTALL)
_MOST_DESCRIPTORS = 4096
_MOST_RUNS = 8
_LONGEST_RUN_FILE = 1 << 20
LISTING_SECONDS = 120.0
"""Between two listings where the number of descriptors says when to list: one may have taken another's place."""
_BLIND_LISTING_SECONDS = 5.0
"""The same on Linux before 6.2, which does not tell their number."""
_FIRST_REST, _LONGEST_REST = 0.5, 3.0
"""Seconds without a listing after one that found nothing new, doubled each time: a listing takes 3 µs a descriptor, and
data loaders open and close some all the time."""
_RECORD_SECONDS = 60.0
"""For how long a run file is asked for its record at every turn: W&B writes it out 15 s after `wandb.init`, or when a
buffer is full. From then on at each listing."""


@dataclass(slots=True)
class _Log:
    """An open log of a run, and what the run file beside it says."""

    path: str
    folder: str
    began: str
    run_id: str
    offline: bool
    owner: int
    met_at: float
    record: RunRecord | None = None

    @property
    def paths(self) -> tuple[str, str]:
        """What the descriptor stands for: somebody may remove the folder while the run goes on."""
        return self.path, self.path + _REMOVED

    def waits(self, now: float) -> bool:
        """Whether the run file may still come to say more."""
        return self.record is None and now < self.met_at + _RECORD_SECONDS

    def tracked(self) -> TrackedRun:
        """As the rules know it."""
        known = self.record or RunRecord(self.run_id)
        return TrackedRun(
            tracker="wandb",
            id=known.id,
            evidence=self.path,
            entity=known.entity,
            project=known.project,
            name=known.name,
            group=known.group,
            sweep=known.sweep,
            offline=self.offline,
        )


class Watch:
    """The run files of one process, which the caller knows to be alive. Times are seconds of any one clock."""

    def __init__(self, pid: int, proc: Path = PROC) -> None:
        self.pid = pid
        self.proc = proc
        self.tracked: tuple[TrackedRun, ...] = ()
        """In the order in which they were opened, as of the last look."""
        self.lacks = ""
        """The rights for want of which the last look saw nothing."""
        self._descriptors = f"{proc}/{pid}/fd"
        self._count = -1
        self._logs: dict[str, _Log] = {}
        self._list_at = self._rest_until = self._rest = 0.0

    def is_due(self, now: float) -> bool:
        """Whether a look may find something new. Asks the kernel two things or three, and never waits for a disk."""
        if now >= self._list_at:
            return True
        try:
            count = os.stat(self._descriptors).st_size
            if self._logs and self._has_moved():
                return True
        except FileNotFoundError:  # the log was closed, or the process has ended: a look tells
            return True
        except OSError:
            return False
        if count != self._count and now >= self._rest_until:
            return True
        return bool(self._logs) and self.is_waiting(now)

    def _has_moved(self) -> bool:
        """Whether a known log's descriptor stands for another file by now. Raises OSError."""
        return any(os.readlink(f"{self._descriptors}/{number}") not in log.paths for number, log in self._logs.items())

    def is_waiting(self, now: float) -> bool:
        """Whether a run file of its own may still come to say its project and name."""
        return any(log.waits(now) for log in self._logs.values())

    def look(self, now: float) -> bool:
        """Look at all descriptors; whether `tracked` has changed. May wait for the disk that a run file is on."""
        logs = self._see(now)
        if logs is None:
            return False
        for log in logs.values():
            if log.record is None:
                _complete(log, f"{self.proc}/{self.pid}/root{log.folder}")
        before = self.tracked
        in_order = sorted(logs.items(), key=lambda item: (item[1].began, int(item[0])))
        self._logs, self.tracked = logs, tuple(log.tracked() for _, log in in_order)
        changed = self.tracked != before
        self._rest = 0.0 if changed else min(max(2 * self._rest, _FIRST_REST), _LONGEST_REST)
        self._rest_until = now + self._rest
        return changed

    def _see(self, now: float) -> dict[str, _Log] | None:
        """The logs that are open now, by descriptor; None where that cannot be seen, and what it was stays true."""
        try:
            # Counted before they are listed: what is opened in between is listed twice rather than never.
            count = os.stat(self._descriptors).st_size
            targets = self._read_targets()
            logs = self._review(targets, now)
        except PermissionError:
            self.lacks = READING_RIGHTS
            self._list_at = self._rest_until = now + LISTING_SECONDS
            return None
        except OSError:
            return None  # it has ended
        if not targets:
            return None  # it is ending: its files are closed before its GPU memory is given back
        self.lacks, self._count = "", count
        self._list_at = now + (LISTING_SECONDS if count else _BLIND_LISTING_SECONDS)
        return logs

    def _read_targets(self) -> dict[str, str]:
        """What the descriptors stand for, by number."""
        targets: dict[str, str] = {}
        folder = os.open(self._descriptors, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with os.scandir(folder) as entries:
                numbers = [entry.name for entry in islice(entries, _MOST_DESCRIPTORS)]
            for number in numbers:
                try:
                    targets[number] = os.readlink(number, dir_fd=folder)
                except FileNotFoundError:
                    continue  # closed meanwhile
        finally:
            os.close(folder)
        return targets

    def _review(self, targets: dict[str, str], now: float) -> dict[str, _Log]:
        """The logs among the descriptors; those known already as they are."""
        logs: dict[str, _Log] = {}
        for number, target in targets.items():
            if _LOG in target and len(logs) < _MOST_RUNS:
                known = self._logs.get(number)
                log = known if known and target in known.paths else self._meet(number, target, now)
                if log is not None:
                    logs[number] = log
        return logs

    def _meet(self, number: str, target: str, now: float) -> _Log | None:
        """The log of a run, None where it only has the name of one: it is read, no file, or somebody else's."""
        match = _LOG_PATH.fullmatch(target)
        if match is None:
            return None
        link = f"{self._descriptors}/{number}"
        try:
            written = os.lstat(link).st_mode & stat.S_IWUSR
            file = os.stat(link)
        except FileNotFoundError:
            return None
        user = os.stat(f"{self.proc}/{self.pid}").st_uid
        # Root in a container writes to a network disk as nobody.
        if not written or not stat.S_ISREG(file.st_mode) or user not in (file.st_uid, 0):
            return None
        return _Log(
            path=target,
            folder=match["folder"],
            began=match["began"],
            run_id=match["id"],
            offline=match["offline"] is not None,
            owner=file.st_uid,
            met_at=now,
        )


def _complete(log: _Log, folder: str) -> None:
    """Take over what the run file in `folder` says. Where it is not there (yet) or not for us the log is enough."""
    names = [log.run_id]
    # Of a second run with the same id in the same second W&B numbers the folder, and not the file.
    if numbered := _NUMBERED.fullmatch(log.run_id):
        names.append(numbered["id"])
    for name in names:
        try:
            data = read_regular(f"{folder}/run-{name}.wandb", owner=log.owner)
        except OSError:
            continue
        record = parse_run(data)
        if record is not None and record.id == name:
            log.record = record
            return


def read_regular(path: str, *, owner: int) -> bytes:
    """The first MiB of a user's file; empty where it is no regular file of `owner`. Raises OSError.

    The path is the user's, who may have put anything there by now: a FIFO, a device whose opening does something, a
    link to a file that only we may read. So it is opened for nothing at first, and looked at.
    """
    handle = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        file = os.fstat(handle)
        if not stat.S_ISREG(file.st_mode) or file.st_uid != owner:
            return b""
        with open(f"/proc/self/fd/{handle}", "rb", buffering=0) as content:
            return content.read(_LONGEST_RUN_FILE) or b""
    finally:
        os.close(handle)
