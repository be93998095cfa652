"""`/api/v1/status`, `gpuwatch status`, and the other faces of the command line."""

from __future__ import annotations

import json
import re
import socket
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner
from examples import ANN, snapshot
from rig import free_port

from gpuwatch import __version__
from gpuwatch.cli import command
from gpuwatch.cli.status import fetch, table
from gpuwatch.errors import GpuwatchError, UsageError
from gpuwatch.export.address import parse_address
from gpuwatch.export.status import status_document

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
    title, head, busy, lost, drained = table(status_document(snapshot())).splitlines()
    assert title == "n7"
    assert head.split() == ["GPU", "MODEL", "USE", "MEMORY", "USER", "HELD", "BUSY", "RUN"]
    assert re.fullmatch(r"0 +NVIDIA H100 80GB HBM3 +75% +38 of 80 GiB +ann +31 min +95% +adhoc:train\S+", busy)
    assert re.fullmatch(r"1 +NVIDIA H100 80GB HBM3 +\? +\? +- +GPU is lost", lost)
    assert re.fullmatch(
        r"2:1 +NVIDIA \S+ \S+ HBM3 MIG 1g.10gb +\? +0 of 8 GiB +- +unavailable: new fan \(root\)", drained
    )


def test_who_cannot_be_read_is_not_nobody() -> None:
    plain = snapshot()
    for strangers, text in ((2, "(2 processes that cannot be read)"), (None, "(the driver does not list processes)")):
        device = replace(plain.devices[0], strangers=strangers)
        shown = replace(plain, devices=(device,), holding={})
        assert table(status_document(shown)).splitlines()[2].endswith(text)


def test_a_run_on_its_first_reading_is_shown() -> None:
    document = status_document(replace(snapshot(), totals={}))
    (run,) = document["gpus"][0]["runs"]
    assert (run["run"], run["held_seconds"]) == (ANN.run, 0.0)


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
    assert fetch(f"127.0.0.1:{free_port()}", user="\udcff", password_file=tmp_path / "password") is None


def test_the_table_says_why_there_are_no_gpus() -> None:
    document = status_document(replace(snapshot(), devices=(), totals={}), agent=False)
    document["sensors"]["gpu"]["problem"] = "no NVIDIA driver is installed here"
    assert table(document).splitlines() == ["n7  (no agent: no history)", "no NVIDIA driver is installed here"]


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
