"""Many bad clients cost no scrape, over plain HTTP and over TLS."""

from __future__ import annotations

import logging
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from listener import HALF_A_HEADER, Site, ask, half_a_hello, is_closed, make_certificate, read_all, serving, write_web
from rig import wait_until

from gpuwatch.export import handshake
from gpuwatch.export import server as server_module
from gpuwatch.export.exposition import Exposition
from gpuwatch.export.web import read_web

REQUEST = b"GET /metrics HTTP/1.1\r\nHost: n7\r\n"
MANY = 300


@pytest.fixture(params=["plain", "tls"])
def site(request: pytest.FixtureRequest, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Site]:
    """A server of which nobody can make a line in the log."""
    if request.param == "plain":
        web = ca_file = None
    else:
        ca_file = make_certificate(tmp_path, "n7").cert
        web = read_web(write_web(tmp_path, "tls_server_config: {cert_file: n7.crt, key_file: n7.key}"))
    with serving(web, ca_file) as there:
        yield there
    assert [record for record in caplog.get_records("call") if record.levelno >= logging.WARNING] == []


def set_deadlines(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr(server_module, "REQUEST_SECONDS", seconds)
    monkeypatch.setattr(handshake, "HANDSHAKE_SECONDS", seconds)


def test_silent_clients_do_not_slow_a_scrape(site: Site) -> None:
    begun = half_a_hello() if site.web else HALF_A_HEADER
    with site.strangers(MANY // 2, tcp=True), site.strangers(MANY // 2, text=begun, tcp=True):
        seconds = []
        for _ in range(50):
            began = time.monotonic()
            answer, body = site.ask("/metrics")
            seconds.append(time.monotonic() - began)
            assert (answer.status, b"gpuwatch_gpu_busy" in body) == (200, True)
    assert sorted(seconds)[45] < 0.1


def test_silent_clients_are_dropped_at_the_deadline(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    set_deadlines(monkeypatch, 0.3)
    began = time.monotonic()
    with ExitStack() as stack:
        clients = stack.enter_context(site.strangers(20, text=HALF_A_HEADER))
        for text in (b"", half_a_hello() if site.web else b"G"):
            clients += stack.enter_context(site.strangers(20, text=text, tcp=True))
        for client in clients:
            wait_until(partial(is_closed, client), seconds=5, what="an end")
        assert time.monotonic() - began >= 0.3


def test_a_client_that_drips_is_dropped_all_the_same(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    set_deadlines(monkeypatch, 0.3)

    def is_dropped_dripping() -> bool:
        try:
            client.sendall(b"x")
        except (BrokenPipeError, ConnectionResetError):
            return True
        return is_closed(client)

    with site.strangers(1, text=HALF_A_HEADER) as (client,):
        wait_until(is_dropped_dripping, seconds=5, what="an end")


def test_the_deadline_holds_for_a_further_request_too(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    set_deadlines(monkeypatch, 0.3)
    with site.strangers(1, text=b"GET /healthz HTTP/1.1\r\nHost: n7\r\n\r\n") as (client,):
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
        client.sendall(HALF_A_HEADER)
        wait_until(partial(is_closed, client), seconds=5, what="an end")


def test_an_answered_connection_outlives_the_deadline(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    set_deadlines(monkeypatch, 0.3)
    scraper = site.connect()
    ask(scraper, "/metrics")
    with site.strangers(1) as (later,):
        wait_until(partial(is_closed, later), seconds=5, what="the end of one that came later")
    assert ask(scraper, "/metrics")[0].status == 200
    scraper.close()


@pytest.mark.parametrize("begun", ["nothing", "half"])
def test_at_the_cap_the_idlest_goes_and_never_the_scraper(site: Site, begun: str) -> None:
    assert site.server is not None
    site.server.crowd.most = 10
    text = b"" if begun == "nothing" else half_a_hello() if site.web else HALF_A_HEADER
    scraper = site.connect()
    with ExitStack() as stack:
        strangers: list[socket.socket] = []
        for _ in range(8):
            ask(scraper, "/metrics")
            address = scraper.sock.getsockname()
            strangers += stack.enter_context(site.strangers(5, text=text, tcp=True))
            assert site.ask("/metrics")[0].status == 200
        assert ask(scraper, "/metrics")[0].status == 200
        assert scraper.sock.getsockname() == address
        wait_until(partial(is_closed, strangers[0]), seconds=5, what="the end of the first")
        closed = [is_closed(stranger) for stranger in strangers[1:]]
        assert closed == sorted(closed, reverse=True)
        assert not closed[-1]
        assert len(site.server.crowd.connections) <= 10
    scraper.close()


@pytest.mark.parametrize("wish", [b"", b"Connection: close\r\n"])
def test_who_reads_no_response_is_dropped(site: Site, monkeypatch: pytest.MonkeyPatch, wish: bytes) -> None:
    more_than_is_buffered = b"x" * 20_000_000
    monkeypatch.setattr(Exposition, "render", lambda *_, **__: (more_than_is_buffered, "text/plain"))
    monkeypatch.setattr(server_module, "RESPONSE_SECONDS", 0.3)
    assert site.server is not None
    connections = site.server.crowd.connections
    with site.strangers(1, text=REQUEST + wish + b"\r\n") as (client,):
        assert client.recv(1) == b"H"
        assert len(connections) == 1
        wait_until(lambda: not connections, seconds=5, what="an end")


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(REQUEST + b"X-Long: " + b"x" * 70_000 + b"\r\n\r\n", id="too-long"),
        pytest.param(REQUEST + b"X-Long: " + b"x" * 20_000, id="too-long-and-not-whole"),
        pytest.param(REQUEST + b"X-Long: " + b"x" * 17_000 + b"\r\n\r\n", id="too-long-in-one-piece"),
        pytest.param(b"GET /" + b"x" * 17_000 + b" HTTP/1.1\r\nHost: n7\r\n\r\n", id="too-long-a-path"),
        pytest.param(REQUEST + b"".join(b"X-%d: y\r\n" % n for n in range(200)) + b"\r\n", id="too-many"),
    ],
)
def test_a_head_that_is_too_large_is_refused(site: Site, head: bytes) -> None:
    with site.strangers(1, text=head) as (client,):
        assert read_all(client).startswith(b"HTTP/1.1 431 ")


def test_a_head_may_be_as_long_as_scrapers_need(site: Site) -> None:
    headers = {f"X-{number}": "y" * 150 for number in range(80)}
    assert site.ask("/metrics", **headers)[0].status == 200


@pytest.mark.parametrize("text", [b"\x00\xff\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"x\r\n\r\n"])
def test_what_is_no_http_is_refused(site: Site, text: bytes) -> None:
    with site.strangers(1, text=text) as (client,):
        assert read_all(client).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("method", [b"GET", b"POST"])
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"Content-Length: 5\r\n\r\nhello", id="small"),
        pytest.param(b"Content-Length: 10000000000\r\n\r\n" + b"x" * 100_000, id="huge"),
        pytest.param(b"Content-Length: 5\r\n\r\n", id="never-sent"),
        pytest.param(b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n", id="announced"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", id="chunked"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\nno chunk\r\n", id="broken"),
    ],
)
def test_a_body_is_refused_at_once(site: Site, method: bytes, body: bytes) -> None:
    with site.strangers(1, text=method + b" /metrics HTTP/1.1\r\nHost: n7\r\n" + body) as (client,):
        assert read_all(client).startswith(b"HTTP/1.1 413 ")


def test_a_body_takes_no_memory(site: Site) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    head = b"POST /metrics HTTP/1.1\r\nHost: n7\r\nContent-Length: 10000000000\r\n\r\n"
    with site.strangers(20, text=head) as clients:
        for client in clients:
            with pytest.raises(OSError):  # which one depends on how far it came
                for _ in range(1000):
                    client.sendall(b"x" * 100_000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000
