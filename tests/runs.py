"""Records of one run by hand: what each GPU did in each minute; and commands that read two of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from history import Charge, FakeHistory

from gpuwatch.cli import command
from gpuwatch.model import Identity, Owner, Run
from gpuwatch.model.history import Bin, RunOnDevice, RunRecord
from gpuwatch.report.run.stretches import Limits
from gpuwatch.report.run.summary import Asked, Summary, summarize
from gpuwatch.units import HOUR, MINUTE

T0 = 1_790_000_040.0  # a whole minute: 2026-09-21 13:34 UTC
GIB = 2**30
ANN = Owner("ann", "vision", "wandb:x1")
BEN = Owner("ben", "nlp", "slurm:4711")
LIMITS = Limits(0.05, 15 * MINUTE)
ASKED = Asked(source="a record in memory", simulated=False, meant_by="")


def on_gpu(
    gpu: str, uses: Sequence[float | None], *, node: str = "n7", start: float = T0, seconds: float = MINUTE,
    sm: float | None = None, peak: int | None = 60 * GIB, capacity: float = 1.0,
) -> RunOnDevice:  # fmt: skip
    """A GPU of 80 GiB that is held in each bin with a use, to that share; None is a bin that is not there."""
    bins = [
        Bin(start + place * seconds, seconds, seconds, use * seconds, 300.0 * seconds, (sm or 0.0) * seconds)
        for place, use in enumerate(uses)
        if use is not None
    ]
    return RunOnDevice(
        node, gpu, f"GPU-{node}-{gpu}", "H100", capacity, 80 * GIB, peak, sm is not None, tuple(bins)
    )  # fmt: skip


def a_run(
    *devices: RunOnDevice, cores: Sequence[float] = (), owner: Owner = ANN, kind: str = "batch", started: float = T0
) -> RunRecord:
    """A run on these, with so many CPU cores busy in each minute."""
    about = Run(owner, Identity(7, 700), started, "wandb", "resnet", kind, "4711", "https://wandb.example/x1")
    cpu = tuple((T0 + place * MINUTE, float(MINUTE), busy * MINUTE) for place, busy in enumerate(cores))
    return RunRecord(owner, about, devices, cpu)


def summary_of(record: RunRecord, *, now: float = T0 + 30 * HOUR) -> Summary:
    """Its summary a day later, without a price."""
    summary = summarize(record, LIMITS, now_unix=now)
    assert summary is not None
    return summary


class Record(FakeHistory):
    """One that is opened and closed."""

    def close(self) -> None:
        pass


class FakeMachine:
    """Runs commands on a record in memory: ann's run and ben's, both called resnet."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.record = Record()
        self.add(ANN, use=0.5)
        self.add(BEN, use=0.9, batch_job="4711")
        self._config = folder / "config.toml"
        self._config.write_text("")
        monkeypatch.setattr("gpuwatch.state.history.open_history", lambda *_, **__: self.record)

    def add(
        self, owner: Owner, *, use: float, minutes: int = 60, batch_job: str = "", seconds: float = 60.0,
        name: str = "resnet",
    ) -> None:  # fmt: skip
        """A run that uses its GPU so much, in minutes of which it holds it for so many seconds."""
        charges = [Charge(T0 + n * MINUTE, owner, seconds, seconds * use, seconds=60.0) for n in range(minutes)]
        self.record.charges = [*self.record.charges, *charges]
        run = Run(owner, Identity(1, 2), T0, owner.run.partition(":")[0], name, "batch", batch_job)
        self.record.runs = [*self.record.runs, run]

    def configure(self, text: str) -> None:
        self._config.write_text(text)

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(command, [*arguments, "--config", str(self._config), "--state-dir", "/nowhere"])
