"""The HTTP server on a real socket: many bad clients cost no scrape, and what is served is what was asked for."""

from __future__ import annotations

import asyncio
import gzip
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from http.client import HTTPConnection, HTTPResponse

import pytest
from examples import HOSTILE, snapshot
from rig import wait_until

from gpuwatch.export import pages as pages_module
from gpuwatch.export import server as server_module
from gpuwatch.export.exposition import Exposition
from gpuwatch.export.pages import Pages, Response
from gpuwatch.export.server import Server, bind
from gpuwatch.model import Snapshot

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
HALF_A_HEADER = b"GET /metrics HTTP/1.1\r\nHost: n7\r\nX-Half: "


class Site:
    """A server in a thread. The test sets the snapshot and the time."""

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = snapshot()
        self.unix = self.snapshot.taken_unix
        self.listener = bind("127.0.0.1:0")
        self.port = int(self.listener.getsockname()[1])
        self.server: Server | None = None

    def run(self, ready: threading.Event) -> None:
        async def serve() -> None:
            self.loop = asyncio.get_running_loop()
            self.server = Server(Pages(lambda: self.snapshot), lambda: self.unix)
            self.server.ready.set()
            ready.set()
            await self.server.serve(sockets=[self.listener])

        asyncio.run(serve())

    def stop(self) -> None:
        assert self.server is not None
        self.loop.call_soon_threadsafe(self.server.stop.set)

    def connect(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self.port, timeout=10)

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[HTTPResponse, bytes]:
        """The answer on a connection of its own, and its body as sent."""
        connection = self.connect()
        answer = ask(connection, path, method, **headers)
        connection.close()
        return answer

    @contextmanager
    def strangers(self, count: int, *, text: bytes = b"") -> Iterator[list[socket.socket]]:
        """Clients that send a text and are silent from then on."""
        with ExitStack() as stack:
            clients = []
            for _ in range(count):
                clients.append(stack.enter_context(socket.create_connection(("127.0.0.1", self.port), timeout=10)))
                clients[-1].sendall(text)
            yield clients


def ask(connection: HTTPConnection, path: str, method: str = "GET", **headers: str) -> tuple[HTTPResponse, bytes]:
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    return answer, answer.read()


def is_closed(client: socket.socket) -> bool:
    """Whether the server has ended the connection."""
    if not select.select([client], [], [], 0)[0]:
        return False
    try:
        return client.recv(65536) == b""
    except ConnectionResetError:
        return True


@pytest.fixture
def site() -> Iterator[Site]:
    there, ready = Site(), threading.Event()
    thread = threading.Thread(target=there.run, args=(ready,))
    thread.start()
    ready.wait(10)
    yield there
    there.stop()
    thread.join(10)
    there.listener.close()
    assert not thread.is_alive()


def test_silent_clients_do_not_slow_a_scrape(site: Site) -> None:
    with site.strangers(150), site.strangers(150, text=HALF_A_HEADER):
        seconds = []
        for _ in range(50):
            began = time.monotonic()
            answer, body = site.ask("/metrics")
            seconds.append(time.monotonic() - began)
            assert (answer.status, b"gpuwatch_gpu_busy" in body) == (200, True)
    assert sorted(seconds)[45] < 0.1


def test_silent_clients_are_dropped_at_the_deadline(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "REQUEST_SECONDS", 0.3)
    began = time.monotonic()
    with site.strangers(20) as silent, site.strangers(20, text=HALF_A_HEADER) as halfway:
        for client in [*silent, *halfway]:
            wait_until(partial(is_closed, client), seconds=5, what="an end")
        assert time.monotonic() - began >= 0.3


def test_a_client_that_drips_is_dropped_all_the_same(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "REQUEST_SECONDS", 0.3)

    def is_dropped_dripping() -> bool:
        try:
            client.sendall(b"x")
        except (BrokenPipeError, ConnectionResetError):
            return True
        return is_closed(client)

    with site.strangers(1, text=HALF_A_HEADER) as (client,):
        wait_until(is_dropped_dripping, seconds=5, what="an end")


def test_the_deadline_holds_for_a_further_request_too(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "REQUEST_SECONDS", 0.3)
    with site.strangers(1, text=b"GET /healthz HTTP/1.1\r\nHost: n7\r\n\r\n") as (client,):
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
        client.sendall(HALF_A_HEADER)
        wait_until(partial(is_closed, client), seconds=5, what="an end")


def test_an_answered_connection_outlives_the_deadline(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "REQUEST_SECONDS", 0.2)
    scraper = site.connect()
    ask(scraper, "/metrics")
    with site.strangers(1) as (later,):
        wait_until(partial(is_closed, later), seconds=5, what="the end of one that came later")
    assert ask(scraper, "/metrics")[0].status == 200
    scraper.close()


