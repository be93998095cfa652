"""Which job holds which GPU, in the words of Slurm; commands that misbehave; what users write into jobs' names."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rig import wait_until

from gpuwatch.attribute.case import Confidence, Site
from gpuwatch.attribute.reserved import allocation_claim
from gpuwatch.errors import SlurmUnavailable
from gpuwatch.model import Allocation
from gpuwatch.sense.allocation import (
    CHANGED_SECONDS,
    UNCHANGED_SECONDS,
    SlurmAllocations,
    find_allocations,
    parse_allocations,
    parse_gpus,
)
from gpuwatch.sense.hostlist import is_listed
from gpuwatch.sense.inquiry import PATIENCE_SECONDS, STANDS_SECONDS, slurm_environment
from gpuwatch.sense.slurm import parse_gpus_in_use

BEGAN = datetime(2026, 11, 20, 10, tzinfo=UTC).timestamp()
ANN = Allocation("4711", "", 1000, "ann", "vision", "train", BEGAN)
DETAIL = "     Nodes=n7 CPU_IDs=0 Mem=0 GRES=gpu:h100:2(IDX:0-1)"


def answer(
    head: str = "4711 1000 2026-11-20T10:00:00 ann", details: str = DETAIL, account: str = "vision", name: str = "train"
) -> str:
    """What the script gives of one job."""
    return f"{head}\0{details}\0{account}\n\0{name}\n\0"


@pytest.mark.parametrize(
    ("text", "gpus"),
    [
        ("gpu:1(IDX:0)", {0}),
        ("gpu(IDX:0-1)", {0, 1}),
        ("gpu:h100:3(IDX:0-1,5)", {0, 1, 5}),
        ("gpu:h100:1(IDX:2),gpu:a100:2(IDX:4-5)", {2, 4, 5}),
        ("license:1,gpu:nvidia_h100_80gb_hbm3_1g.10gb:1(IDX:6)", {6}),
        ("gpu:h100:0(IDX:N/A)", set()),
        ("shard:h100:2(1/4,1/4),mps:100(IDX:0)", set()),
        ("gpu:1(IDX:0-99999999)", set()),
        ("gpu:1(IDX:0-9999)", set()),
        ("gpu:1(IDX:3-1)", set()),
        ("", set()),
        ("(null)", set()),
    ],
)
def test_the_gpus_of_a_list_of_resources(text: str, gpus: set[int]) -> None:
    assert parse_gpus(text) == gpus


@pytest.mark.parametrize(
    ("hostlist", "listed"),
    [
        ("n7", True),
        ("n[7-9]", True),
        ("n[1-3,7],login1", True),
        ("login1,n7", True),
        ("n[007-009]", False),
        ("n[1-6]", False),
        ("n70", False),
        ("n[70]", False),
        ("x", False),
        ("", False),
        ("n[", False),
        ("n[]", False),
        (".*", False),
        ("[0-9]" * 9, False),
    ],
)
def test_a_node_is_in_a_hostlist(hostlist: str, listed: bool) -> None:
    assert is_listed("n7", hostlist) is listed


@pytest.mark.parametrize(("node", "listed"), [("gpu008", True), ("gpu8", False), ("gpu011", False), ("gpu0008", False)])
def test_leading_zeros_are_part_of_a_name(node: str, listed: bool) -> None:
    assert is_listed(node, "gpu[001-010]") is listed


def test_a_rack_and_a_number_are_two_ranges() -> None:
    assert is_listed("r2n17", "r[1-2]n[10-19]")
    assert not is_listed("r3n17", "r[1-2]n[10-19]")


@given(st.integers(0, 2000), st.integers(0, 2000), st.integers(0, 2000), st.integers(1, 5))
def test_a_range_holds_what_is_between_its_ends(number: int, first: int, last: int, width: int) -> None:
    hostlist = f"n[{first:0{width}}-{last:0{width}}]"
    assert is_listed(f"n{number:0{width}}", hostlist) is (first <= number <= last)


def test_gpus_in_use_stand_in_the_nodes_text() -> None:
    text = "NodeName=n7 Gres=gpu:h100:4 GresUsed=gpu:h100:2(IDX:0,3) State=MIXED Reason=x GresUsed=gpu(IDX:9)"
    assert parse_gpus_in_use(text) == {0, 3}
    assert parse_gpus_in_use("NodeName=n7 Gres=(null) State=IDLE") == frozenset()


def test_each_gpu_of_a_job_is_its() -> None:
    assert parse_allocations(answer(), "n7") == {0: ANN, 1: ANN}


@pytest.mark.parametrize(
    ("head", "job", "array", "user"),
    [
        ("4711_3 1000 2026-11-20T10:00:00 ann", "4711_3", "4711", "ann"),
        ("4711+1 1000 2026-11-20T10:00:00 ann", "4711", "", "ann"),
        ("4711 1000 2026-11-20T10:00:00 1000", "4711", "", "uid:1000"),
        ("4711 1000 2026-11-20T10:00:00 CORP\\ann smith", "4711", "", "CORP\\ann smith"),
    ],
)
def test_who_it_is(head: str, job: str, array: str, user: str) -> None:
    held = parse_allocations(answer(head), "n7")[0]
    assert (held.job, held.array, held.uid, held.user, held.started_unix) == (job, array, 1000, user, BEGAN)


def test_of_a_job_on_many_nodes_this_ones_gpus_count() -> None:
    details = (
        "     Nodes=n[1-6] CPU_IDs=0-7 Mem=0 GRES=gpu:h100:4(IDX:0-3)\n"
        "     Nodes=n[7-8] CPU_IDs=0 Mem=0 GRES=gpu:h100:1(IDX:2)"
    )
    assert list(parse_allocations(answer(details=details), "n7")) == [2]
    assert parse_allocations(answer(details=details), "n9") == {}


def test_what_two_jobs_hold_is_nobodys_alone() -> None:
    other = answer("4712 1001 2026-11-20T10:00:00 ben", DETAIL.replace("0-1", "1-2"))
    third = answer("4713 1001 2026-11-20T10:00:00 ben", DETAIL.replace("0-1", "1"))
    held = parse_allocations(answer() + other + third, "n7")
    assert {gpu: allocation.job for gpu, allocation in held.items()} == {0: "4711", 2: "4712"}


def test_a_line_written_into_a_name_gives_nobody_a_gpu() -> None:
    """Slurm shows the name as it is: the job's own line cannot be told from that in its name."""
    forged = "     Nodes=n7 CPU_IDs=0 Mem=0 GRES=gpu:8(IDX:0-7)"
    assert parse_allocations(answer(details=f"{forged}\n{DETAIL}"), "n7") == {}


