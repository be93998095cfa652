"""Which run somebody means, and whether it is theirs to see: by name, batch job, or a process of this node."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from gpuwatch.attribute.text import printable
from gpuwatch.cli.source import read_viewer
from gpuwatch.errors import Ambiguous, GpuwatchError, NothingRecorded

if TYPE_CHECKING:
    from gpuwatch.agent.settings import Settings
    from gpuwatch.model import Owner
    from gpuwatch.model.history import RunRecord, Source
    from gpuwatch.report.policy import Policy

_MOST_LISTED: Final = 10
_PID: Final = re.compile(r"[0-9]{1,7}")
"""Linux goes up to 4194304."""


class Chosen(NamedTuple):
    """The run that is meant."""

    record: RunRecord
    meant_by: str
    """How it was found where its name was not given in full."""


def choose(source: Source, text: str, settings: Settings, *, user: str | None = None) -> Chosen:
    """The run that `text` means: its name, with or without its source, its batch job, what people call it, or a PID.

    Raises NothingRecorded where there is none, Ambiguous where there are several, and GpuwatchError where it is
    another's, and those may not be seen.
    """
    found = [owner for owner in source.find_runs(text) if user in (None, owner.user)]
    process = ""
    if not found and _PID.fullmatch(text):
        owner, process = _of_process(source, int(text), settings)
        found = [owner] if user in (None, owner.user) else []
    if not found:
        raise NothingRecorded(_unknown(source, text, user))
    theirs = _permitted(found, settings)
    several = {(owner.user, owner.run): owner for owner in reversed(theirs)}
    if len(several) > 1:
        raise Ambiguous(_candidates(source, text, list(reversed(several.values()))))
    record = _read(source, theirs)
    if record is None:
        raise NothingRecorded(f"{process or printable(text)}: {source.name} has nothing of it yet")
    return Chosen(record, process or _meant_by(text, record))


def _of_process(source: Source, pid: int, settings: Settings) -> tuple[Owner, str]:
    from gpuwatch.agent.explanation import explained  # noqa: PLC0415  judges as the agent does, which few ask for

    try:
        _, verdict = explained(pid, settings)
    except GpuwatchError as error:
        raise NothingRecorded(f"there is no run and no batch job {pid} in {source.name}, and {error}") from error
    return verdict.run.owner, f"process {pid} is {printable(verdict.run.owner.run)}"


def all_are_shown(policy: Policy) -> bool:
    """Whether whoever asks may see all people's runs."""
    return policy.names == "all" or os.geteuid() == 0


def _permitted(found: Sequence[Owner], settings: Settings) -> list[Owner]:
    """Those that whoever asks may see."""
    if all_are_shown(settings.policy):
        return list(found)
    viewer = read_viewer(settings.people)
    if theirs := [owner for owner in found if owner.user == viewer]:
        return theirs
    raise GpuwatchError(
        f"names of people and their runs are withheld here (privacy.names = {settings.policy.names}): "
        f"{printable(viewer)} may see their own, and root all"
    )


def _read(source: Source, owners: Sequence[Owner]) -> RunRecord | None:
    """One run, whose project may have become known late: then it is in the record as several."""
    from gpuwatch.report.run.merging import merged  # noqa: PLC0415  only what reads runs needs it

    records = [record for owner in owners if (record := source.read_run(owner)) is not None]
    return merged(records) if records else None


def _meant_by(text: str, record: RunRecord) -> str:
    """Told of numbers, which may be a job's or a process's."""
    if record.about is None or record.about.batch_job != text:
        return ""
    return f"{printable(text)} is its batch job; for a process of this number: gpuwatch explain {printable(text)}"


def _candidates(source: Source, text: str, owners: Sequence[Owner]) -> str:
    from gpuwatch.report.run.words import moment  # noqa: PLC0415  see above

    lines = [f"{printable(text)} may be {len(owners)} runs, the newest first; name one in full, or whose with --user:"]
    for owner in owners[:_MOST_LISTED]:
        record = source.read_run(owner)
        began = record.about.started_unix if record is not None and record.about is not None else None
        when = "" if began is None else f", from {moment(began, None)}"
        lines.append(f"  {printable(owner.run)}  {printable(owner.user)}{when}")
    more = len(owners) - _MOST_LISTED
    return "\n".join([*lines, f"  and {more} more"] if more > 0 else lines)


def _unknown(source: Source, text: str, user: str | None) -> str:
    of_user = f" of {printable(user)}" if user is not None else ""
    return (
        f"there is no run {printable(text)!r}{of_user} in {source.name}, by name, batch job or process: "
        "`gpuwatch status` shows those of now, `gpuwatch report --by run` those before"
    )
