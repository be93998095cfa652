"""`gpuwatch run` and `gpuwatch.run`: real commands and programs, with an agent to hear them and without."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from doorway import doorway, knock, registered
from rig import wait_until

import gpuwatch
from gpuwatch.agent.door import listen
from gpuwatch.agent.registry import Registry
from gpuwatch.cli.run import summary
from gpuwatch.errors import Unheard
from gpuwatch.explicit.client import PATIENCE_SECONDS, tell
from gpuwatch.explicit.message import named_run
from gpuwatch.explicit.place import SYSTEM_SOCKET, own_socket, sockets

VARIABLES = ("GPUWATCH_RUN", "GPUWATCH_RUN_NAME", "GPUWATCH_PROJECT")
STANDARD = 0x7FFFFFFF
"""The signals up to 31: those from 32 on are the C library's own."""


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def at(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The socket of an open door, where this process and what it starts look for one."""
    path = tmp_path / "agent.sock"
    monkeypatch.setenv("GPUWATCH_SOCKET", str(path))
    with doorway(registry, path):
        yield path


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No agent listens."""
    monkeypatch.setenv("GPUWATCH_SOCKET", str(tmp_path / "nowhere"))


def started(*command: str, name: str = "resnet lr3", **given: Any) -> subprocess.Popen[str]:
    """`gpuwatch run`, running."""
    whole = [sys.executable, "-m", "gpuwatch", "run", "--name", name, *command]
    return subprocess.Popen(whole, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **given)


def ended(*command: str, **given: Any) -> tuple[int, str, str]:
    """How `gpuwatch run` ended: status, output, errors."""
    with started(*command, **given) as process:
        output, errors = process.communicate(timeout=30)
    return process.returncode, output, errors


def variables(text: str) -> list[str]:
    """The three variables as a command printed them, one a line."""
    return text.splitlines()[:3]


SHOW = ("sh", "-c", 'for v in "$GPUWATCH_RUN" "$GPUWATCH_RUN_NAME" "$GPUWATCH_PROJECT"; do echo "$v"; done; "$@"', "sh")


# The command.


def test_without_an_agent_it_is_the_command_and_nothing_else(nobody: None) -> None:
    assert ended("--", "sh", "-c", "echo out; echo err >&2; exit 7") == (7, "out\n", "err\n")


def test_the_command_is_told_which_run_it_is(nobody: None) -> None:
    _, output, _ = ended("--project", "vision", "--", *SHOW)
    run, name, project = variables(output)
    assert run.startswith("named:resnet_lr3-")
    assert (name, project) == ("resnet lr3", "vision")


def test_a_run_within_a_run_is_a_run_of_its_own(nobody: None) -> None:
    inner = (sys.executable, "-m", "gpuwatch", "run", "--name", "inner", "--")
    _, output, _ = ended("--project", "vision", "--", *SHOW, *inner, *SHOW)
    outer_run, _, _, inner_run, name, project = output.splitlines()
    assert inner_run.startswith("named:inner-")
    assert inner_run != outer_run
    assert (name, project) == ("inner", "vision")


def test_it_registers_while_it_runs(registry: Registry, at: Path) -> None:
    with started("--project", "vision", "--", *SHOW, "cat", stdin=subprocess.PIPE) as process:
        assert process.stdout is not None
        run = process.stdout.readline().strip()
        (registration,) = registered(registry).values()
        assert registered(registry).keys() == {process.pid}
        assert (registration.run, registration.name, registration.project) == (run, "resnet lr3", "vision")
        process.communicate(timeout=30)
    assert process.returncode == 0
    wait_until(lambda: not registry.entries, seconds=10, what="it is forgotten")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGQUIT])
