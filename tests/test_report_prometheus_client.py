"""What is said where a server cannot be asked, and what is never said: a password."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from listener import make_certificate
from rig import free_port

from gpuwatch.errors import GpuwatchError, PrometheusError, QueryTooHeavy, UsageError
from gpuwatch.model.history import Window
from gpuwatch.report.prometheus import connection, open_prometheus
from gpuwatch.report.prometheus.client import Client, Sample
from gpuwatch.report.prometheus.promql import selector
from gpuwatch.report.server import Server

SECRET = "hunter2-that-nobody-may-see"
VECTOR = {"resultType": "vector", "result": [{"metric": {"user": "ann"}, "value": [1, "42"]}]}
MATRIX = {"resultType": "matrix", "result": [{"metric": {"user": "ann"}, "values": [[1, "42"]]}]}


@dataclass
class Site:
    """A server that answers as it is told, and what it was asked."""

    status: int = 200
    body: bytes | None = None
    """None is an answer of the kind that was asked for."""
    warnings: tuple[str, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)
    too_heavy: str = ""
    """What a query holds that it refuses."""
    asked: list[tuple[str, dict[str, list[str]], str]] = field(default_factory=list)
    url: str = ""

    def answer(self, path: str, form: dict[str, list[str]], authorization: str) -> tuple[int, bytes]:
        self.asked.append((path, form, authorization))
        if self.too_heavy and self.too_heavy in form["query"][0]:
            return 422, error("execution", "too many samples")
        data = MATRIX if path.endswith("query_range") else VECTOR
        whole = {"status": "success", "data": data, "warnings": self.warnings}
        return self.status, json.dumps(whole).encode() if self.body is None else self.body


def error(kind: str, text: str) -> bytes:
    return json.dumps({"status": "error", "errorType": kind, "error": text}).encode()


@contextmanager
def site(tls: Path | None = None, **how: object) -> Iterator[Site]:
    here = Site(**how)  # type: ignore[arg-type]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            status, body = here.answer(self.path, form, self.headers.get("Authorization", ""))
            self.send_response(status)
            for name, value in here.headers.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                self.wfile.write(body)
            except ConnectionError:
                return  # who asked has had enough

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            pair = make_certificate(tls, "server")
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pair.cert, pair.key)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            server.handle_error = lambda *_: None  # type: ignore[method-assign]  # who distrusts it, hangs up
        here.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield here
        finally:
            server.shutdown()
            thread.join()


def ask(server: Server) -> list[Sample]:
    return Client(server).query("x", at=1.0, purpose="a test")


def said(server: Server) -> str:
    """Why there is no answer."""
    with pytest.raises(GpuwatchError) as raised:
        ask(server)
    shown = str(raised.value)
    assert SECRET not in shown
    assert shown.isprintable()
    return shown


def test_a_question_is_a_form_and_its_answer_is_samples() -> None:
    with site() as here:
        assert ask(Server(f"{here.url}/prometheus")) == [Sample({"user": "ann"}, 42.0)]
        assert here.asked == [("/prometheus/api/v1/query", {"query": ["x"], "time": ["1.000"]}, "")]


def test_the_password_is_sent_and_told_nobody(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n", encoding="utf-8")
    with site() as here:
        ask(Server(here.url, user="reader", password_file=file))
        ask(Server(here.url, token_file=file))
        assert [authorization.split()[0] for _, _, authorization in here.asked] == ["Basic", "Bearer"]
        here.status, here.body = 401, b"who?"
        assert "does not let us in" in said(Server(here.url, user="reader", password_file=file))
        assert "does not let us in" in said(Server(here.url, token_file=file))
        assert "set prometheus.user and prometheus.password_file" in said(Server(here.url))


def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET, encoding="utf-8")
    with site() as other, site(status=302) as here:
        here.headers["Location"] = f"{other.url}/api"
        assert f"sends on to {other.url}/api" in said(Server(here.url, token_file=file))
        assert not other.asked


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (404, b"not found", "HTTP 404 and no answer of Prometheus: prometheus.url must be the address under which"),
        (200, b"<html>", "no answer of Prometheus"),
        (200, b"[]", "no answer of Prometheus"),
        (200, b"[" * 100_000, "no answer of Prometheus"),
        (200, b'{"status": "success", "data": {"resultType": "scalar", "result": [1, "1"]}}', "no vector"),
        (200, b'{"status": "success", "data": {"resultType": "vector", "result": [{"value": []}]}}', "no vector"),
        (200, b'{"status": "success"}', "no vector"),
        (400, error("bad_data", "parse\x1b[31m error\n" + "x" * 9999), "refuses a query: bad_data: parse [31m error x"),
        (500, b"", "HTTP 500"),
        (503, b"maintenance", "HTTP 503 and no answer of Prometheus"),
    ],
)
def test_what_is_no_answer_is_said_in_words(status: int, body: bytes, words: str) -> None:
    with site(status=status, body=body) as here:
        shown = said(Server(here.url))
        assert words in shown
        assert len(shown) < 500


def test_too_much_at_once_is_an_error_of_its_own() -> None:
    with site(status=422, body=error("execution", "too many samples")) as here, pytest.raises(QueryTooHeavy):
        ask(Server(here.url))


def test_what_is_too_much_at_once_is_asked_for_in_halves() -> None:
    with site(too_heavy="[86400001ms") as here:
        source = open_prometheus(Server(here.url), now_unix=200_000.0)
        found = source.usage(Window(100_000.0, 186_400.0), ("user",), {})
        assert found["ann",].held == 2 * 42
        halves = [form for _, form, _ in here.asked if "[43200001ms:60s]" in form["query"][0]]
        assert {form["time"][0] for form in halves} == {"143200.000", "186400.000"}


def test_an_unreachable_server_is_said_to_be_one() -> None:
    assert "cannot be reached: Connection refused" in said(Server(f"http://127.0.0.1:{free_port()}"))
    assert "cannot be reached" in said(Server("http://nowhere.invalid:9090"))


def test_a_proxy_is_not_asked_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    with site() as here:
        assert ask(Server(here.url))


def test_tls_is_checked_against_the_ca_that_is_named(tmp_path: Path) -> None:
    with site(tls=tmp_path) as here:
        assert ask(Server(here.url, ca_file=tmp_path / "server.crt"))
        assert "prometheus.ca_file names its CA" in said(Server(here.url))
        assert "begins with https://" in said(Server(here.url.replace("https", "http")))
    with site() as here:
        assert "begins with http://" in said(Server(here.url.replace("http", "https")))


def test_an_answer_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LONGEST_BODY", 1 << 20)
    with site(body=b" " * (1 << 21)) as here:
        assert "an answer of more than 1 MiB" in said(Server(here.url))


@pytest.mark.parametrize(
    ("server", "words"),
    [
        (Server(""), "must be http:// or https://"),
        (Server("ftp://x"), "must be http:// or https://"),
        (Server(f"http://ann:{SECRET}@x"), "must hold neither a user"),
        (Server(f"http://x/?password={SECRET}"), "must hold neither a user"),
        (Server("http://x", user="ann"), "set both"),
        (Server("http://x", password_file=Path("p")), "set both"),
        (Server("http://x", user="a:b", password_file=Path("p")), "without a colon"),
        (Server("http://x", user="a", password_file=Path("p"), token_file=Path("t")), "set one of them"),
        (Server("http://x", token_file=Path("/nowhere/token")), "cannot be read: No such file"),
        (Server("http://x", ca_file=Path("/nowhere/ca")), "cannot be read: No such file"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(server: Server, words: str) -> None:
    assert words in said(server)


@pytest.mark.parametrize("text", ["", "\n", f"{SECRET}\n{SECRET}", f"{SECRET}\x00", f"{SECRET} b", "schl\u00fcssel"])
def test_a_secret_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "secret").write_text(text, encoding="utf-8")
    with site() as here, pytest.raises(UsageError) as raised:
        ask(Server(here.url, token_file=tmp_path / "secret"))
    assert SECRET not in str(raised.value)
    assert not here.asked


def test_a_warning_that_figures_are_not_whole_is_in_the_name() -> None:
    with site(warnings=("a store is down\x1b[31m", "PromQL info: x")) as here:
        source = open_prometheus(Server(here.url), now_unix=200_000.0)
        source.usage(Window(100_000.0, 186_400.0), (), {})
        assert source.name.endswith("; the server warns: a store is down [31m")


def test_a_server_without_any_record_has_none() -> None:
    empty = {"status": "success", "data": {"resultType": "matrix", "result": []}}
    with site(body=json.dumps(empty).encode()) as here:
        source = open_prometheus(Server(here.url), now_unix=200_000.0)
        extent = source.extent(Window(100_000.0, 186_400.0))
        assert (extent.first_unix, extent.nodes) == (None, ())


def test_names_stand_in_a_query_as_they_are() -> None:
    where = {"user": ['e"\\\n'], "run": ["a.b", "c|d"]}
    assert selector("m", where) == 'm{run=~"a\\\\.b|c\\\\|d",user="e\\"\\\\\\n"}'
    assert issubclass(QueryTooHeavy, PrometheusError)
