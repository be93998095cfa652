"""What a process shows of its run: read from real processes, bounded where a user makes it huge or strange."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuwatch.attribute.traces import ALLOWED, parse_cgroup, parse_environment, parse_has_terminal, read_traces
from gpuwatch.attribute.watch import LISTING_SECONDS, READING_RIGHTS, Watch, read_regular

NOW = 1000.0
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        (b"", {}),
        (b"RANK=0\0WANDB_API_KEY=s3cret\0AWS_SECRET_ACCESS_KEY=s3cret\0", {"RANK": "0"}),
        (b"RANK=0\0RANK=1\0", {"RANK": "0"}),
        (b"RANK\0RANK=\0", {"RANK": ""}),
        (b"XRANK=0\0 RANK=0\0RANK=a=b", {"RANK": "a=b"}),
        (b"GPUWATCH_RUN=\xff\x00", {"GPUWATCH_RUN": "\ufffd"}),
        (b"WANDB_NAME=" + "ß".encode() * 9999, {"WANDB_NAME": "ß" * 512}),
    ],
    ids=["empty", "secrets", "the first counts", "no value", "only the whole name", "no text", "long"],
)
def test_only_allowed_variables_are_kept(data: bytes, kept: dict[str, str]) -> None:
    assert parse_environment(data) == kept


def test_no_secret_is_allowed() -> None:
    assert not [name for name in ALLOWED if "KEY" in name or "TOKEN" in name or "SECRET" in name or "PASS" in name]


@given(st.binary(max_size=200), st.sampled_from(sorted(ALLOWED)))
def test_any_environment_is_read(data: bytes, name: str) -> None:
    for environment in (data, name.encode() + b"=" + data):
        kept = parse_environment(environment)
        assert kept.keys() <= ALLOWED
        assert all(len(value) <= 512 for value in kept.values())


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("0::/user.slice/user-1000.slice\n", "/user.slice/user-1000.slice"),
        ("12:cpu,cpuacct:/slurm/uid_1/job_7\n3:memory:/slurm/uid_1/job_7\n1:name=systemd:/a:b\n0::/\n",
         "/slurm/uid_1/job_7\n/a:b\n/"),
        ("", ""),
        ("rubbish\n:\n", ""),
    ],
    ids=["v2", "v1", "empty", "rubbish"],
)  # fmt: skip
def test_a_cgroup_is_its_paths(text: str, paths: str) -> None:
    assert parse_cgroup(text) == paths


@pytest.mark.parametrize(
    ("data", "has"),
    [
        (b"7 (python) S 1 7 7 34816 7 4194560", True),
        (b"7 (python) S 1 7 7 0 -1 4194560", False),
        (b"7 (a) S 1 2 3 4) S 1 7 7 0 -1 4194560", False),
        (b"", False),
    ],
)
def test_a_terminal_stands_in_stat(data: bytes, has: bool) -> None:
    assert parse_has_terminal(data) is has


@contextmanager
def shell(script: str, *, uid: int | None = None, **environment: str) -> Iterator[int]:
    """The pid of a shell that runs `script`, has said so, and waits."""
    user = [] if uid is None else ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    with subprocess.Popen(
        [*user, "sh", "-c", f"{script}\necho ready; read wait"],
        env={"PATH": os.environ["PATH"], **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process.pid
        process.kill()


def test_a_real_process_is_read() -> None:
    with shell("", SLURM_JOB_ID="4711", WANDB_API_KEY="s3cret", PYTHONHASHSEED="0") as pid:
        traces = read_traces(Watch(pid), now=NOW)
    assert traces.environment == {"SLURM_JOB_ID": "4711"}
    assert traces.cgroup.startswith("/")
    assert not traces.unread
    assert "s3cret" not in repr(traces)


def test_a_process_that_has_ended_shows_nothing() -> None:
    with shell("") as pid:
        pass
    traces = read_traces(Watch(pid), now=NOW)
    assert (traces.environment, traces.cgroup, traces.tracked, traces.unread) == ({}, "", (), {})


@as_root
def test_what_may_not_be_read_says_which_right_is_missing() -> None:
    script = "import sys; from gpuwatch.attribute.traces import *; from gpuwatch.attribute.watch import Watch\n"
    script += "traces = read_traces(Watch(int(sys.argv[1])), now=0.0); print(dict(traces.unread), bool(traces.cgroup))"
    without = ["setpriv", "--inh-caps=-all", "--bounding-set=-sys_ptrace,-dac_read_search,-dac_override"]
    with shell("", uid=4242) as pid:
        answer = subprocess.run(
            [*without, sys.executable, "-c", script, str(pid)], capture_output=True, text=True, check=False
        )
    unread = {"environ": READING_RIGHTS, "fd": READING_RIGHTS}
    assert answer.stdout.strip() == f"{unread} True", answer.stderr


def test_an_endless_environment_costs_little(tmp_path: Path) -> None:
    process = tmp_path / "7"
    process.mkdir()
    with (process / "environ").open("wb") as file:
        file.write(b"RANK=3\0")
        file.seek((1 << 20) - 8)
        file.write(b"\0WORLD_SIZE=8\0")  # cut in the middle of its name, which must not make another one of it
        file.truncate(1 << 30)
    began = time.monotonic()
    traces = read_traces(Watch(7, tmp_path), now=NOW)
    assert traces.environment == {"RANK": "3"}
    assert time.monotonic() - began < 2


def log_file(folder: Path, run_id: str, *, began: str = "20261120_104905") -> Path:
    """A log where W&B would put it."""
    logs = folder / "wandb" / f"run-{began}-{run_id}" / "logs"
    logs.mkdir(parents=True)
    log = logs / "debug.log"
    log.touch()
    return log


def run_file(run_id: bytes, project: bytes) -> bytes:
    """What W&B writes beside it, up to the run's record."""
    run = b"\x0a" + bytes([len(run_id)]) + run_id + b"\x1a" + bytes([len(project)]) + project
    record = b"\x8a\x01" + bytes([len(run)]) + run
    head = struct.pack("<IHB", zlib.crc32(b"\x01" + record), len(record), 1)
    return b":W&B\xe1\xbe\x00" + head + record


