"""TLS on a real socket: who is let in, by which rules, and how a renewed certificate comes into use."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from listener import Pair, Site, is_closed, make_certificate, read_all, serving, write_web
from rig import wait_until

from gpuwatch.errors import UsageError
from gpuwatch.export import tls as tls_module
from gpuwatch.export.crowd import Crowd
from gpuwatch.export.exposition import Exposition
from gpuwatch.export.handshake import Handshake
from gpuwatch.export.tls import CHECK_SECONDS, CIPHERS, CURVES, Certificates, TlsSettings, names_of
from gpuwatch.export.web import read_web

PAIR = "cert_file: n7.crt, key_file: n7.key"


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return make_certificate(tmp_path, "n7")


@pytest.fixture
def ca(tmp_path: Path) -> Pair:
    return make_certificate(tmp_path, "ca")


@contextmanager
def site_of(pair: Pair, settings: str = "") -> Iterator[Site]:
    web = read_web(write_web(pair.cert.parent, f"tls_server_config: {{{PAIR}, {settings}}}"))
    with serving(web, pair.cert) as site:
        yield site


def context_of(site: Site) -> ssl.SSLContext:
    assert site.client_context is not None
    return site.client_context


def is_let_in(site: Site) -> bool:
    """With TLS 1.3 a client learns only at its first reading whether its certificate was taken."""
    try:
        return site.ask("/healthz")[0].status == 200
    except OSError:
        return False


def test_plain_http_is_dropped_without_a_word(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    with site_of(pair) as site:
        with site.strangers(1, text=b"GET /metrics HTTP/1.1\r\nHost: n7\r\n\r\n", tcp=True) as (client,):
            assert b"HTTP" not in read_all(client)
        assert is_let_in(site)
    assert caplog.records == []


def test_a_client_that_goes_midway_leaves_nothing(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    with site_of(pair) as site:
        for _ in range(20):
            socket.create_connection(("127.0.0.1", site.port)).close()
        assert is_let_in(site)  # so that those before have been accepted
        assert site.server is not None
        connections = site.server.crowd.connections
        wait_until(lambda: not connections, seconds=5, what="an end of all")
    assert caplog.records == []


def test_for_one_that_is_dropped_at_once_no_tls_is_set_up(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a burst: its buffers would stay until the deadline, without counting."""
    asked: list[float] = []
    monkeypatch.setattr(Certificates, "context", lambda _, now: asked.append(now))
    crowd, certificates, gone = Crowd(set(), 10), Certificates(TlsSettings(*pair)), asyncio.Event()

    class Dropped(Handshake):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.drop()

        def connection_lost(self, exc: Exception | None) -> None:
            gone.set()

    async def connect() -> None:
        make = partial(Dropped, certificates, crowd, lambda *_: None)
        async with await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0) as server, asyncio.timeout(5):
            with socket.create_connection(server.sockets[0].getsockname()):
                await gone.wait()

    asyncio.run(connect())
    assert (asked, crowd.connections) == ([], set())


