"""`gpuwatch stop`: a run lets its GPUs go, by the word of its own scheduler or engine, or as by Ctrl-C."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gpuwatch.attribute.text import clean
from gpuwatch.errors import GpuwatchError, UsageError

if TYPE_CHECKING:
    from gpuwatch.agent.explanation import Seen
    from gpuwatch.agent.settings import Settings
    from gpuwatch.agent.stopping import Holder, Step
    from gpuwatch.attribute.expectation import Whose
    from gpuwatch.model import Identity

_PATIENCE_SECONDS = 30.0


@click.command()
@click.argument("run", metavar="RUN|PID")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--config", metavar="FILE", type=click.Path(path_type=Path), help="The agent's.")
def stop(run: str, *, yes: bool, config: Path | None) -> None:
    """Stop a run of yours on this node: shows what it would do, asks, and waits for 30 s.

    RUN is named as in `gpuwatch status`, with or without what stands before the colon, or by a process of it. Exits
    with 1 where there is no such run, or it still holds a GPU.
    """
    from gpuwatch.agent.explanation import see  # noqa: PLC0415  judges as the agent does, which few ask for
    from gpuwatch.agent.whose import pid_of  # noqa: PLC0415
    from gpuwatch.cli.source import configured  # noqa: PLC0415

    logging.basicConfig(level=logging.CRITICAL)
    settings = configured(config).settings
    if not yes and not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask at: with --yes it is stopped without being asked about")
    seen = see(settings, [pid] if (pid := pid_of(run)) is not None else ())
    whose = _choose(run, seen, settings)
    if whose is None:
        click.echo(f"gpuwatch: {_unknown(run)}", err=True)
        sys.exit(1)
    steps, holders = _plan(seen, whose)
    click.echo("\n".join(_shown(whose, holders, steps)))
    if not any(_is_ours(step) for step in steps):
        sys.exit(1)
    if not yes:
        click.confirm("do it?", abort=True)
        steps, holders = _still(see(settings), whose, steps)
    if not steps:
        raise GpuwatchError("nothing that was shown is there as it was: look again")
    _end(whose, steps, holders, settings)


def _choose(text: str, seen: Seen, settings: Settings) -> Whose | None:
    """The run that is meant, by name or by a process on a GPU. Raises GpuwatchError where it is another's."""
    from gpuwatch.agent.stopping import runs_of  # noqa: PLC0415  see above
    from gpuwatch.agent.whose import choose, pid_of  # noqa: PLC0415
    from gpuwatch.attribute.person import read_user_name  # noqa: PLC0415

    person = None if os.geteuid() == 0 else settings.people.alias(read_user_name(os.getuid()))
    verdict = seen.verdicts.get(pid) if (pid := pid_of(text)) is not None else None
    of_process = (verdict.run.owner.user, verdict.run.owner.run) if verdict is not None else None
    try:
        return choose(text, runs_of(seen), person=person, of_process=of_process)
    except ValueError as error:
        raise GpuwatchError(clean(str(error))) from error


def _unknown(text: str) -> str:
    from gpuwatch.agent.whose import slurm_job  # noqa: PLC0415  see above

    if job := slurm_job(text):
        return f"{clean(text)} has no process on a GPU of this node; where it only reserves one: scancel {job}"
    return f"no run {clean(text)} is on a GPU of this node: see `gpuwatch status`"


def _plan(seen: Seen, whose: Whose) -> tuple[list[Step], list[Holder]]:
    from gpuwatch.agent.stopping import holders_of, steps_for  # noqa: PLC0415  see above
    from gpuwatch.sense.process import read_lineage  # noqa: PLC0415

    own = read_lineage(os.getpid())
    asking = [member.identity for member in own.members] if own is not None else []
    return steps_for(seen, whose, uid=os.geteuid(), asking=asking), list(holders_of(seen, whose).values())


def _still(seen: Seen, whose: Whose, shown: Collection[Step]) -> tuple[list[Step], list[Holder]]:
    """What is to be done of what was shown, as things are now."""
    steps, holders = _plan(seen, whose)
    wanted = set(map(_what, shown))
    return [step for step in steps if _what(step) in wanted], holders


def _what(step: Step) -> object:
    """What makes two steps the same: a process may call itself another by now."""
    from gpuwatch.agent.stopping import Signal  # noqa: PLC0415  see above

    return step.process.identity if isinstance(step, Signal) else step


def _is_ours(step: Step) -> bool:
    from gpuwatch.agent.stopping import Signal  # noqa: PLC0415  see above

    return isinstance(step, Signal) or step.is_ours


def _shown(whose: Whose, holders: Iterable[Holder], steps: Iterable[Step]) -> list[str]:
    """Who holds GPUs for the run, and what would be done."""
    user, run = whose
    rows = [("PID", "USER", "COMMAND", "GPUS", "SINCE")]
    for holder in holders:
        pid = str(holder.process.identity.pid)
        rows.append((pid, holder.user, holder.command, ", ".join(holder.gpus), _moment(holder.since_seconds)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return [f"{clean(run)} of {clean(user)}", *table, *map(_told, steps)]


def _moment(boottime: float) -> str:
    from gpuwatch.sense.clocks import read_boottime, read_unix  # noqa: PLC0415  see above

    began = datetime.fromtimestamp(read_unix() - read_boottime() + boottime)
    return began.astimezone().isoformat(" ", "minutes")


def _told(step: Step) -> str:
    from gpuwatch.agent.stopping import Signal, named  # noqa: PLC0415  see above

    if isinstance(step, Signal):
        return f"it is stopped by SIGINT to process {step.process.identity.pid}, {named(step.process)}"
    order = shlex.join(step.words)
    return f"it is stopped by: {order}" if step.is_ours else f"it is stopped by whoever may, and not from here: {order}"


def _end(whose: Whose, steps: Sequence[Step], holders: Sequence[Holder], settings: Settings) -> None:
    """Do it, wait, and tell what came of it. Exits with 1 where it still holds a GPU."""
    from gpuwatch.agent.ending import give_order, hold  # noqa: PLC0415  see above
    from gpuwatch.agent.explanation import see  # noqa: PLC0415
    from gpuwatch.agent.stopping import Signal, holders_of  # noqa: PLC0415

    on_gpus = [holder.process.identity for holder in holders]
    targets = [step.process.identity for step in steps if isinstance(step, Signal)]
    with hold([*on_gpus, *targets]) as held:
        for step in steps:
            if isinstance(step, Signal):
                held.interrupt(step.process.identity)
            elif step.is_ours:
                give_order(step.words)
        click.echo("waiting for it to let go …", err=True)
        held.wait(on_gpus, seconds=_PATIENCE_SECONDS)
    left = [holder.process.identity for holder in holders_of(see(settings), whose).values()]
    if left:
        click.echo("\n".join(_left(left)), err=True)
        sys.exit(1)
    click.echo(f"{clean(whose[1])} holds no GPU of this node any more")


def _left(processes: Sequence[Identity]) -> list[str]:
    pids = " ".join(str(process.pid) for process in processes)
    return [
        f"gpuwatch: still on a GPU: {pids}. It may be saving its work, or ignore SIGINT.",
        f"gpuwatch: to end it without waiting: kill -TERM {pids}; if that does nothing: kill -KILL {pids}",
    ]