def test_at_the_cap_the_idlest_goes_and_never_the_scraper(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "MOST_CONNECTIONS", 10)
    scraper = site.connect()
    with ExitStack() as stack:
        strangers: list[socket.socket] = []
        for _ in range(8):
            ask(scraper, "/metrics")
            address = scraper.sock.getsockname()
            strangers += stack.enter_context(site.strangers(5, text=HALF_A_HEADER))
            assert site.ask("/metrics")[0].status == 200
        assert ask(scraper, "/metrics")[0].status == 200
        assert scraper.sock.getsockname() == address
        wait_until(partial(is_closed, strangers[0]), seconds=5, what="the end of the first")
        closed = [is_closed(stranger) for stranger in strangers[1:]]
        assert closed == sorted(closed, reverse=True)
        assert not closed[-1]
    scraper.close()


def test_a_head_that_is_too_long_is_refused(site: Site) -> None:
    with site.strangers(1, text=b"GET / HTTP/1.1\r\nHost: n7\r\nX-Long: " + b"x" * 70_000) as (client,):
        said = b""
        while not said.endswith(b"received."):
            said += client.recv(65536)
        assert said.startswith(b"HTTP/1.1 400")
        wait_until(partial(is_closed, client), seconds=5, what="an end")


def test_an_unknown_path_is_told_what_there_is(site: Site) -> None:
    answer, body = site.ask("/nothing")
    assert answer.status == 404
    for path in (b"/metrics", b"/healthz", b"/api/v1/status"):
        assert path in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_written(site: Site, method: str) -> None:
    answer, _ = site.ask("/metrics", method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


def test_head_is_get_without_its_body(site: Site) -> None:
    connection = site.connect()
    (head, nothing), (got, body) = ask(connection, "/metrics", "HEAD"), ask(connection, "/metrics")
    connection.close()
    assert (head.status, nothing) == (200, b"")
    assert int(head.headers["content-length"]) == int(got.headers["content-length"]) == len(body) > 0


def test_the_form_is_negotiated(site: Site) -> None:
    plain, text = site.ask("/metrics")
    assert plain.headers["content-type"].startswith("text/plain; version=")
    assert "content-encoding" not in plain.headers
    packed, small = site.ask("/metrics", accept_encoding="gzip")
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(small) == text
    assert len(small) < len(text) / 3
    assert "accept-encoding" in packed.headers["vary"]
    open_metrics, body = site.ask("/metrics", accept=OPENMETRICS)
    assert open_metrics.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith(b"# EOF\n")
    both, packed_body = site.ask("/metrics", accept=OPENMETRICS, accept_encoding="gzip")
    assert both.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed_body) == body


def test_a_connection_is_used_again(site: Site) -> None:
    connection, addresses = site.connect(), set()
    for _ in range(5):
        assert ask(connection, "/metrics")[0].status == 200
        addresses.add(connection.sock.getsockname())
    connection.close()
    assert len(addresses) == 1


def test_each_form_is_rendered_once_per_snapshot(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[bool] = []

    def render(_: Exposition, __: Snapshot, *, open_metrics: bool) -> tuple[bytes, str]:
        rendered.append(open_metrics)
        return b"x", "text/plain"

    monkeypatch.setattr(Exposition, "render", render)
    for _ in range(3):
        for accept in ("", OPENMETRICS):
            for packing in ("", "gzip"):
                site.ask("/metrics", accept=accept, accept_encoding=packing)
    assert rendered == [False, True]
    site.snapshot = snapshot()
    site.ask("/metrics")
    assert rendered == [False, True, False]


def test_before_the_first_reading_there_is_none(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "FIRST_SECONDS", 0.01)
    assert site.server is not None
    site.server.ready.clear()
    site.snapshot = None
    for path in ("/", "/metrics", "/api/v1/status", "/healthz"):
        assert site.ask(path)[0].status == 503
    assert site.ask("/nothing")[0].status == 404


def test_a_scrape_waits_a_moment_for_the_first_reading(site: Site) -> None:
    assert site.server is not None
    site.server.ready.clear()
    first, site.snapshot = site.snapshot, None

    def publish() -> None:
        site.snapshot = first
        assert site.server is not None
        site.loop.call_soon_threadsafe(site.server.ready.set)

    threading.Timer(0.1, publish).start()
    assert site.ask("/metrics")[0].status == 200


def test_the_index_says_who_is_where_as_text(site: Site) -> None:
    page = site.ask("/")[1].decode()
    assert "ann: adhoc:train.py-k3f9z2.3mv@n7" in page
    assert "GPU is lost" in page
    site.snapshot = replace(snapshot(), holding={("GPU-aaaa", HOSTILE): None})
    assert "<script>" not in site.ask("/")[1].decode()
    site.snapshot = replace(snapshot(), holding={})
    assert "<td>free<td>75%" in site.ask("/")[1].decode()


def test_stale_readings_are_unhealthy(site: Site) -> None:
    assert site.ask("/healthz")[0].status == 200
    site.unix += 11
    answer, body = site.ask("/healthz")
    assert (answer.status, body) == (503, b"stale: the last reading is 11 s old\n")
    assert site.ask("/metrics")[0].status == 200
    site.snapshot = replace(snapshot(), taken_unix=site.unix)
    assert site.ask("/healthz")[0].status == 200


def test_a_page_that_breaks_breaks_no_other(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Snapshot) -> Response:
        raise ValueError("broken")

    monkeypatch.setattr(pages_module, "_index", fail)
    assert site.ask("/")[0].status == 500
    assert site.ask("/metrics")[0].status == 200
