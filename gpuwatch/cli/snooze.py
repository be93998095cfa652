"""`gpuwatch snooze`: a run's idleness is meant, and nobody is to be told of it for a while."""

from __future__ import annotations

import logging
import os
import shlex
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gpuwatch.attribute.text import clean
from gpuwatch.errors import GpuwatchError, UsageError
from gpuwatch.units import DAY, parse_duration

if TYPE_CHECKING:
    from gpuwatch.agent.settings import Settings

_PATIENCE_SECONDS = 5.0
_LONGEST_DAYS = 14


@click.command()
@click.argument("run", metavar="RUN|PID")
@click.option("--for", "length", metavar="2h", help=f"How long from now: 30m, 2h or 3d; {_LONGEST_DAYS}d at most.")
@click.option("--reason", metavar="TEXT", help="Why, for all to see.")
@click.option("--off", is_flag=True, help="It is not meant any more.")
@click.option("--wrong", is_flag=True, help="The last notice about it was a false alarm. Snoozes nothing.")
@click.option("--config", metavar="FILE", type=click.Path(path_type=Path), help="The agent's.")
def snooze(run: str, *, length: str | None, reason: str | None, off: bool, wrong: bool, config: Path | None) -> None:
    """Say that a run of yours is meant to be idle: it is shown as snoozed, and nobody is told, until then.

    RUN is named as in `gpuwatch status`, with or without what stands before the colon, or by a process of it.
    """
    from gpuwatch.cli.source import configured  # noqa: PLC0415  only what asks an agent needs these
    from gpuwatch.explicit.client import tell  # noqa: PLC0415
    from gpuwatch.explicit.place import sockets  # noqa: PLC0415

    logging.basicConfig(level=logging.CRITICAL)
    settings = configured(config).settings
    name = _run_of(run, settings)
    message = _message(name, length, reason, off=off, wrong=wrong)
    answer = tell(message, (*sockets(os.environ), settings.socket_path), patience=_PATIENCE_SECONDS)
    told = clean(str(answer.get("run", name)))
    if wrong:
        click.echo(f"the last notice about {told} is marked as a false alarm")
    elif off:
        click.echo(f"{told} is not snoozed any more")
    else:
        again = ("gpuwatch", "snooze", told, "--for", str(length), "--reason", clean(str(reason)))
        click.echo("\n".join(_granted(told, answer, again)))


def _message(run: str, length: str | None, reason: str | None, *, off: bool, wrong: bool) -> bytes:
    """What to say to the agent. Raises UsageError where the options do not go together."""
    from gpuwatch.explicit import message  # noqa: PLC0415  see above

    said = clean(reason or "")
    if off and wrong:
        raise UsageError("--off and --wrong are two things to say: give one of them")
    if wrong and length is None:
        return message.wrong(run, reason=said)
    if off and length is None and reason is None:
        return message.unsnooze(run)
    if off or wrong:
        raise UsageError("--off goes with nothing else, and --wrong with --reason alone")
    if length is None or not said:
        raise UsageError("a snooze needs --for and --reason, like --for 2h --reason 'waiting for labels'")
    return message.snooze(run, seconds=_seconds(length), reason=said)


def _seconds(length: str) -> int:
    try:
        seconds = parse_duration(length)
    except ValueError as error:
        raise UsageError(f"--for {clean(length)!r}: {error}") from error
    if seconds > _LONGEST_DAYS * DAY:
        raise UsageError(f"--for {clean(length)}: {_LONGEST_DAYS}d at most; say it again when that is over")
    return seconds


def _run_of(text: str, settings: Settings) -> str:
    """The run of the process with that number, if it is one on this node; else the text, which the agent looks up."""
    from gpuwatch.agent.whose import pid_of  # noqa: PLC0415  see above

    if (pid := pid_of(text)) is None:
        return text
    from gpuwatch.agent.explanation import explained  # noqa: PLC0415  judges as the agent does, which few ask for

    try:
        return explained(pid, settings)[1].run.owner.run
    except GpuwatchError:
        return text  # a job's number


def _granted(run: str, answer: dict[str, Any], again: tuple[str, ...]) -> list[str]:
    """What holds now, and where it does not yet."""
    from gpuwatch.agent.whose import slurm_job  # noqa: PLC0415  see above

    until = datetime.fromtimestamp(answer["until_unix"]).astimezone().isoformat(" ", "minutes")
    lines = [f"{run} is snoozed until {until} on {clean(str(answer.get('node', 'this node')))}"]
    if answer.get("is_shared"):
        lines.append("on its other nodes nobody is told either, as soon as Prometheus shows it there")
    elif job := slurm_job(run):
        said = shlex.join(("srun", f"--jobid={job}", "--overlap", "--ntasks-per-node=1", *again))
        lines.append(f"no Prometheus is configured to tell its other nodes, if it has any: {said}")
    else:
        lines.append(f"no Prometheus is configured to tell its other nodes, if it has any: there, {shlex.join(again)}")
    if not answer.get("kept"):
        lines.append("the agent cannot write it down: it ends with the agent")
    return lines
