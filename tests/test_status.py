"""`/api/v1/status`, `gpuwatch status`, and the other faces of the command line."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner, Result
from examples import ANN, snapshot
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rig import free_port
from terminals import Stub, crowd, shown, stub_agent

from gpuwatch import __version__
from gpuwatch.cli import command
from gpuwatch.cli.fetch import fetch
from gpuwatch.errors import GpuwatchError, UsageError
from gpuwatch.export.address import parse_address
from gpuwatch.export.status import status_document
from gpuwatch.model.judgement import STUCK
from gpuwatch.model.live import FREE, UNKNOWN, Node
from gpuwatch.terminal.document import parse_node
from gpuwatch.terminal.page import Scene, page, table
from gpuwatch.terminal.painting import has_colour, painted
from gpuwatch.terminal.rows import IDLES, SORTS, Selection, rows_of
from gpuwatch.terminal.table import text_of

ROOT = Path(__file__).parent.parent
SCHEMA = json.loads((ROOT / "docs" / "status.schema.json").read_text(encoding="utf-8"))


def test_the_document_is_as_its_schema_says() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    for example in (snapshot(), replace(snapshot(), devices=(), totals={}, runs={}, people={}, host=None, driver="")):
        jsonschema.validate(json.loads(json.dumps(status_document(example))), SCHEMA)


def test_the_document_says_who_is_where() -> None:
    document = status_document(snapshot())
    (run, *_) = document["gpus"][0]["runs"]
    assert (run["user"], run["run"], run["holding"]) == ("ann", ANN.run, True)
    assert document["gpus"][1]["problem"] == "GPU is lost"
    assert [(row["user"], row["team"]) for row in document["people"]] == [("ann", "seeing"), ("ben", None)]


def test_the_table_has_a_line_per_gpu_and_holder() -> None:
    title, head, busy, lost, drained = shown(status_document(snapshot())).splitlines()
    assert title == "n7  3 GPUs: 1 held, 1 unavailable, 1 unknown; 1 idle"
    assert head.split() == [
        "GPU", "MODEL", "USE", "MEMORY", "POWER", "TEMP", "USER", "PROJECT", "HELD", "BUSY", "IDLE", "VERDICT", "RUN",
    ]  # fmt: skip
    held = r"512 W +61 C +ann +vision +31 min +95% +30 min +idle +adhoc:train\S+"
    assert re.fullmatch(rf"0 +H100 80GB HBM3 +75% +38/80 GiB +{held}", busy)
    assert re.fullmatch(r"1 +H100 80GB HBM3 +\? +\? +- +- +- +GPU is lost", lost)
    assert re.fullmatch(
        r"2:1 +H100 80GB HBM3 MIG 1g.10gb +\? +0/8 GiB +- +- +- +unavailable: new fan \(root\)", drained
    )


def test_who_cannot_be_read_is_not_nobody() -> None:
    plain = snapshot()
    for strangers, text in ((2, "(2 processes that cannot be read)"), (None, "(the driver does not list processes)")):
        device = replace(plain.devices[0], strangers=strangers)
        unread = replace(plain, devices=(device,), holding={})
        assert shown(status_document(unread)).splitlines()[2].endswith(text)


def test_a_run_on_its_first_reading_is_shown() -> None:
    document = status_document(replace(snapshot(), totals={}))
    (run,) = document["gpus"][0]["runs"]
    assert (run["run"], run["held_seconds"]) == (ANN.run, 0.0)
    assert ANN.run in shown(document)


def nodes(document: Mapping[str, Any] | None = None, *, age: float = 0.0) -> tuple[Node, ...]:
    found = status_document(crowd()) if document is None else document
    return (parse_node(found, now_unix=found["taken_unix"] + age),)


@pytest.mark.parametrize(
    ("selection", "gpus"),
    [
        (Selection(), ["0", "1", "2", "3", "4", "4", "5", "6", "7"]),
        (Selection(users=frozenset({"ann", "cat"})), ["0", "1", "3"]),
        (Selection(standings=frozenset({FREE})), ["5"]),
        (Selection(standings=IDLES), ["2"]),
        (Selection(standings=frozenset({FREE, STUCK})), ["3", "5"]),
        (Selection(users=frozenset({"ann"}), standings=IDLES), []),
        (Selection(nodes=frozenset({"n8"})), []),
    ],
)
def test_rows_are_those_that_are_wanted(selection: Selection, gpus: list[str]) -> None:
    assert [row.device.gpu for row in rows_of(nodes(), selection)] == gpus


@pytest.mark.parametrize(
    ("sort", "first"),
    [
        ("gpu", ["0", "1", "2"]),
        ("idle", ["2", "4", "4"]),
        ("held", ["3", "0", "1"]),
        ("user", ["0", "1", "2"]),
        ("use", ["3", "0", "1"]),
        ("memory", ["1", "0", "3"]),
        ("verdict", ["2", "4", "3"]),
    ],
)
def test_rows_can_be_sorted(sort: str, first: list[str]) -> None:
    assert [row.device.gpu for row in rows_of(nodes(), sort=sort)][:3] == first
    assert set(SORTS) == {"gpu", "idle", "held", "user", "use", "memory", "verdict"}


@given(st.integers(40, 220))
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    (node,) = nodes()
    scene = Scene((node,), "a fleet")
    for line in table(scene, rows_of(scene.nodes), width):
        assert cell_len(text_of(line)) <= max(width, 48)


def test_the_owner_and_the_idle_clock_are_what_is_left_where_it_is_narrow() -> None:
    scene = Scene(nodes())
    heads = {width: text_of(table(scene, rows_of(scene.nodes), width)[0]).split() for width in (50, 80, 120, 200)}
    assert heads[50] == ["GPU", "USE", "USER", "IDLE", "RUN"]
    assert heads[80] == ["GPU", "USE", "MEMORY", "USER", "HELD", "BUSY", "IDLE", "VERDICT", "RUN"]
    assert {"MODEL", "PROJECT", "NAME"} <= set(heads[120])
    assert {"POWER", "TEMP"} <= set(heads[200])


def test_what_is_stale_is_not_shown_as_live() -> None:
    (node,) = nodes(age=240)
    assert {device.state for device in node.devices} == {UNKNOWN}
    assert rows_of((node,), Selection(standings=frozenset({FREE}))) == []
    text = painted(page(Scene((node,)), rows_of((node,)), None), colour=False)
    assert "no reading for 4 min" in text
    assert "ann" not in text


def test_without_an_agent_there_is_no_history_to_show() -> None:
    text = shown(status_document(crowd(), agent=False))
    assert text.startswith("n7  (no agent: no history)  8 GPUs")
    ann = next(line for line in text.splitlines() if "wandb:xu3ab252" in line)
    assert "7.0 h" not in ann


def test_what_others_wrote_moves_no_cursor() -> None:
    evil = "a\x1b[2J\u202eb\nc\r"
    document = json.loads(json.dumps(status_document(snapshot())))
    document["node"] = document["gpus"][1]["problem"] = document["strangers_reason"] = evil
    document["gpus"][0]["strangers"] = 1
    document["gpus"][0]["runs"][0].update(user=evil, project=evil, run=evil, name=evil, reason=evil, verdict=evil)
    lines = shown(document).split("\n")
    assert all(line.isprintable() for line in lines)
    assert len(lines) == 7


def test_colours_are_left_out_where_they_are_not_wanted() -> None:
    terminal = {"TERM": "xterm"}
    assert has_colour(terminal, asked_not=False, terminal=True)
    assert not has_colour(terminal, asked_not=True, terminal=True)
    assert not has_colour(terminal, asked_not=False, terminal=False)
    assert not has_colour({**terminal, "NO_COLOR": "1"}, asked_not=False, terminal=True)
    assert not has_colour({"TERM": "dumb"}, asked_not=False, terminal=True)


def test_colours_change_no_text() -> None:
    scene = Scene(nodes())
    lines = page(scene, rows_of(scene.nodes), 80)
    plain, coloured = (painted(lines, colour=colour) for colour in (False, True))
    assert "\x1b" not in plain
    assert "\x1b[31m" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


def run_status(stub: Stub, *arguments: str) -> Result:
    return CliRunner().invoke(command, ["status", "--listen", stub.at, *arguments])


def test_the_command_says_no_where_nothing_is_as_asked_for() -> None:
    with stub_agent() as stub:
        assert run_status(stub, "--user", "ann").exit_code == 0
        nobody = run_status(stub, "--user", "zoe")
        assert (nobody.exit_code, nobody.output) == (
            1,
            "n7  8 GPUs: 5 held, 1 free, 1 unavailable, 1 unknown; 1 idle, 1 stuck\n",
        )
        free = run_status(stub, "--free")
        assert (free.exit_code, free.output.splitlines()[2].split()[0]) == (0, "5")
        assert json.loads(run_status(stub, "--json").output)["node"] == "n7"


@pytest.mark.parametrize("name", ["status", "free", "top"])
def test_an_agent_of_another_version_is_told(name: str) -> None:
    with stub_agent() as stub:
        stub.without = ("gpus",)
        result = CliRunner().invoke(command, [name, "--listen", stub.at])
    assert str(result.exception) == f"the agent is of another version (1.2.3, this is {__version__}): restart it"


def test_a_full_disk_is_told() -> None:
    with stub_agent() as stub, open("/dev/full", "w", encoding="utf-8") as full:
        arguments = [sys.executable, "-m", "gpuwatch", "status", "--listen", stub.at]
        done = subprocess.run(arguments, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "gpuwatch: standard output cannot be written: No space left on device\n"


def test_json_is_the_whole_document() -> None:
    result = CliRunner().invoke(command, ["status", "--json", "--free"])
    assert isinstance(result.exception, UsageError)
    assert "leave out what limits it" in str(result.exception)


def test_a_way_into_a_server_goes_with_a_server() -> None:
    result = CliRunner().invoke(command, ["status", "--config", "client.toml"])
    assert "give both, or neither" in str(result.exception)


def test_no_proxy_comes_between(monkeypatch: pytest.MonkeyPatch) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"agent": true}')

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.handle_request).start()
        assert fetch(f"127.0.0.1:{server.server_port}") == {"agent": True}
    assert fetch(f"127.0.0.1:{free_port()}") is None


@pytest.mark.parametrize(
    "said",
    [
        b"SSH-2.0-OpenSSH\x1b[31m\r\n",
        b'HTTP/1.1 200 OK\r\n\r\n{"node": "n7"}',
        b"HTTP/1.1 200 OK\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 100_000,
    ],
)
def test_what_is_no_agent_is_told(said: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:

        def greet() -> None:
            client, _ = stranger.accept()
            with client:
                client.recv(65536)
                client.sendall(said)

        threading.Thread(target=greet).start()
        with pytest.raises(GpuwatchError, match="no gpuwatch agent") as caught:
            fetch(f"127.0.0.1:{stranger.getsockname()[1]}")
    assert str(caught.value).isprintable()


def test_no_password_goes_in_clear_where_tls_was_meant(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--ca-file is for TLS: --listen https://n7:9469"):
        fetch("n7:9469", ca_file=tmp_path / "ca.crt")


def test_any_bytes_can_be_a_user(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret")
    assert fetch(f"127.0.0.1:{free_port()}", login="\udcff", password_file=tmp_path / "password") is None


def test_the_table_says_why_there_are_no_gpus() -> None:
    document = status_document(replace(snapshot(), devices=(), totals={}), agent=False)
    document["sensors"]["gpu"]["problem"] = "no NVIDIA driver is installed here"
    assert shown(document).splitlines() == ["n7  (no agent: no history)", "no NVIDIA driver is installed here"]


def test_the_version_is_the_packages() -> None:
    assert CliRunner().invoke(command, ["--version"]).output == f"gpuwatch, version {__version__}\n"


@pytest.mark.parametrize(
    ("address", "parsed"), [("127.0.0.1:9469", ("127.0.0.1", 9469)), ("[::1]:80", ("::1", 80)), ("n7:0", ("n7", 0))]
)
def test_addresses(address: str, parsed: tuple[str, int]) -> None:
    assert parse_address(address) == parsed


@pytest.mark.parametrize("address", ["9469", ":9469", "host:", "host:http", "host:70000"])
def test_a_wrong_address_is_told_what_is_right(address: str) -> None:
    with pytest.raises(UsageError, match=r"is not HOST:PORT, like 127\.0\.0\.1:9469"):
        parse_address(address)