def test_a_stop_waits_for_no_handshake(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    with site_of(pair) as site, site.strangers(3, tcp=True) as silent:
        assert is_let_in(site)  # so that the silent ones have been accepted
        site.stop()
        for client in silent:
            wait_until(partial(is_closed, client), seconds=5, what="an end")
    assert caplog.records == []


def test_a_stop_waits_for_no_goodbye(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    with site_of(pair) as site, site.strangers(3, text=b"GET /healthz HTTP/1.1\r\nHost: n7\r\n\r\n") as silent:
        for client in silent:
            assert client.recv(1) == b"H"
        site.stop()
        for client in silent:
            read_all(client)
    assert caplog.records == []


def test_a_slow_client_gets_all_before_the_goodbye(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = b"x" * 20_000_000
    monkeypatch.setattr(Exposition, "render", lambda *_, **__: (whole, "text/plain"))
    ask = b"GET /metrics HTTP/1.1\r\nHost: n7\r\nConnection: close\r\n\r\n"
    with site_of(pair) as site, site.strangers(1, text=ask) as (client,):
        time.sleep(1.2)
        assert read_all(client).endswith(whole)


@pytest.mark.parametrize(
    ("settings", "client", "let_in"),
    [
        ("", ssl.TLSVersion.TLSv1_2, True),
        ("", ssl.TLSVersion.TLSv1_3, True),
        ("min_version: TLS13", ssl.TLSVersion.TLSv1_2, False),
        ("min_version: TLS13", ssl.TLSVersion.TLSv1_3, True),
        ("max_version: TLS12", ssl.TLSVersion.TLSv1_3, False),
        ("max_version: TLS12", ssl.TLSVersion.TLSv1_2, True),
    ],
)
def test_versions(pair: Pair, settings: str, client: ssl.TLSVersion, *, let_in: bool) -> None:
    with site_of(pair, settings) as site:
        context_of(site).minimum_version = context_of(site).maximum_version = client
        assert is_let_in(site) == let_in


@pytest.mark.parametrize(("preferred", "agreed"), [("true", "CHACHA20"), ("false", "AES256")])
def test_the_order_of_suites_is_the_servers_or_the_clients(pair: Pair, preferred: str, agreed: str) -> None:
    suites = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
    settings = f"max_version: TLS12, cipher_suites: [{suites}], prefer_server_cipher_suites: {preferred}"
    with site_of(pair, settings) as site:
        context_of(site).set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305")
        with site.open() as client:
            assert isinstance(client, ssl.SSLSocket)
            assert agreed in (client.cipher() or ("",))[0]
        context_of(site).set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
        assert not is_let_in(site)


def test_openssl_knows_all_names(pair: Pair) -> None:
    for curve in CURVES.values():
        Certificates(TlsSettings(*pair, curve=curve))
    for cipher in CIPHERS.values():
        context = Certificates(TlsSettings(*pair, ciphers=(cipher,))).context(0.0)
        assert cipher in {known["name"] for known in context.get_ciphers()}


def test_the_curve_is_the_one_that_is_set(pair: Pair) -> None:
    with site_of(pair, "curve_preferences: [CurveP384]") as site:
        context_of(site).set_ecdh_curve("prime256v1")
        assert not is_let_in(site)
        context_of(site).set_ecdh_curve("secp384r1")
        assert is_let_in(site)


@pytest.mark.parametrize(
    ("kind", "sans", "with_none", "with_one", "with_anothers"),
    [
        ("NoClientCert", "", True, True, True),
        ("VerifyClientCertIfGiven", "", True, True, False),
        ("RequireAndVerifyClientCert", "", False, True, False),
        ("RequireAndVerifyClientCert", "[other, prometheus.lan]", False, True, False),
        ("RequireAndVerifyClientCert", "['2001:db8::1']", False, True, False),
        ("RequireAndVerifyClientCert", "[prometheus]", False, False, False),
    ],
)
def test_client_certificates(  # noqa: PLR0917  a table
    pair: Pair, ca: Pair, kind: str, sans: str, with_none: bool, with_one: bool, with_anothers: bool
) -> None:
    folder, names = pair.cert.parent, "DNS:prometheus.lan,IP:2001:db8::1"
    own = make_certificate(folder, "prometheus", sans=names, signed_by=ca)
    anothers = make_certificate(folder, "another", sans=names)
    settings = f"client_auth_type: {kind}"
    settings += ", client_ca_file: ca.crt" if kind != "NoClientCert" else ""
    settings += f", client_allowed_sans: {sans}" if sans else ""
    with site_of(pair, settings) as site:
        assert is_let_in(site) == with_none
        context_of(site).load_cert_chain(*own)
        assert is_let_in(site) == with_one
        context_of(site).load_cert_chain(*anothers)
        assert is_let_in(site) == with_anothers


def test_names_of_a_certificate() -> None:
    peer = {"subjectAltName": (("DNS", "n7"), ("IP Address", "2001:DB8:0:0:0:0:0:1"), ("email", "a@b"), ("URI", "x:y"))}
    assert names_of(peer) == {"n7", "2001:db8::1", "a@b", "x:y"}
    assert names_of({"subjectAltName": (("IP Address", "<invalid>"), ("DNS", "n7"))}) == {"n7"}
    assert names_of({}) == set()


def replace_pair(there: Pair, new: Pair) -> None:
    """As a renewal does: by new files, maybe of the same length."""
    for old, file in zip(there, new, strict=True):
        fresh = shutil.copy(file, old.with_suffix(".fresh"))
        os.replace(fresh, old)


def test_a_renewed_certificate_is_served_without_a_restart(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_module, "CHECK_SECONDS", 0.0)
    (tmp_path / "new").mkdir()
    new = make_certificate(tmp_path / "new", "n7")
    with site_of(pair) as site:
        kept = site.connect()
        kept.request("GET", "/healthz")
        kept.getresponse().read()
        old_context, site.client_context = site.client_context, ssl.create_default_context(cafile=new.cert)
        assert not is_let_in(site)
        replace_pair(pair, new)
        assert is_let_in(site)
        kept.request("GET", "/healthz")
        assert kept.getresponse().status == 200
        kept.close()
        site.client_context = old_context
        assert not is_let_in(site)


def test_a_half_written_pair_keeps_the_old_one_and_says_so_once(
    pair: Pair, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    (tmp_path / "new").mkdir()
    new = make_certificate(tmp_path / "new", "n7")
    certificates = Certificates(TlsSettings(*pair))
    old, now = certificates.context(0.0), 0.0
    steps = (lambda: shutil.copy(new.key, pair.key), lambda: pair.cert.write_bytes(b""), pair.key.unlink)
    for damage in steps:
        damage()
        assert certificates.context(now + CHECK_SECONDS / 2) is old
        for _ in range(3):
            now += CHECK_SECONDS
            assert certificates.context(now) is old
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 3
    assert all("the old one is" in record.message for record in caplog.records)
    replace_pair(pair, new)
    assert certificates.context(now + CHECK_SECONDS) is not old
    assert "was renewed" in caplog.records[-1].message


def test_a_key_that_everybody_can_read_is_told(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    pair.key.chmod(0o640)
    Certificates(TlsSettings(*pair))
    assert caplog.records == []
    pair.key.chmod(0o644)
    Certificates(TlsSettings(*pair))
    (record,) = caplog.records
    assert record.message == f"{pair.key} holds the private key, and everybody can read it: chmod o-r"


def test_files_that_are_no_pair_are_told(pair: Pair, ca: Pair, tmp_path: Path) -> None:
    garbage = tmp_path / "garbage"
    garbage.write_text("no PEM")
    os.mkfifo(tmp_path / "fifo")
    for settings, message in (
        (TlsSettings(pair.cert, ca.key), "must be a certificate in PEM and its own private key: KEY_VALUES_MISMATCH"),
        (TlsSettings(garbage, pair.key), "must be a certificate in PEM and its own private key"),
        (TlsSettings(tmp_path / "none", pair.key), f"cert_file {tmp_path / 'none'} cannot be read: No such file"),
        (TlsSettings(pair.cert, tmp_path), "cannot be read: Is a directory"),
        (TlsSettings(pair.cert, tmp_path / "fifo"), "fifo cannot be read: it is no regular file"),
        (TlsSettings(*pair, client_ca_file=garbage), f"client_ca_file {garbage} must hold certificates in PEM"),
    ):
        with pytest.raises(UsageError, match=message):
            Certificates(settings)


def test_an_encrypted_key_is_told_and_nobody_is_asked(pair: Pair, tmp_path: Path) -> None:
    encrypted = tmp_path / "encrypted.key"
    command = ["openssl", "pkcs8", "-topk8", "-in", str(pair.key), "-passout", "pass:secret", "-out", str(encrypted)]
    subprocess.run(command, check=True, capture_output=True)
    with pytest.raises(UsageError, match=r"encrypted\.key is encrypted, and must be .* without a password"):
        Certificates(TlsSettings(pair.cert, encrypted))
