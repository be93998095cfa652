"""The commands that a message offers: to check the claim, to end the run, to say that it is meant, or wrong. Pure.

They are made to be pasted into a shell, and hold a run's name, which is hostile: it is one quoted word.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from typing import Final

from gpuwatch.alert.message.evidence import idle_by_node
from gpuwatch.alert.message.words import listed, plain
from gpuwatch.alert.subject import Subject, wasted_by
from gpuwatch.model.judgement import RESERVED, RunNow

_MOST_RUNS: Final = 3
_LONGEST_RUN: Final = 128
_JOB: Final = re.compile(r"slurm:(?:[^/]*/)?([0-9]{1,10}(?:_[0-9]{1,10})?)", re.ASCII)


def commands(subject: Subject) -> list[tuple[str, str]]:
    """What each does, and the command."""
    check = "\n".join([*checks([subject]), *_driver(subject)])
    return [(f"Check it, on {_nodes(subject)}", check), *answers([subject])]


def checks(subjects: Sequence[Subject]) -> list[str]:
    """To see what is claimed."""
    return _each("show", _idle_runs(subjects))


def answers(subjects: Sequence[Subject]) -> list[tuple[str, str]]:
    """To end runs, and to say that they are meant, or that the notice is wrong."""
    runs = _idle_runs(subjects)
    more = f" (and so for {len(runs) - _MOST_RUNS} more)" if len(runs) > _MOST_RUNS else ""
    return [
        (f"End it{more}", "\n".join(_ends(subjects, runs))),
        (f"It is meant: say so, for a while{more}", "\n".join(_each("snooze", runs, "--for 2h --reason 'WHY'"))),
        (f"It is not idle: say that this is wrong{more}", "\n".join(_each("snooze", runs, "--wrong --reason 'WHY'"))),
    ]


def _idle_runs(subjects: Iterable[Subject]) -> list[str]:
    """The runs that waste a GPU, each once."""
    wasting = (run.owner.run for subject in subjects for run in subject.runs if wasted_by(run))
    return list(dict.fromkeys(wasting))


def _ends(subjects: Iterable[Subject], runs: Sequence[str]) -> list[str]:
    """Of a job without a process nothing is there to be stopped: only its scheduler ends it."""
    at_work = {run.owner.run for subject in subjects for run in subject.runs if _has_process(run)}
    jobs = {run: job[1] for run in runs if run not in at_work and (job := _JOB.fullmatch(run))}
    return [f"scancel {jobs[run]}" if run in jobs else _each("stop", [run])[0] for run in runs[:_MOST_RUNS]]


def _has_process(run: RunNow) -> bool:
    return any(held.judgement.verdict != RESERVED for held in run.devices)


def _each(command: str, runs: Sequence[str], rest: str = "") -> list[str]:
    words = (shlex.quote(plain(run, _LONGEST_RUN)) for run in runs[:_MOST_RUNS])
    return [f"gpuwatch {command} {word} {rest}".rstrip() for word in words]


def _driver(subject: Subject) -> list[str]:
    """What the driver itself says of the idle GPUs of the first node; of an instance, its card does."""
    node, gpus = next(iter(idle_by_node(subject).items()))
    cards = dict.fromkeys(gpu.partition(":")[0] for gpu in gpus)
    where = f"  # on {plain(node)}" if len(idle_by_node(subject)) > 1 else ""
    return [f"nvidia-smi -i {shlex.quote(','.join(map(plain, cards)))}{where}"]


def _nodes(subject: Subject) -> str:
    return listed([plain(node) for node in idle_by_node(subject)], _MOST_RUNS)
