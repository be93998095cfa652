"""Registration: who may say what of which process, over a real socket, and what no client can do to the agent."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from doorway import NOW_UNIX, doorway, identity, knock, registered, say, say_as
from hypothesis import given
from hypothesis import strategies as st
from rig import idle_processes, wait_until

from gpuwatch.agent import door
from gpuwatch.agent.peer import Peer, read_process_of
from gpuwatch.agent.registrations import FILE_NAME, RegistrationsFile, load
from gpuwatch.agent.registry import MOST, MOST_OF_A_USER, Entry, Registry
from gpuwatch.agent.request import Request, parse_request, parse_url
from gpuwatch.attribute.case import Registration
from gpuwatch.attribute.text import LONGEST, clean
from gpuwatch.explicit.message import LONGEST_BYTES, Announcement, encode, named_run
from gpuwatch.model import Identity, Lineage, Process

ANN, BEN = 1234, 1235
RUN = "named:resnet-k3f9z2"


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def at(registry: Registry, tmp_path: Path) -> Iterator[Path]:
    """The socket of an open door."""
    path = tmp_path / "agent.sock"
    with doorway(registry, path):
        yield path


def lineage(*members: Identity) -> Lineage:
    return Lineage(tuple(Process(member, 1, ANN, "python", ("python",)) for member in members))


# Who is in which run.


def test_the_nearest_that_said_something_counts(registry: Registry) -> None:
    child, parent, root = (Identity(pid, 7) for pid in (30, 20, 10))
    registry.enter(root, ANN, Registration("named:outer"))
    assert registry.of(lineage(child, parent, root)) == Registration("named:outer")
    registry.enter(parent, ANN, Registration("named:inner"))
    assert registry.of(lineage(child, parent, root)) == Registration("named:inner")
    assert registry.of(lineage(root)) == Registration("named:outer")
    assert registry.of(lineage(Identity(20, 8))) is None  # another process in the same pid


def test_an_ancestor_of_another_user_is_not_heard_but_root_is(registry: Registry) -> None:
    child, parent, root = (Identity(pid, 7) for pid in (30, 20, 10))
    registry.enter(parent, BEN, Registration("named:bens"))
    assert registry.of(lineage(child, parent, root)) is None
    registry.enter(root, 0, Registration("named:roots"))
    assert registry.of(lineage(child, parent, root)) == Registration("named:roots")


def test_the_version_changes_with_the_answers(registry: Registry) -> None:
    process = Identity(10, 7)

    def changes(registration: Registration | None) -> bool:
        before = registry.version
        if registration is None:
            registry.end(process)
        else:
            registry.enter(process, ANN, registration)
        return registry.version != before

    first = Registration(RUN, started_unix=1.0)
    assert changes(first)
    assert not changes(first._replace(started_unix=2.0))  # said again
    assert registry.of(lineage(process)) == first
    assert changes(first._replace(name="resnet"))
    assert changes(Registration("named:other", started_unix=3.0))
    assert changes(None)
    assert not changes(None)


def test_the_end_of_one_run_is_not_that_of_another(registry: Registry) -> None:
    process = Identity(10, 7)
    registry.enter(process, ANN, Registration("named:new"))
    registry.end(process, "named:old")
    assert registry.of(lineage(process)) is not None
    registry.end(process, "named:new")
    assert registry.of(lineage(process)) is None


def test_there_is_room_for_so_many_and_no_more(registry: Registry) -> None:
    for pid in range(MOST_OF_A_USER):
        registry.enter(Identity(pid, 1), ANN, Registration(RUN))
    with pytest.raises(ValueError, match="of this user"):
        registry.enter(Identity(MOST_OF_A_USER, 1), ANN, Registration(RUN))
    registry.enter(Identity(0, 1), ANN, Registration("named:other"))  # one that is there may change its mind
    for pid in range(MOST_OF_A_USER, MOST):
        registry.enter(Identity(pid, 1), pid, Registration(RUN))
    with pytest.raises(ValueError, match=str(MOST)):
        registry.enter(Identity(MOST, 1), BEN, Registration(RUN))
    registry.sweep(lambda process: process.pid != 3)
    registry.enter(Identity(MOST, 1), BEN, Registration(RUN))


# Over the socket.


def test_a_process_registers_itself(registry: Registry, at: Path) -> None:
    assert say(at, {"run": RUN, "name": "res\u202enet", "project": "vision", "url": "https://x.org/r/1"}) == {
        "ok": True
    }
    said = Registration(RUN, "resnet", "vision", "https://x.org/r/1", NOW_UNIX)
    assert {process: entry.registration for process, entry in registry.entries.items()} == {identity(os.getpid()): said}
    assert say(at, {"end": True}) == {"ok": True}
    assert not registry.entries


def test_all_users_may_knock(at: Path) -> None:
    assert at.stat().st_mode & 0o777 == 0o666


def test_who_registers_is_told_where_the_pages_are(registry: Registry, tmp_path: Path) -> None:
    with doorway(registry, tmp_path / "s", url="http://127.0.0.1:9469/"):
        assert say(tmp_path / "s", {"run": RUN}) == {"ok": True, "url": "http://127.0.0.1:9469/"}


def test_a_user_speaks_for_own_processes_only(registry: Registry, at: Path) -> None:
    say_as(ANN, at, {"run": RUN})
    with idle_processes(3, uids=[ANN, BEN, 0]) as (own, others, of_root):
        assert say_as(ANN, at, {"run": RUN, "pid": own}) == {"ok": True}
        for pid in (others, of_root, 1, os.getpid()):
            assert say_as(ANN, at, {"run": RUN, "pid": pid}) == {"error": "a user speaks for their own processes only"}
            assert "error" in say_as(ANN, at, {"end": True, "pid": pid})
        assert registered(registry).keys() >= {own}
        assert not registered(registry).keys() & {others, of_root, 1, os.getpid()}
        assert say_as(0, at, {"run": RUN, "pid": others}) == {"ok": True}
        assert registry.entries[identity(others)].uid == BEN


def test_in_a_container_a_process_speaks_for_itself(registry: Registry, at: Path) -> None:
    unshare = ("unshare", "--pid", "--fork", "--kill-child")
    with idle_processes(1, uids=[ANN]) as (pid,):
        answer = say_as(0, at, {"run": RUN, "pid": pid}, *unshare)
        assert answer == {"error": "from inside a container a process speaks for itself: leave out pid"}
        assert say_as(ANN, at, {"run": RUN}, *unshare) == {"ok": True}
        (spoken,) = registered(registry)
        assert spoken not in (1, pid)  # by the agent's number


def test_a_pid_that_is_used_again_is_its_new_users() -> None:
    """A peer that has ended cannot leave its word to who comes after it."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        with pytest.raises(ValueError, match="own processes"):
            read_process_of(Peer(process.pid, os.geteuid() + 1), None)
        process.stdin.close()
    with pytest.raises(ValueError, match="no such process"):
        read_process_of(Peer(process.pid, os.geteuid()), None)