def test_a_signal_reaches_the_command(nobody: None, number: signal.Signals) -> None:
    script = f"trap 'echo told; exit 9' {number.name[3:]}; echo ready; while :; do sleep 0.05; done"
    with started("--", "sh", "-c", script) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        output, _ = process.communicate(timeout=30)
    assert (process.returncode, output) == (9, "told\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_command_that_a_signal_ended_gives_128_and_its_number(nobody: None, number: int) -> None:
    assert ended("--", "sh", "-c", f"kill -{int(number)} $$")[0] == 128 + number


def test_the_command_has_the_signals_of_any_other(nobody: None) -> None:
    """Blocked, ignored and caught: as if the shell had started it."""
    command = ["grep", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status"]
    plain = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for ours, usual in zip(ended("--", *command)[1].splitlines(), plain.splitlines(), strict=True):
        assert (ours[:7], int(ours[7:], 16) & STANDARD) == (usual[:7], int(usual[7:], 16) & STANDARD)


def test_whoever_ignores_children_loses_no_status(nobody: None) -> None:
    def ignore() -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)

    assert ended("--", "sh", "-c", "exit 5", preexec_fn=ignore)[0] == 5


def test_the_command_has_the_terminal(nobody: None) -> None:
    """It reads from it, and Ctrl-C comes to it once, and not twice."""
    script = textwrap.dedent("""
        import signal, sys, time
        count = 0
        def told(*_):
            global count
            count += 1
        signal.signal(signal.SIGINT, told)
        print("ready", input(), flush=True)
        while not count:
            time.sleep(0.01)
        time.sleep(0.3)
        print("told", count, flush=True)
    """)
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "gpuwatch", "run", "--name", "x", "--",
                                  sys.executable, "-c", script])  # fmt: skip
    seen = b""

    def read_until(text: bytes) -> None:
        nonlocal seen
        while text not in seen:
            seen += os.read(terminal, 1024)

    os.write(terminal, b"typed\n")
    read_until(b"ready typed")
    os.write(terminal, b"\x03")
    read_until(b"told 1")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(terminal)


@pytest.mark.parametrize(
    ("command", "status", "message"),
    [
        ("/no/such", 127, "gpuwatch: cannot run /no/such: No such file or directory\n"),
        ("/etc/passwd", 126, "gpuwatch: cannot run /etc/passwd: Permission denied\n"),
    ],
)
def test_what_cannot_be_run_is_told_as_a_shell_tells(nobody: None, command: str, status: int, message: str) -> None:
    assert ended("--", command) == (status, "", message)


def test_arguments_are_left_as_they_are(nobody: None) -> None:
    assert ended("--", "printf", "%s|", "--name", "a b", "--", "-x", "*")[1] == "--name|a b|--|-x|*|"


# What is said at the end.


def row(held: float, busy: float | None, joules: float | None, peak: int | None) -> dict[str, Any]:
    return {"held_seconds": held, "busy_seconds": busy, "energy_joules": joules, "memory_peak_bytes": peak}


@pytest.mark.parametrize(
    ("rows", "lines"),
    [
        ([], []),
        (
            [row(7200.0, 3600.0, 3.6e6, 2**30), row(7200.0, 7200.0, 1.8e6, 2**31)],
            ["x held 2 GPUs for 4.0 GPU-hours in all", "used 75% of that, with 1.5 kWh",
             "peaked at 2.0 GiB of memory on one GPU"],
        ),
        (
            [row(90.0, None, None, None)],
            ["x held 1 GPU for 1.5 GPU-minutes in all", "used an unknown part of that",
             "peaked at a memory that is not known"],
        ),
    ],
)  # fmt: skip
def test_three_lines_say_what_it_held_used_and_peaked_at(rows: list[dict[str, Any]], lines: list[str]) -> None:
    assert summary(rows, "x") == lines


class Pages(BaseHTTPRequestHandler):
    """An agent's status: whoever is registered held a GPU, of which the first answer does not know the last yet."""

    def do_GET(self) -> None:
        assert isinstance(self.server, Told)
        (said,) = registered(self.server.registry).values()
        self.server.asked += 1
        at_end = self.server.asked > 1
        rows = [{"run": said.run, **row(120.0 if at_end else 60.0, 60.0, None, 2**30)}, {"run": "named:other"}]
        taken = time.time() + (at_end or -60)
        document = {"agent": True, "taken_unix": taken, "interval_seconds": 0.01, "gpus": [{"runs": rows}]}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(document).encode())

    def log_message(self, *_: object) -> None:
        """Not into the test's output."""


class Told(HTTPServer):
    """The pages of the agent that knows these registrations."""

    def __init__(self, registry: Registry) -> None:
        super().__init__(("127.0.0.1", 0), Pages)
        self.registry = registry
        self.asked = 0


