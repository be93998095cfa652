"""`gpuwatch top`: the screen and what each key makes of it, and the command in a real terminal.

The screens in docs/terminal.md are what tmux captured here: `GOLDEN=write pytest tests/test_top.py` writes them anew.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from node import node
from rich.cells import cell_len
from rig import free_port, idle_processes, wait_until
from standin.driver import StandIn
from standin.trace import steady_trace
from terminals import Stub, Terminal, crowd, stub_agent, terminal

from gpuwatch.cli import command
from gpuwatch.export.status import status_document
from gpuwatch.terminal.document import parse_node
from gpuwatch.terminal.keys import DOWN, FILTER, FIRST, LAST, PAGE_DOWN, PAGE_UP, QUIT, SORT, UP, parse_keys
from gpuwatch.terminal.page import Scene
from gpuwatch.terminal.rows import EVERYTHING
from gpuwatch.terminal.screen import Looker, View, pressed, screen
from gpuwatch.terminal.table import CHOSEN, Line, text_of
from gpuwatch.terminal.watch import Watch

DOCUMENT = Path(__file__).parent.parent / "docs" / "terminal.md"
KEYS = (SORT, FILTER, UP, DOWN, PAGE_UP, PAGE_DOWN, FIRST, LAST)
EVIL = "a\x1b]0;owned\x07\u202eb\nc\r"
BEN = Looker("ben", EVERYTHING)


def scene() -> Scene:
    document = status_document(crowd())
    return Scene((parse_node(document, now_unix=document["taken_unix"]),))


def drawn(view: View, *, width: int = 80, height: int = 24, problem: str = "") -> list[Line]:
    seen = scene()
    return screen(seen, BEN.rows(seen, view), view, width=width, height=height, problem=problem)


# Keys


@pytest.mark.parametrize(
    ("sent", "keys"),
    [
        (b"q", [QUIT]),
        (b"sf", [SORT, FILTER]),
        (b"\x1b[A\x1b[B\x1bOA", [UP, DOWN, UP]),
        (b"\x1b[5~\x1b[6~ \x1b[H\x1b[4~", [PAGE_UP, PAGE_DOWN, PAGE_DOWN, FIRST, LAST]),
        (b"xz\xff\x1b[99;5X\x1b", []),
    ],
)
def test_keys_are_what_terminals_send(sent: bytes, keys: list[str]) -> None:
    assert parse_keys(sent) == keys


@given(st.binary(max_size=64))
def test_no_bytes_are_too_strange_to_be_keys(sent: bytes) -> None:
    assert set(parse_keys(sent)) <= {*KEYS, QUIT}


@given(st.lists(st.sampled_from(KEYS), max_size=20), st.integers(0, 40), st.integers(1, 60))
def test_the_bar_stays_on_a_row(keys: list[str], rows: int, height: int) -> None:
    view = View()
    for key in keys:
        view = pressed(view, key, rows=rows, height=height)
        assert 0 <= view.chosen <= max(0, rows - 1)


def test_s_and_f_go_through_all_there_are() -> None:
    view, seen = View(), []
    for _ in range(4):
        view = pressed(view, FILTER, rows=9, height=24)
        seen.append((view.only, [row.device.gpu for row in BEN.rows(scene(), view)]))
    assert seen[:3] == [("mine", ["2"]), ("idle", ["2"]), ("free", ["5"])]
    assert (seen[3][0], len(seen[3][1])) == ("all", 9)
    assert pressed(view, SORT, rows=9, height=24).sort == "idle"


# The screen


@given(st.integers(20, 220), st.integers(4, 60), st.integers(0, 12))
def test_a_screen_is_never_larger_than_the_terminal(width: int, height: int, chosen: int) -> None:
    lines = drawn(View(chosen=chosen), width=width, height=height, problem="the agent gave no status")
    assert len(lines) <= height
    assert all(cell_len(text_of(line)) <= max(width, 48) for line in lines)


@given(st.integers(8, 60), st.integers(0, 8))
def test_the_chosen_row_is_on_the_screen(height: int, chosen: int) -> None:
    barred = [line for line in drawn(View(chosen=chosen), height=height) if any(cell.style == CHOSEN for cell in line)]
    assert len(barred) == 1


def test_more_is_told_of_the_chosen_row() -> None:
    lines = [text_of(line) for line in drawn(View(chosen=2))]
    assert "n7 GPU 2: ben, adhoc:notebook.py-k3f9z2.3mv@n7" in lines
    assert "no minute at 5% or more for 3.2 h" in lines
    assert "n7 GPU 6: GPU is lost" in [text_of(line) for line in drawn(View(chosen=7))]


def test_what_others_wrote_moves_no_cursor_here() -> None:
    document = json.loads(json.dumps(status_document(crowd())))
    for gpu in document["gpus"]:
        gpu.update(uuid=EVIL, model=EVIL, gpu=EVIL)
        for run in gpu["runs"]:
            run.update(user=EVIL, project=EVIL, run=EVIL, name=EVIL, reason=EVIL, verdict=EVIL)
    seen = Scene((parse_node(document, now_unix=document["taken_unix"]),))
    for chosen in range(9):
        view = View(chosen=chosen)
        lines = screen(seen, BEN.rows(seen, view), view, width=200, height=24)
        assert all(text_of(line).isprintable() for line in lines)


def test_a_reading_that_failed_is_told() -> None:
    assert "the agent gave no status: HTTP 503" in [
        text_of(line) for line in drawn(View(), problem="the agent gave no status: HTTP 503")
    ]


def test_nothing_to_show_is_a_screen_too() -> None:
    lines = screen(scene(), [], View(), width=80, height=24)
    assert "nothing to show" in [text_of(line) for line in lines]


def test_what_ends_the_reading_ends_the_screen() -> None:
    def fail() -> Scene:
        raise ZeroDivisionError

    woken: list[None] = []
    watch = Watch(scene(), read=fail, close=lambda: None, wake=lambda: woken.append(None), period=0.0)
    watch.start()
    watch.stop(5.0)
    with pytest.raises(ZeroDivisionError):
        watch.check()
    assert woken


def test_a_reading_that_hangs_is_known_to() -> None:
    asked, answered = threading.Event(), threading.Event()

    def hang() -> Scene:
        asked.set()
        answered.wait(20.0)
        return scene()

    watch = Watch(scene(), read=hang, close=lambda: None, wake=lambda: None, period=0.0)
    assert watch.asking_seconds() == 0.0
    watch.start()
    assert asked.wait(20.0)
    assert watch.asking_seconds() > 0.0
    answered.set()
    watch.stop(20.0)
    assert watch.asking_seconds() == 0.0


def test_where_there_is_no_terminal_it_is_shown_once() -> None:
    with stub_agent() as stub:
        result = CliRunner().invoke(command, ["top", "--listen", stub.at, "--user", "ben"])
    assert (result.exit_code, len(result.output.splitlines())) == (0, 3)
    assert "\x1b" not in result.output


# In a real terminal


@pytest.fixture(scope="module")
def stub() -> Iterator[Stub]:
    with stub_agent() as running:
        yield running


def start(opened: Terminal, stub: Stub, *arguments: str) -> None:
    opened.type(" ".join([sys.executable, "-m", "gpuwatch", "top", "--listen", stub.at, *arguments]))
    opened.wait_for("q quit")


def is_given_back(opened: Terminal) -> bool:
    """The shell has the terminal, its screen is the usual one, the cursor is there, and what is typed is shown."""
    opened.wait_for("ready>")
    return opened.ask("#{alternate_on} #{cursor_flag}") == "0 1" and "echo" in _modes(opened)


def _modes(opened: Terminal) -> list[str]:
    opened.type("stty -a; echo and so it is")
    return re.split(r"[\s;]+", " ".join(opened.wait_for("and so it is")))


@pytest.mark.parametrize(("columns", "lines"), [(80, 18), (200, 18)])
def test_the_screens_of_the_documentation_are_what_a_terminal_shows(
    tmp_path: Path, stub: Stub, columns: int, lines: int
) -> None:
    with terminal(tmp_path, columns=columns, lines=lines) as opened:
        start(opened, stub)
        opened.press("Down", "Down", "Down")
        opened.wait_for("n7 GPU 3: cat")
        captured = "\n".join(opened.lines()).rstrip("\n")
        opened.press("q")
        assert is_given_back(opened)
    text = DOCUMENT.read_text(encoding="utf-8")
    begins, ends = f"<!-- {columns} columns -->\n```text\n", "\n```\n"
    head, _, rest = text.partition(begins)
    written, _, tail = rest.partition(ends)
    if os.environ.get("GOLDEN") == "write":
        DOCUMENT.write_text(f"{head}{begins}{captured}{ends}{tail}", encoding="utf-8")
        written = captured
    assert written == captured


def test_keys_sort_and_filter_in_a_terminal(tmp_path: Path, stub: Stub) -> None:
    with terminal(tmp_path) as opened:
        start(opened, stub)
        opened.press("s")
        assert opened.wait_for("s sort: idle")[2].split()[0] == "2"
        opened.press("f", "f", "f")
        assert opened.wait_for("f filter: free")[2].split()[0] == "5"
        opened.resize(60, 12)
        opened.wait_for("1 row")
        wait_until(lambda: "q quit" in opened.lines()[11], seconds=20, what="the keys on the last of 12 lines")


def test_it_follows_the_agent_and_its_absence(tmp_path: Path) -> None:
    with terminal(tmp_path) as opened, stub_agent() as stub:
        start(opened, stub)
        stub.snapshot = replace(stub.snapshot, node="another")
        opened.wait_for("another  8 GPUs")
        stub.broken = True
        opened.wait_for("gave no status: HTTP 503")
        stub.broken = False
        wait_until(lambda: not any("503" in line for line in opened.lines()), seconds=20, what="all well again")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_signals_end_it_and_the_terminal_is_given_back(tmp_path: Path, stub: Stub, number: signal.Signals) -> None:
    with terminal(tmp_path) as opened:
        opened.type("echo shell $$")
        start(opened, stub)
        assert opened.ask("#{alternate_on} #{cursor_flag}") == "1 0"
        os.kill(_child_of(int(opened.ask("#{pane_pid}"))), number)
        assert is_given_back(opened)


def test_it_stands_aside_and_comes_back(tmp_path: Path, stub: Stub) -> None:
    with terminal(tmp_path) as opened:
        start(opened, stub)
        opened.press("C-z")
        assert is_given_back(opened)
        opened.type("fg")
        opened.wait_for("q quit")
        assert opened.ask("#{alternate_on}") == "1"
        opened.press("C-c")
        assert is_given_back(opened)


def _child_of(shell: int) -> int:
    """The program that the shell runs."""
    (child,) = Path(f"/proc/{shell}/task/{shell}/children").read_text(encoding="utf-8").split()
    return int(child)


def test_colours_are_for_who_wants_them(tmp_path: Path, stub: Stub) -> None:
    for name, arguments, variables, coloured in (
        ("some", (), {}, True),
        ("none", ("--no-color",), {}, False),
        ("variable", (), {"NO_COLOR": "1"}, False),
    ):
        (tmp_path / name).mkdir()
        with terminal(tmp_path / name, variables=variables) as opened:
            start(opened, stub, *arguments)
            stuck = next(line for line in opened.lines(escapes=True) if "stuck 25 min" in line)
            assert ("\x1b[31m" in stuck) == coloured, name


def test_an_error_at_the_start_is_a_line(tmp_path: Path) -> None:
    with terminal(tmp_path, columns=120) as opened, stub_agent() as stub:
        stub.broken = True
        opened.type(f"{sys.executable} -m gpuwatch top --listen {stub.at}; echo ended with $?")
        lines = opened.wait_for("ended with 2")
        assert any(f"gpuwatch: the agent at {stub.at} gave no status: HTTP 503" in line for line in lines)


def test_without_an_agent_it_looks_for_itself(tmp_path: Path) -> None:
    with StandIn(tmp_path, steady_trace(2, 1, 3600.0, 0.8)) as driver, idle_processes(1) as (pid,):
        driver.start()
        driver.set_pid(0, pid)
        with terminal(tmp_path, columns=120, variables=driver.environment()) as opened:
            opened.type(f"{sys.executable} -m gpuwatch top --listen 127.0.0.1:{free_port()}")
            lines = opened.wait_for("q quit")
            assert "(no agent: no history)  2 GPUs: 1 held, 1 free" in lines[0]
            assert "adhoc:sleep" in lines[2]
            driver.set_pid(0, 0)
            opened.wait_for("2 GPUs: 2 free")
            opened.press("q")
            assert is_given_back(opened)


def test_it_follows_a_real_agent(tmp_path: Path) -> None:
    with node(tmp_path, 2) as here, idle_processes(1) as (pid,), terminal(tmp_path, columns=120) as opened:
        opened.type(f"{sys.executable} -m gpuwatch top --listen 127.0.0.1:{here.agent.port}")
        opened.wait_for("n7  2 GPUs: 2 free")
        here.put(1, pid)
        opened.wait_for("n7  2 GPUs: 1 held, 1 free")
        opened.press("q")
        assert is_given_back(opened)
