"""Processes from /proc: parsed as text, read from a folder, and found in the real kernel."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuwatch.model import Identity, Lineage
from gpuwatch.sense.census import Census
from gpuwatch.sense.process import parse_stat, read_lineage, read_process, read_stat, read_tree

TICKS = os.sysconf("SC_CLK_TCK")


def stat_line(
    pid: int, *, name: bytes = b"python", parent: int = 1, cpu: tuple[int, int, int, int] = (0, 0, 0, 0), start: int = 5
) -> bytes:
    tail = [parent, pid, pid, 0, -1, 4194304, 9, 9, 9, 9, *cpu, 20, 0, 3, 0, start, 1 << 20, 25, 0]
    return b"%d (%s) S " % (pid, name) + " ".join(map(str, tail)).encode()


class FakeProc:
    """A /proc of our own, in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(self, pid: int, *, parent: int = 1, start: int = 5, cpu: tuple[int, int, int, int] = (0, 0, 0, 0)) -> None:
        folder = self.root / str(pid)
        (folder / "task" / str(pid)).mkdir(parents=True)
        (folder / "stat").write_bytes(stat_line(pid, parent=parent, start=start, cpu=cpu))
        (folder / "cmdline").write_bytes(b"python\0train.py\0")
        (folder / "task" / str(pid) / "children").write_text("")
        siblings = self.root / str(parent) / "task" / str(parent) / "children"
        if siblings.exists():
            siblings.write_text(siblings.read_text() + f"{pid} ")


@pytest.fixture
def proc(tmp_path: Path) -> FakeProc:
    return FakeProc(tmp_path)


def test_a_name_may_hold_anything() -> None:
    stat = parse_stat(stat_line(7, name=b"a) S 1 (\xff", parent=3, cpu=(1, 2, 3, 4), start=99))
    assert (stat.name, stat.parent, stat.cpu_ticks, stat.start_ticks) == ("a) S 1 (\ufffd", 3, 10, 99)


@given(st.binary(max_size=40))
def test_no_name_breaks_the_parser(name: bytes) -> None:
    assert parse_stat(stat_line(7, name=name, start=99)).start_ticks == 99


def test_the_lineage_goes_up_to_init(proc: FakeProc) -> None:
    proc.add(10, start=1)
    proc.add(20, parent=10, start=2)
    proc.add(30, parent=20, start=3)
    lineage = read_lineage(30, proc.root)
    assert lineage is not None
    assert [process.identity.pid for process in lineage.members] == [30, 20, 10]
    assert lineage.process.arguments == ("python", "train.py")


def test_a_parent_younger_than_its_child_is_somebody_else(proc: FakeProc) -> None:
    proc.add(10, start=9)
    proc.add(20, parent=10, start=2)
    lineage = read_lineage(20, proc.root)
    assert lineage is not None
    assert [process.identity.pid for process in lineage.members] == [20]


def test_a_process_that_is_gone_is_no_error(proc: FakeProc) -> None:
    assert read_process(77, proc.root) is None
    assert read_lineage(77, proc.root) is None
    assert read_stat(77, proc.root) is None
    assert read_tree([Identity(77, 1)], proc.root) is None


def test_a_tree_counts_each_process_once(proc: FakeProc) -> None:
    proc.add(10, cpu=(1, 1, 0, 0))
    proc.add(20, parent=10, cpu=(2, 0, 0, 0))
    proc.add(30, parent=20, cpu=(4, 0, 0, 2))
    tree = read_tree([Identity(10, 5), Identity(30, 5)], proc.root)
    assert tree is not None
    assert tree.cpu_seconds * TICKS == pytest.approx(10)


def test_a_root_whose_pid_is_used_again_is_not_counted(proc: FakeProc) -> None:
    proc.add(10, start=6)
    assert read_tree([Identity(10, 5)], proc.root) is None


def test_children_of_all_threads_and_of_children_are_found() -> None:
    program = (
        "import subprocess, sys, threading, time\n"
        "start = lambda: subprocess.Popen(['sleep', '60'])\n"
        "t = threading.Thread(target=start); t.start(); t.join()\n"
        "children = [start()]; print(flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, process_group=0) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        lineage = read_lineage(parent.pid)
        assert lineage is not None
        tree = read_tree([lineage.process.identity])
        alone = read_stat(parent.pid)
        os.killpg(parent.pid, 9)
    assert tree is not None
    assert alone is not None
    assert tree.memory_bytes > alone.memory_bytes


def test_a_thousand_children_are_all_seen() -> None:
    program = "i=0; while [ $i -lt 1000 ]; do sleep 60 & i=$((i+1)); done; echo; wait"
    with subprocess.Popen(["sh", "-c", program], stdout=subprocess.PIPE, process_group=0) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        lineage, child = read_lineage(parent.pid), read_stat(parent.pid + 1)
        assert lineage is not None
        tree = read_tree([lineage.process.identity])
        os.killpg(parent.pid, 9)
    assert tree is not None
    assert child is not None
    assert tree.memory_bytes > 900 * child.memory_bytes * 0.5


def test_a_tree_ends_where_another_run_begins(proc: FakeProc) -> None:
    proc.add(10, cpu=(1, 0, 0, 0))
    proc.add(20, parent=10, cpu=(2, 0, 0, 0))
    proc.add(30, parent=20, cpu=(4, 0, 0, 0))
    tree = read_tree([Identity(10, 5)], proc.root, others={20})
    assert tree is not None
    assert tree.cpu_seconds * TICKS == pytest.approx(1)


def reader(proc: Path) -> Callable[[Iterable[int]], Mapping[int, Lineage | None]]:
    return lambda pids: {pid: read_lineage(pid, proc) for pid in pids}


def test_the_census_reads_a_process_once_and_notices_its_end() -> None:
    read: list[int] = []

    def counted(pids: Iterable[int]) -> Mapping[int, Lineage | None]:
        pids = list(pids)
        read.extend(pids)
        return {pid: read_lineage(pid) for pid in pids}

    census = Census(counted)
    with subprocess.Popen(["sleep", "60"]) as process:
        first = census.look([process.pid])
        assert census.look([process.pid]) == first
        assert read == [process.pid]
        process.kill()
    assert census.look([process.pid]) == first, "a process that has ended stays while the driver lists it"
    assert census.look([]) == {}
    assert census.look([process.pid]) == {}, "what was never seen alive is nobody"


def test_a_pid_that_is_used_again_is_a_new_process(proc: FakeProc) -> None:
    census = Census(reader(proc.root), proc.root)
    pid = 2**22 + 1  # over the kernel's highest: no pidfd is to be had, the start times are compared
    proc.add(pid, start=5)
    assert census.look([pid])[pid].process.identity == Identity(pid, 5)
    (proc.root / str(pid) / "stat").write_bytes(stat_line(pid, start=6))
    assert census.look([pid])[pid].process.identity == Identity(pid, 6)
    census.close()