def test_a_registration_ends_with_its_process(registry: Registry, at: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with idle_processes(1) as (pid,):
        assert say(at, {"run": RUN, "pid": pid}) == {"ok": True}
        assert pid in registered(registry)
    wait_until(lambda: not registry.entries, seconds=10, what="the process's end is seen")


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", None),
        (b"\xff", "one JSON object"),
        (b"[" * 4000, "one JSON object"),
        (b"x" * (LONGEST_BYTES + 1), "at most 4096 bytes"),
        (b"{}", "run must be"),
        ({"run": "adhoc:x"}, "run must be"),
        ({"run": "named:a b"}, "run must be"),
        ({"run": "named:" + "x" * 121}, "run must be"),
        ({"run": "named:x\n"}, "run must be"),
        ({"run": 7}, "run must be text"),
        ({"run": RUN, "name": ["x"]}, "name must be text"),
        ({"run": RUN, "user": "root"}, "a JSON object with"),
        ({"run": RUN, "pid": True}, "pid must be"),
        ({"run": RUN, "pid": -1}, "pid must be"),
        ({"run": RUN, "pid": 10**30}, "pid must be"),
        ({"run": RUN, "pid": 4194303}, "no such process"),
        ({"end": "yes"}, "end must be"),
    ],
)
def test_what_is_wrong_is_said(
    registry: Registry, at: Path, message: bytes | dict[str, Any], reason: str | None
) -> None:
    answer = say(at, message)
    assert answer is None if reason is None else reason in answer["error"]
    assert not registry.entries
    assert say(at, {"run": RUN}) == {"ok": True}


@given(st.binary(max_size=5000) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["run", "pid", "end", "name", "url", "x"]), inner),
).map(lambda document: json.dumps(document).encode()))  # fmt: skip
def test_any_bytes_are_a_request_or_refused(content: bytes) -> None:
    try:
        request = parse_request(content, unix=NOW_UNIX)
    except ValueError as error:
        assert str(error)
    else:
        assert isinstance(request, Request)
        assert all(clean(text) == text for text in request.registration[:4])


@given(st.text(max_size=300), st.text(max_size=2000), st.text(max_size=2000), st.integers(0, 2**32))
def test_whatever_a_run_is_called_it_is_understood(name: str, project: str, url: str, draw: int) -> None:
    said = Announcement(named_run(name, unix=NOW_UNIX, draw=draw), name, project, url)
    begin, end = (parse_request(encode(said, end=ends), unix=NOW_UNIX) for ends in (False, True))
    assert isinstance(begin, Request)
    assert isinstance(end, Request)
    assert begin.registration.run == said.run
    assert len(said.run) <= LONGEST
    assert (begin.end, end.end) == (False, True)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://x.org/#/experiments/1/runs/2", True),
        ("http://[fd00::1]:5000/", True),
        ("https://ann:geheim@x.org/", False),
        ("javascript:alert(1)", False),
        ("https://", False),
        ("https://[x/", False),
        ("https://x.org/ y", False),
        ("https://x.org/\u202e", False),
        ("https://x.org/" + "x" * LONGEST, False),
    ],
)
def test_a_page_is_one_or_nothing(url: str, shown: bool) -> None:
    assert parse_url(url) == (url if shown else "")


