"""A past in which a run held GPUs of a node and did nothing, written into the state of its agent before that starts."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from node import environment
from standin.cards import Gpu
from standin.script import Trace
from standin.trace import steady_trace

from gpuwatch.account.device import Outcome
from gpuwatch.account.ledger import LINGER_SECONDS, Ledger
from gpuwatch.agent.record import Record
from gpuwatch.attribute.person import read_user_name
from gpuwatch.model import DeviceUse, GpuInfo, Identity, Mark, Owner, Run, States, Use
from gpuwatch.sense.clocks import read_boot_id, read_boottime, read_unix
from gpuwatch.state.store import Store
from gpuwatch.units import HOUR, MINUTE

PERSON = read_user_name(os.getuid())
RUN = Owner(PERSON, "vision", "wandb:xu3ab252")
LINK = "https://wandb.ai/team/vision/runs/xu3ab252"
BUSY_FROM = 1800.0
"""In the trace, in seconds: before, its GPUs are held and not used."""
_BEFORE_SECONDS = 0.001
"""What is recorded at the end of a minute is of that minute."""
_TRACE_SECONDS = 7200.0


def idle_trace(node: str, gpus: int) -> Trace:
    """GPUs that one process each holds, and uses from BUSY_FROM on; those of another node are others."""
    trace = steady_trace(gpus, 1, _TRACE_SECONDS, 0.8)
    return replace(
        trace,
        gpus=tuple(replace(gpu, uuid=f"{gpu.uuid}-{node}") for gpu in trace.gpus),
        bursts=tuple(replace(burst, start=BUSY_FROM) for burst in trace.bursts),
    )


@contextmanager
def idler(folder: Path) -> Iterator[int]:
    """The pid of a process of RUN, which does nothing."""
    variables = {"WANDB_RUN_ID": "xu3ab252", "WANDB_PROJECT": "vision", "WANDB_ENTITY": "team", "WANDB_NAME": "resnet"}
    with subprocess.Popen(
        ["sleep", "3600"], env=environment(folder) | variables, cwd="/", stdin=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            yield process.pid
        finally:
            process.kill()


def waste(directory: Path, gpus: Sequence[Gpu], *, minutes: int) -> None:
    """Let RUN have held these GPUs for so long, up to now, and not used them."""
    now = read_unix()
    boot_unix = now - read_boottime()
    infos = {gpu.uuid: GpuInfo(gpu.uuid, index, gpu.name, gpu.pci_bus_id) for index, gpu in enumerate(gpus)}
    with closing(Store(directory, unix=now)) as store:
        ledger = Ledger()
        record = Record(ledger, store)
        saved = store.load(unix=now, boot_id=read_boot_id(), boot_unix=boot_unix, run_seconds=LINGER_SECONDS)
        record.restore(saved, boottime=now - boot_unix, unix=now)
        last = int(now // MINUTE)
        ends = [*(minute * MINUTE - _BEFORE_SECONDS for minute in range(last - minutes + 1, last + 1)), now]
        start = float((last - minutes) * MINUTE)
        ledger.describe(RUN, Run(RUN, Identity(1, 1), now - 3 * HOUR, "wandb"))
        for end in ends:
            for gpu in gpus:
                _hold(ledger, gpu, end - start, end - boot_unix, end)
            record.save(infos, unix=end)
            start = end


def _hold(ledger: Ledger, gpu: Gpu, seconds: float, at: float, unix: float) -> None:
    joules = gpu.idle_watts * seconds
    outcome = Outcome(
        Mark(at, at, None), DeviceUse(0.0, joules, states=States(idle=seconds)), {RUN: Use(seconds, 0.0, joules)}
    )
    ledger.enter(gpu.uuid, outcome, unix=unix)


def boottime_of_busy() -> int:
    """Where the trace has to begin (CLOCK_BOOTTIME in microseconds) for its GPUs to be used from now on."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000 - round(BUSY_FROM * 1e6)
