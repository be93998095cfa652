"""The machine that an agent of the day sees: the driver's own binding, and the processes of the script.

A thousand real processes of six people would be too many to start: theirs is the one part that is not read from Linux.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set

from benchmarks.day.script import FIRST_PID, PEOPLE, Launch, NodeScript
from gpuwatch.agent.fleet import Fleet
from gpuwatch.agent.machine import Machine
from gpuwatch.attribute.case import Sighting, Traces
from gpuwatch.model import HostReading, Identity, Lineage, Process, TreeReading
from gpuwatch.sense.clocks import Clock
from gpuwatch.sense.process import TICKS_PER_SECOND

PATIENCE_SECONDS = 60.0
"""Of calls to the driver: what this machine does meanwhile must never make a GPU unknown."""
_FIRST_UID = 2000
_SHELL_PID = 900
_LAUNCH_SECONDS = 2.0
"""From the launch of a run to its context on a GPU."""
_SHELL = Process(Identity(_SHELL_PID, 0), 1, 0, "bash", ("bash",))


class ScriptedProcesses:
    """The processes of a node's script, on a boot clock that had run for `boot_seconds` at trace zero."""

    strangers_reason = ""  # all of them can be seen

    def __init__(self, node: NodeScript, *, boot_seconds: float) -> None:
        self._known = {FIRST_PID + launch.slot: _sighting(node, launch, boot_seconds) for launch in node.launches}

    def look(self, pids: Iterable[int], now: float) -> Mapping[int, Sighting]:
        """Those of `pids`; nothing of them ever changes."""
        return {pid: self._known[pid] for pid in pids}

    def user_of(self, uid: int) -> str:
        """The name of one of the people."""
        return PEOPLE[uid - _FIRST_UID].name

    def read_tree(self, roots: Iterable[Identity], others: Set[int]) -> TreeReading | None:
        """Nothing: the day is about GPUs."""
        return None

    def close(self) -> None:
        """Nothing is held."""


def machine_of(node: NodeScript, clock: Clock, *, boot_seconds: float) -> Machine:
    """The machine of a node whose driver is the stand-in of this process."""
    return Machine(
        gpus=Fleet(patience=PATIENCE_SECONDS, clock=clock),
        processes=ScriptedProcesses(node, boot_seconds=boot_seconds),
        read_host=lambda: HostReading({"user": 0.0}, memory_used_bytes=0, memory_total_bytes=1 << 40, load1=0.0),
    )


def _sighting(node: NodeScript, launch: Launch, boot_seconds: float) -> Sighting:
    """The run's process below a shell, in the environment of what launched it."""
    started = round((boot_seconds + launch.start - _LAUNCH_SECONDS) * TICKS_PER_SECOND)
    uid = _FIRST_UID + PEOPLE.index(launch.person)
    identity = Identity(FIRST_PID + launch.slot, started)
    process = Process(identity, _SHELL_PID, uid, "python", ("python", f"train_{launch.slot}.py"))
    return Sighting(Lineage((process, _SHELL)), Traces(_environment(node, launch)))


def _environment(node: NodeScript, launch: Launch) -> dict[str, str]:
    number = f"{node.name}-{launch.slot}"
    return {
        "adhoc": {},
        "wandb": {"WANDB_RUN_ID": f"w{number}", "WANDB_PROJECT": "vision"},
        "slurm": {"SLURM_JOB_ID": number.removeprefix("n").replace("-", "0"), "SLURM_JOB_ACCOUNT": "nlp"},
        "named": {"GPUWATCH_RUN": f"named:{number}", "GPUWATCH_PROJECT": "speech"},
    }[launch.source]