# Clients that mean ill.


def test_the_silent_cost_nobody_else_a_word(at: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "DEADLINE_SECONDS", 0.2)
    silent = [knock(at) for _ in range(door.MOST_CONNECTIONS_OF_A_USER)]
    try:
        assert say_as(ANN, at, {"run": RUN}) == {"ok": True}
        wait_until(lambda: _is_closed(silent[-1]), seconds=10, what="the silent are let go")
        assert say(at, {"run": RUN}) == {"ok": True}
    finally:
        for connection in silent:
            connection.close()


def test_a_flood_of_one_user_is_let_go(at: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "_PAUSE_SECONDS", 0.01)
    crowd = [knock(at) for _ in range(3 * door.MOST_CONNECTIONS_OF_A_USER)]
    wait_until(lambda: _is_closed(crowd[-1]), seconds=10, what="those over the cap are let go")
    assert not _is_closed(crowd[0])
    for connection in crowd:
        connection.close()


def test_who_come_too_often_wait(at: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "_PAUSE_SECONDS", 3600.0)
    answers = [say(at, {"run": RUN}) for _ in range(door._MOST_AT_ONCE)]
    assert answers == [{"ok": True}] * door._MOST_AT_ONCE
    with knock(at, timeout=0.1) as late, pytest.raises(TimeoutError):
        late.send(b"{}")
        late.recv(1)


def _is_closed(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return not connection.recv(1)
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


# The socket itself.


def test_a_socket_that_a_killed_agent_left_is_replaced(registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    door.listen(path).close()
    with doorway(registry, path):
        assert say(path, {"run": RUN}) == {"ok": True}
    assert not path.exists()


@pytest.mark.parametrize("left", ["another agent", "a file", "a folder", "a FIFO", "a dead link"])
def test_what_is_there_already_is_left_alone(
    registry: Registry, tmp_path: Path, left: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "agent.sock"
    other = None
    match left:
        case "another agent":
            other = door.listen(path)
        case "a file":
            path.touch()
        case "a folder":
            path.mkdir()
        case "a FIFO":
            os.mkfifo(path)
        case _:
            path.symlink_to(tmp_path / "nowhere")
    assert not door.Door(registry, path, read_unix=lambda: NOW_UNIX).start()
    assert f"no process can register its run: cannot listen on {path}: " in caplog.text
    assert os.path.lexists(path)
    if other is not None:
        other.close()


def test_where_there_can_be_no_socket_it_is_told(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    assert not door.Door(registry, Path("/proc/x" + "y" * 200), read_unix=lambda: NOW_UNIX).start()
    assert "cannot listen on /proc/" in caplog.text


# Over a restart of the agent.


def test_runs_keep_their_names_over_a_restart(registry: Registry, tmp_path: Path) -> None:
    file = RegistrationsFile(registry, tmp_path, boot_id="b")
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as ended:
        gone = identity(ended.pid)
    live, reused = identity(os.getpid()), Identity(os.getppid(), 1)
    said = Registration(RUN, "größe", "vision", "https://x.org/", NOW_UNIX)
    for process in (gone, live, reused):
        registry.enter(process, ANN, said)
    file.keep()
    for boot_id, expected in (("b", {live: Entry(ANN, said)}), ("another", {})):
        fresh = Registry()
        RegistrationsFile(fresh, tmp_path, boot_id=boot_id).restore()
        assert fresh.entries == expected


def test_the_door_keeps_what_is_new(registry: Registry, tmp_path: Path) -> None:
    file = RegistrationsFile(registry, tmp_path, boot_id="b")
    with doorway(registry, tmp_path / "s", keep=file.keep):
        say(tmp_path / "s", {"run": RUN})
        kept = tmp_path / FILE_NAME
        wait_until(kept.exists, seconds=10, what="the registration is kept")
    assert load(kept, boot_id="b") == registry.entries
    assert kept.stat().st_mode & 0o777 == 0o600


def test_what_was_said_last_is_kept_too(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = RegistrationsFile(registry, tmp_path, boot_id="b")
    with doorway(registry, tmp_path / "s", keep=file.keep):
        monkeypatch.setattr(door, "_SWEEP_SECONDS", 3600.0)
        time.sleep(0.3)
        registry.enter(Identity(os.getpid(), 7), 0, Registration("named:a-1"))
    assert "named:a-1" in (tmp_path / FILE_NAME).read_text()


def test_a_disk_that_refuses_is_told_once(registry: Registry, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = RegistrationsFile(registry, tmp_path / "nowhere", boot_id="b")
    file.restore()
    file.keep()
    file.keep()
    assert caplog.text.count("registered runs end with the agent") == 1


@pytest.mark.parametrize("text", ["", "[]", "{", '{"boot_id": "b", "processes": [[1], 7, {}]}', "[" * 10**5, "\xff"])
def test_a_damaged_file_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / FILE_NAME
    path.write_text(text, encoding="latin-1")
    assert load(path, boot_id="b") == {}
