"""What is served on a real socket is what was asked for."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from examples import snapshot
from listener import Site, ask, serving

from gpuwatch.export import application
from gpuwatch.export import pages as pages_module
from gpuwatch.export.exposition import Exposition
from gpuwatch.export.pages import Response
from gpuwatch.export.server import bind
from gpuwatch.model import Snapshot

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as there:
        yield there


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
    monkeypatch.setattr(application, "FIRST_SECONDS", 0.01)
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


def test_what_a_client_has_is_not_sent_again(site: Site) -> None:
    for second, path in enumerate(("/", "/api/v1/page", "/api/v1/status", "/metrics"), start=1):
        first, _ = site.ask(path, accept_encoding="gzip")
        again, nothing = site.ask(path, accept_encoding="gzip", if_none_match=first.headers["etag"])
        assert (again.status, nothing, again.headers["etag"]) == (304, b"", first.headers["etag"])
        assert "content-length" not in again.headers
        site.snapshot = replace(snapshot(), taken_unix=site.unix + 9 * second)
        new, body = site.ask(path, accept_encoding="gzip", if_none_match=first.headers["etag"])
        assert (new.status, bool(body)) == (200, True)
    assert "etag" not in site.ask("/healthz")[0].headers


def test_browsers_are_told_to_be_strict(site: Site) -> None:
    for path in ("/", "/metrics", "/api/v1/status", "/healthz", "/nothing"):
        headers = site.ask(path)[0].headers
        assert headers["content-security-policy"].startswith("default-src 'none'; ")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"


def test_stale_readings_are_unhealthy(site: Site) -> None:
    assert site.ask("/healthz")[0].status == 200
    site.unix += 11
    answer, body = site.ask("/healthz")
    assert (answer.status, body) == (503, b"stale: the last reading is 11 s old\n")
    assert site.ask("/metrics")[0].status == 200
    site.snapshot = replace(snapshot(), taken_unix=site.unix)
    assert site.ask("/healthz")[0].status == 200


def test_a_page_that_breaks_breaks_no_other(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> Response:
        raise ValueError("broken")

    monkeypatch.setattr(pages_module, "_page", fail)
    assert site.ask("/")[0].status == 500
    assert site.ask("/metrics")[0].status == 200
    assert "ValueError: broken" in caplog.text
    caplog.clear()  # a fault of ours is the one that is told with its traceback


def test_no_response_waits_for_an_acknowledgement() -> None:
    with bind("127.0.0.1:0") as listener, socket.create_connection(listener.getsockname()):
        there, _ = listener.accept()
        with there:
            assert there.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_all_addresses_are_those_of_ipv4_too() -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no such sockets")
    with bind("[::]:0") as listener, socket.create_connection(("127.0.0.1", listener.getsockname()[1])):
        pass