def test_a_name_tells_nobody_elses_user() -> None:
    name = "x\n   UserId=eve(1)\n4712 1 2026-11-20T10:00:00 eve\nNodes=n7 CPU_IDs=0 Mem=0 GRES=gpu:1(IDX:5)"
    assert parse_allocations(answer(name=name, account=name), "n7") == {
        gpu: ANN._replace(account=name, name=name) for gpu in (0, 1)
    }


def test_an_unknown_account_is_none() -> None:
    assert parse_allocations(answer(account="(null)"), "n7")[0].account == ""


@pytest.mark.parametrize(
    "head",
    ["", "4711", "x 1000 2026-11-20T10:00:00 ann", "4711 ann 2026-11-20T10:00:00 ann", "4711 1000 N/A ann",
     "4711_[3-9] 1000 2026-11-20T10:00:00 ann"],
)  # fmt: skip
def test_what_is_no_job_is_left_out(head: str) -> None:
    assert parse_allocations(answer(head) + answer("4712 1001 2026-11-20T10:00:00 ben"), "n7")[0].job == "4712"


@given(st.lists(st.sampled_from(["\0", "\n", DETAIL, "4711 1000 2026-11-20T10:00:00 ann"]) | st.text(max_size=9)))
def test_any_text_is_read(parts: list[str]) -> None:
    held = parse_allocations("".join(parts), "n7")
    assert all(isinstance(allocation, Allocation) for allocation in held.values())


def test_the_claim_is_that_of_the_jobs_processes() -> None:
    task = ANN._replace(job="4711_3", array="4711", name="tr\x1bain\u202e")
    claim = allocation_claim(task, Site("n7", slurm_cluster="alps"))
    assert (claim.run, claim.batch_job, claim.group) == ("slurm:alps/4711_3", "slurm:alps/4711_3", "slurm:alps/4711")
    assert (claim.user, claim.project, claim.name) == ("ann", "vision", "train")
    assert claim.confidence == Confidence.CERTAIN
    assert allocation_claim(ANN, Site("n7")).run == "slurm:4711"