def test_the_agent_that_it_registered_with_is_asked(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "agent.sock"
    monkeypatch.setenv("GPUWATCH_SOCKET", str(path))
    with Told(registry) as pages:
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        with doorway(registry, path, url=f"http://127.0.0.1:{pages.server_port}/"):
            status, output, errors = ended("--", "sh", "-c", "echo out; exit 3")
        pages.shutdown()
    assert (status, output) == (3, "out\n")
    assert errors.splitlines() == [
        "gpuwatch: resnet lr3 held 1 GPU for 2.0 GPU-minutes in all",
        "gpuwatch: used 50% of that",
        "gpuwatch: peaked at 1.0 GiB of memory on one GPU",
    ]


# Within a program.


def test_a_stretch_of_a_program_is_a_run(registry: Registry, at: Path) -> None:
    def run() -> str:
        return registered(registry)[os.getpid()].run.rpartition("-")[0] if registry.entries else ""

    with gpuwatch.run("outer", project="vision"):
        assert registered(registry)[os.getpid()][1:3] == ("outer", "vision")
        with gpuwatch.run("inner"):
            assert run() == "named:inner"
        assert run() == "named:outer"
    assert run() == ""


def test_it_ends_with_an_error_too_and_lets_it_through(registry: Registry, at: Path) -> None:
    with pytest.raises(ZeroDivisionError), gpuwatch.run("x"):
        assert registry.entries
        _ = 1 / 0
    assert not registry.entries


def test_it_speaks_for_the_process_on_any_thread(registry: Registry, at: Path) -> None:
    begun, leave = threading.Event(), threading.Event()

    def other() -> None:
        with gpuwatch.run("other"):
            begun.set()
            leave.wait(10)

    with gpuwatch.run("main"):
        thread = threading.Thread(target=other)
        thread.start()
        begun.wait(10)
        assert registered(registry)[os.getpid()].name == "other"
    assert registered(registry)[os.getpid()].name == "other"
    leave.set()
    thread.join(10)
    assert not registry.entries


def test_a_forked_child_takes_nothing_back(registry: Registry, at: Path) -> None:
    script = textwrap.dedent("""
        import os, sys, gpuwatch
        with gpuwatch.run("parent"):
            child = os.fork()
            if child:
                os.waitpid(child, 0)
                print("forked", flush=True)
                sys.stdin.read()
    """)
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "forked\n"
        assert [said.name for said in registered(registry).values()] == ["parent"]
        process.communicate(timeout=10)
    assert not registry.entries


def test_without_an_agent_nothing_happens(nobody: None) -> None:
    with gpuwatch.run("x", project="y"):
        pass


@pytest.mark.parametrize("name", [7, None, "\ud800", "x" * 10**6])
def test_whatever_it_is_called_nothing_breaks(at: Path, name: Any) -> None:
    with gpuwatch.run(name):
        pass


def test_an_agent_that_does_not_answer_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with listen(path), knock(path), pytest.raises(Unheard, match="does not answer"):
        tell(b"{}", [path], patience=PATIENCE_SECONDS)


def test_to_import_it_costs_a_trainer_nothing() -> None:
    script = "import contextlib, sys; before = {*sys.modules}; import gpuwatch; print(*({*sys.modules} - before))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"gpuwatch", "__future__"}


# Where an agent is found.


def test_root_and_the_service_listen_where_everybody_looks_first() -> None:
    assert own_socket({"XDG_RUNTIME_DIR": "/run/user/0"}, 0) == SYSTEM_SOCKET
    assert own_socket({"RUNTIME_DIRECTORY": "/run/gpuwatch"}, 61234) == SYSTEM_SOCKET
    assert next(sockets({})) == SYSTEM_SOCKET


@pytest.mark.parametrize("environment", [{"XDG_RUNTIME_DIR": "/run/user/7"}, {"XDG_STATE_HOME": "/s"}, {"HOME": "/h"}])
def test_an_agent_of_ones_own_is_found_too(environment: dict[str, str]) -> None:
    assert own_socket(environment, 7) in list(sockets(environment))


def test_a_run_is_named_once() -> None:
    runs = {named_run("größe/../x", unix=1_790_000_000, draw=draw) for draw in range(1000)}
    assert len(runs) == 1000
    assert json.dumps(sorted(runs)).isascii()
