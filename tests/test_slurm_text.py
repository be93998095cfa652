"""What `scontrol show node` says of a node, in the words of any version of Slurm."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuwatch.errors import SlurmUnavailable
from gpuwatch.model import Drain
from gpuwatch.sense.slurm import parse_node

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()
TEN = datetime(2026, 11, 20, 10, tzinfo=UTC).timestamp()
TEXT = (
    "NodeName=n7 Arch=x86_64 CoresPerSocket=1  CPUAlloc=0 CPUEfctv=2 CPUTot=2 CPULoad=0.08 AvailableFeatures=(null) "
    "ActiveFeatures=(null) Gres=gpu:8 NodeAddr=127.0.0.1 NodeHostName=n7 Version=22.05.8 OS=Linux 6.1.0 #1 SMP (x)  "
    "RealMemory=1 AllocMem=0 FreeMem=N/A Sockets=1 Boards=1 State={state} ThreadsPerCore=1 TmpDisk=0 Weight=1 "
    "Owner=N/A MCS_label=N/A NextState=DRAIN Partitions=all  BootTime=None SlurmdStartTime=None LastBusyTime=Unknown "
    "CfgTRES=cpu=1,mem=1M,billing=1 AllocTRES= CapWatts=n/a CurrentWatts=0 AveWatts=0{rest}\n"
)
"""Of a real Slurm 22.05, but for `NextState`, which stands there while a reboot is asked for."""


def node_text(state: str, rest: str = "") -> str:
    return TEXT.format(state=state, rest=rest)


@pytest.mark.parametrize(
    "state",
    (
        "IDLE+DRAIN MIXED+DRAIN ALLOCATED+DRAIN DOWN+DRAIN+NOT_RESPONDING UNKNOWN+DRAIN DOWN*+DRAIN "
        "IDLE+CLOUD+DRAIN+POWERED_DOWN IDLE+COMPLETING+DRAIN IDLE+MAINTENANCE+RESERVED IDLE+MAINT IDLE*+MAINT "
        "DRAINED DRAINED* DRAINING@ DRAINED$ MAINT* IDLE+FAIL+NOT_RESPONDING FAILING* idle+drain"
    ).split(),
)
def test_what_was_taken_out_by_decision_is_drained(state: str) -> None:
    assert parse_node(node_text(state), unix=NOW) == Drain(NOW, "", "slurm")


@pytest.mark.parametrize(
    "state",
    (
        "IDLE MIXED ALLOCATED+ ALLOCATED+COMPLETING DOWN DOWN* DOWN+NOT_RESPONDING UNKNOWN IDLE~ IDLE+PLANNED "
        "MIXED- IDLE+RESERVED IDLE+CLOUD+POWERED_DOWN IDLE+REBOOT_REQUESTED INVAL FUTURE DOWN+INVALID_REG "
        "IDLE+POWERING_UP IDLE+DYNAMIC_NORM ERROR ?"
    ).split(),
)
def test_what_nobody_took_out_is_in_service(state: str) -> None:
    assert parse_node(node_text(state, " Reason=DRAIN State=DRAINED [root@2026-11-20T10:00:00]"), unix=NOW) is None


@pytest.mark.parametrize(
    ("rest", "drain"),
    [
        (" Reason=bad fan [root@2026-11-20T10:00:00]", Drain(TEN, "bad fan", "slurm:root")),
        (
            " Reason=[x@y] State=IDLE [z] [a@corp@2026-11-20T10:00:00]",
            Drain(TEN, "[x@y] State=IDLE [z]", "slurm:a@corp"),
        ),
        (" Reason=two [root@2026-11-20T10:00:00]        lines Comment=c", Drain(TEN, "two", "slurm:root")),
        (" Reason=later [root@2026-11-20T12:00:01]", Drain(NOW, "later", "slurm:root")),
        (" Reason=no time [root@2026-13-20T10:00:00]", Drain(NOW, "no time", "slurm:root")),
        (" Reason=no stamp", Drain(NOW, "no stamp", "slurm")),
        (" Reason=\x1b[31mred\u202e [root@2026-11-20T10:00:00]", Drain(TEN, "[31mred", "slurm:root")),
        (f" Reason={'x' * 999} [root@2026-11-20T10:00:00]", Drain(TEN, "x" * 128, "slurm:root")),
        (" Comment=Reason [x@2026-11-20T10:00:00]", Drain(NOW, "", "slurm")),
    ],
)
def test_why_since_when_and_by_whom(rest: str, drain: Drain) -> None:
    assert parse_node(node_text("IDLE+DRAIN", rest), unix=NOW) == drain


@given(st.text(), st.sampled_from(["", " State=", " State=IDLE+DRAIN", " State=IDLE+DRAIN Reason="]), st.text())
def test_any_text_is_an_answer_or_none(before: str, middle: str, after: str) -> None:
    try:
        drain = parse_node(before + middle + after, unix=NOW)
    except SlurmUnavailable as error:
        assert str(error).isprintable()
    else:
        assert drain is None or (drain.since_unix <= NOW and len(drain.reason) <= 128 and drain.reason.isprintable())


def test_what_says_no_state_is_no_answer() -> None:
    for text in ("", "Node n7 not found\n", "NextState=IDLE"):
        with pytest.raises(SlurmUnavailable, match="scontrol shows no state of this node"):
            parse_node(text, unix=NOW)