class Asked:
    """Allocations that are asked for on a clock that the test drives."""

    def __init__(self, allocations: SlurmAllocations) -> None:
        self.allocations = allocations
        self.now = 0.0
        self.reserving = False

    def read(self, *in_use: int) -> Mapping[int, Allocation] | str:
        """What is known now; what the problem is where nothing is."""
        try:
            return self.allocations.read(
                frozenset(in_use), now=self.now, unix=BEGAN + self.now, reserving=self.reserving
            )
        except SlurmUnavailable as error:
            return str(error)

    def settled(self, *in_use: int) -> Mapping[int, Allocation] | str:
        """What is known once a question that is under way, or due, has come to its end."""
        self.read(*in_use)
        wait_until(lambda: self.read(*in_use) is not None and not self.allocations.is_asking, seconds=20, what="an end")
        return self.read(*in_use)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """First on PATH, with a `squeue` and a `scontrol` that do what a test says."""
    for name in ("squeue", "scontrol"):
        (tmp_path / name).write_text('#!/bin/sh\n. "$0.script"\n')
        (tmp_path / name).chmod(0o755)
        (tmp_path / f"{name}.script").write_text("exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


@pytest.fixture
def asked(folder: Path) -> Iterator[Asked]:
    allocations = SlurmAllocations("n7", slurm_environment(os.environ))
    yield Asked(allocations)
    allocations.close()


def has_job(folder: Path, number: int) -> None:
    """One job of ann's on the node, on GPU 0."""
    (folder / "squeue.script").write_text(
        f"echo again >>{folder}/asked\n"
        'case "$*" in\n'
        f"'-h -w n7 -o %i %U %S %u') echo 'squeue: a warning' >&2; echo '{number} 1000 2026-11-20T10:00:00 ann';;\n"
        f"'-h -j {number} -o %a') echo vision;;\n'-h -j {number} -o %j') echo train;;\nesac"
    )
    (folder / "scontrol.script").write_text(f"echo '     Nodes=n7 CPU_IDs=0 Mem=0 GRES=gpu:h100:1(IDX:0)' # {number}")


def test_a_job_is_known_once_it_was_asked_for(folder: Path, asked: Asked) -> None:
    has_job(folder, 4711)
    assert asked.read(0) == {}
    assert asked.settled(0) == {0: ANN}
    assert asked.read(0, 1) == {0: ANN}


def test_while_no_gpu_is_in_use_nobody_asks(folder: Path, asked: Asked) -> None:
    has_job(folder, 4711)
    for asked.now in (0.0, 60.0, 600.0):
        assert asked.settled() == {}
    assert not (folder / "asked").exists()


def test_it_is_asked_again_when_other_gpus_are_in_use_and_else_every_five_minutes(folder: Path, asked: Asked) -> None:
    times = (0.0, UNCHANGED_SECONDS - 1, UNCHANGED_SECONDS, UNCHANGED_SECONDS + CHANGED_SECONDS)
    for number, (asked.now, in_use, known) in enumerate(
        zip(times, ((0,), (0,), (0,), (0, 1)), (0, 0, 2, 3), strict=True)
    ):
        has_job(folder, number)
        held = asked.settled(*in_use)
        assert not isinstance(held, str)
        assert held[0].job == str(known)


def test_while_somebody_is_charged_by_it_it_is_asked_again_soon(folder: Path, asked: Asked) -> None:
    """The next job may have got the very same GPU."""
    has_job(folder, 1)
    asked.settled(0)
    has_job(folder, 2)
    asked.reserving, asked.now = True, CHANGED_SECONDS
    held = asked.settled(0)
    assert not isinstance(held, str)
    assert held[0].job == "2"


def test_a_gpu_that_is_in_use_no_more_is_held_no_more(folder: Path, asked: Asked) -> None:
    has_job(folder, 4711)
    asked.settled(0)
    assert asked.read(1) == {}
    assert asked.settled() == {}
    assert asked.read(0) == {}


def test_a_question_that_hangs_is_ended_with_all_that_it_began(folder: Path, asked: Asked) -> None:
    (folder / "squeue.script").write_text(f"echo $$ >{folder}/pid; exec sleep 3600")
    asked.read(0)
    wait_until(lambda: (folder / "pid").exists() and (folder / "pid").read_text() != "", seconds=20, what="its pid")
    asked.now = PATIENCE_SECONDS
    assert asked.settled(0) == f"scontrol gave no answer within {PATIENCE_SECONDS:g} s"
    pid = (folder / "pid").read_text().strip()
    wait_until(lambda: not is_alive(pid), seconds=20, what="the end of squeue")


def is_alive(pid: str) -> bool:
    """Whether it runs: what nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_what_fails_is_told_and_the_last_answer_stands_for_ten_minutes(folder: Path, asked: Asked) -> None:
    has_job(folder, 4711)
    asked.settled(0)
    (folder / "squeue.script").write_text("echo slurm_load_jobs error: gone >&2; exit 1")
    asked.now = UNCHANGED_SECONDS
    assert asked.settled(0) == {0: ANN}
    asked.now = STANDS_SECONDS
    assert asked.settled(0) == "scontrol failed: slurm_load_jobs error: gone"


def test_a_question_that_failed_is_asked_again_soon(folder: Path, asked: Asked) -> None:
    assert asked.settled(0) == "scontrol failed: it ended with status 1"
    has_job(folder, 4711)
    asked.now = CHANGED_SECONDS
    assert asked.settled(0) == {0: ANN}


def test_a_name_without_end_is_cut(folder: Path, asked: Asked) -> None:
    has_job(folder, 4711)
    script = (folder / "squeue.script").read_text()
    (folder / "squeue.script").write_text(script.replace("echo train", "exec yes train"))
    held = asked.settled(0)
    assert not isinstance(held, str)
    assert len(held[0].name) <= 512


def test_without_both_commands_nobody_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_allocations("n7") is None
    for name in ("scontrol", "squeue"):
        shutil.copy("/bin/sh", tmp_path / name)
    found = find_allocations("n7")
    assert found is not None
    assert found.read(frozenset(), now=0.0, unix=BEGAN) == {}