def ids(watch: Watch) -> list[str]:
    return [run.id for run in watch.tracked]


def test_a_log_is_noticed_when_it_is_opened_and_when_it_is_closed(tmp_path: Path) -> None:
    watch = Watch(os.getpid())
    assert watch.is_due(NOW)
    assert not watch.look(NOW)
    assert not watch.is_due(NOW + 1)
    with log_file(tmp_path, "xu3ab252").open("w"):
        assert watch.is_due(NOW + 2)
        assert watch.look(NOW + 2)
        assert ids(watch) == ["xu3ab252"]
        assert not watch.look(NOW + 3)
    assert watch.is_due(NOW + 4)
    assert watch.look(NOW + 4)
    assert ids(watch) == []


def test_a_process_that_opens_files_all_the_time_is_listed_seldom(tmp_path: Path) -> None:
    watch = Watch(os.getpid())
    listed = 0
    with ExitStack() as opened:
        for second in range(30):
            opened.enter_context((tmp_path / f"batch{second}").open("w"))
            if watch.is_due(NOW + second):
                listed += 1
                watch.look(NOW + second)
        assert 30 / 5 <= listed <= 30 / 2
        opened.enter_context(log_file(tmp_path, "xu3ab252").open("w"))
        assert any(watch.is_due(NOW + second) and watch.look(NOW + second) for second in (30, 31, 32, 33))


def test_a_descriptor_that_is_used_again_is_another_run(tmp_path: Path) -> None:
    watch = Watch(os.getpid())
    with log_file(tmp_path, "first").open("w") as first, log_file(tmp_path, "second").open("w") as second:
        watch.look(NOW)
        assert ids(watch) == ["first", "second"]
        os.dup2(second.fileno(), first.fileno())
        assert watch.is_due(NOW + 10)
        assert watch.look(NOW + 10)
        assert set(ids(watch)) == {"second"}


def test_what_took_the_place_of_another_file_is_found_in_time(tmp_path: Path) -> None:
    watch = Watch(os.getpid())
    with (tmp_path / "other").open("w") as other, log_file(tmp_path, "hidden").open("w") as log:
        descriptor = os.dup(other.fileno())
        saved = os.dup(log.fileno())
        os.dup2(other.fileno(), log.fileno())
        os.dup2(other.fileno(), saved)
        watch.look(NOW)
        with Path(log.name).open("w") as again:
            os.dup2(again.fileno(), descriptor)
        assert watch.is_due(NOW + LISTING_SECONDS)
        assert watch.look(NOW + LISTING_SECONDS)
        assert ids(watch) == ["hidden"]
        os.close(descriptor)
        os.close(saved)


def test_runs_stand_in_the_order_in_which_they_began(tmp_path: Path) -> None:
    watch = Watch(os.getpid())
    later, sooner = log_file(tmp_path, "b", began="20261120_104906"), log_file(tmp_path, "a", began="20261120_104905")
    with later.open("w"), sooner.open("w"):
        watch.look(NOW)
    assert ids(watch) == ["a", "b"]


def test_a_log_that_was_deleted_is_still_one(tmp_path: Path) -> None:
    watch = Watch(os.getpid())
    log = log_file(tmp_path, "xu3ab252")
    with log.open("w"):
        log.unlink()
        watch.look(NOW)
    assert ids(watch) == ["xu3ab252"]


def test_a_run_whose_folder_is_removed_keeps_its_project(tmp_path: Path) -> None:
    watch = Watch(os.getpid())
    log = log_file(tmp_path, "x-77")
    (log.parents[1] / "run-x-77.wandb").write_bytes(run_file(b"x-77", b"vision"))
    with log.open("w"):
        watch.look(NOW)
        before = watch.tracked
        shutil.rmtree(tmp_path / "wandb")
        assert not watch.is_due(NOW + 2)
        assert not watch.look(NOW + 30)
    assert [run.project for run in before] == ["vision"]
    assert watch.tracked == before


def test_a_log_that_is_only_read_is_no_evidence(tmp_path: Path) -> None:
    watch = Watch(os.getpid())
    with log_file(tmp_path, "xu3ab252").open("r"):
        assert not watch.look(NOW)


def test_what_is_only_called_a_log_is_no_evidence(tmp_path: Path) -> None:
    watch = Watch(os.getpid())
    log = log_file(tmp_path, "xu3ab252")
    log.unlink()
    os.mkfifo(log)
    descriptor = os.open(log, os.O_RDWR | os.O_NONBLOCK)
    other = tmp_path / "run-2026-x" / "logs" / "debug.log"
    other.parent.mkdir(parents=True)
    with other.open("w"):
        assert not watch.look(NOW)
    os.close(descriptor)


@as_root
def test_a_log_of_another_user_is_no_evidence(tmp_path: Path) -> None:
    log = log_file(tmp_path, "xu3ab252")
    another = "setpriv --reuid=4242 --regid=4242 --clear-groups"
    with shell(f"exec 5>>{log}; exec {another} sh -c 'echo ready; read wait'") as pid:
        watch = Watch(pid)
        assert not watch.look(NOW)
        os.chown(log, 4242, 4242)
        assert watch.look(NOW + 1)


@as_root
def test_a_run_file_that_only_the_process_sees_is_read(tmp_path: Path) -> None:
    (tmp_path / "run").write_bytes(run_file(b"x-77", b"vision"))
    (tmp_path / "private").mkdir()
    folder = tmp_path / "private/wandb/run-20261120_104905-x-77-1"  # W&B's number for the second one of a second
    inside = (
        f"mount -t tmpfs none {tmp_path}/private; mkdir -p {folder}/logs; cp {tmp_path}/run {folder}/run-x-77.wandb"
    )
    with shell(f"exec unshare -m sh -c '{inside}; exec 5>>{folder}/logs/debug.log; echo ready; read wait'") as pid:
        watch = Watch(pid)
        assert watch.look(NOW)
        assert not folder.exists()
        assert [(run.id, run.project) for run in watch.tracked] == [("x-77", "vision")]
        assert not watch.is_waiting(NOW)


def test_the_end_of_a_process_takes_no_run_from_it(tmp_path: Path) -> None:
    with shell(f"exec 5>>{log_file(tmp_path, 'xu3ab252')}") as pid:
        watch = Watch(pid)
        assert watch.look(NOW)
    assert not watch.look(NOW + 1)
    assert ids(watch) == ["xu3ab252"]


def test_only_some_of_countless_runs_are_looked_at(tmp_path: Path) -> None:
    watch = Watch(os.getpid())
    files = [log_file(tmp_path, f"run{number:02}").open("w") for number in range(20)]
    watch.look(NOW)
    for file in files:
        file.close()
    assert len(watch.tracked) == 8


@pytest.mark.parametrize("kind", ["fifo", "link", "socket", "folder", "another's"])
def test_only_a_users_own_regular_file_is_read(tmp_path: Path, kind: str) -> None:
    path, owner = tmp_path / "run-x.wandb", os.getuid()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        (tmp_path / "secret").write_text("secret", encoding="utf-8")
        path.symlink_to(tmp_path / "secret")
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_text("secret", encoding="utf-8")
        owner += 1
    assert read_regular(str(path), owner=owner) == b""


def test_a_device_is_not_even_opened() -> None:
    assert stat.S_ISCHR(Path("/dev/tty").stat().st_mode)
    assert read_regular("/dev/tty", owner=0) == b""  # opening it raises ENXIO where there is no terminal


def test_no_more_than_a_mebibyte_of_a_run_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "run-x.wandb"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    assert len(read_regular(str(path), owner=os.getuid())) == 1 << 20
