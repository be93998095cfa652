"""The web configuration: what it asks for is done or refused in words that help, and no secret is ever shown."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import bcrypt
import pytest
import yaml
from listener import make_certificate, serving, write_web

from gpuwatch.errors import UsageError
from gpuwatch.export.tls import TlsSettings
from gpuwatch.export.web import parse_tls, read_web

HASH = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
PAIR = "cert_file: a.crt, key_file: a.key"
ALL = """
tls_server_config:
  cert_file: a.crt
  key_file: /etc/keys/a.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.crt
  client_allowed_sans: [prometheus.lan]
  min_version: TLS12
  max_version: TLS13
  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]
  prefer_server_cipher_suites: false
  curve_preferences: [CurveP256]
"""


def test_all_of_tls_is_read(tmp_path: Path) -> None:
    assert parse_tls(tmp_path / "web.yml", yaml.safe_load(ALL)["tls_server_config"]) == TlsSettings(
        cert_file=tmp_path / "a.crt",
        key_file=Path("/etc/keys/a.key"),
        client_ca_file=tmp_path / "ca.crt",
        client_required=True,
        client_allowed_sans=frozenset({"prometheus.lan"}),
        ciphers=("ECDHE-RSA-AES128-GCM-SHA256",),
        prefer_own_ciphers=False,
        curve="prime256v1",
    )


def test_the_example_of_the_exporters_is_read(tmp_path: Path) -> None:
    pair = make_certificate(tmp_path, "node_exporter")
    text = f"""
    tls_server_config:
      cert_file: {pair.cert.name}
      key_file: {pair.key.name}
    http_server_config:
      http2: true
      headers:
        Strict-Transport-Security: max-age=31536000
    basic_auth_users:
      alice: {HASH}
      bob: {HASH.replace("$2b$", "$2y$")}
    """
    web = read_web(write_web(tmp_path, text))
    assert web.tls is not None
    assert web.auth is not None
    assert web.headers == {"strict-transport-security": "max-age=31536000"}


@pytest.mark.parametrize("text", ["", "{}", "tls_server_config:\nbasic_auth_users:\nhttp_server_config:\n"])
def test_an_empty_one_changes_nothing(tmp_path: Path, text: str) -> None:
    web = read_web(write_web(tmp_path, text))
    assert (web.tls, web.auth, web.headers) == (None, None, {})


def test_headers_are_sent_with_every_answer(tmp_path: Path) -> None:
    text = """http_server_config: {headers: {
        Content-Security-Policy: '', X-Frame-Options: deny, X-Content-Type-Options: nosniff, X-XSS-Protection: '0'}}"""
    with serving(read_web(write_web(tmp_path, text))) as site:
        for path in ("/metrics", "/nothing"):
            answer, _ = site.ask(path)
            assert (answer.headers["x-frame-options"], answer.headers["x-xss-protection"]) == ("deny", "0")
            assert answer.headers.get_all("x-content-type-options") == ["nosniff"]
            assert "content-security-policy" not in answer.headers


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tls_server_config: {cert_fil: a}", r"unknown key tls_server_config\.cert_fil; did you mean cert_file\?"),
        ("tls_config: {cert_file: a}", r"unknown key tls_config; did you mean tls_server_config\?"),
        ("users: {}", "unknown key users; there is: tls_server_config, http_server_config, basic_auth_users"),
        ("1: 2", "unknown key 1; there is: "),
        ("- a", "the configuration must be a mapping of tls_server_config"),
        ("tls_server_config: a.crt", "tls_server_config must be a mapping of cert_file"),
        ("rate_limit: {interval: 1s, burst: 5}", "rate_limit cannot be used: leave it out"),
        ("tls_server_config: {cert_file: a.crt}", r"key_file is None, and must be the path of a PEM file"),
        ("tls_server_config: {key_file: a.key, cert_file: ''}", r"cert_file is '', and must be the path of a PEM file"),
        ("tls_server_config: {cert_file: 1, key_file: a}", r"cert_file is 1, and must be a string: put it in quotes"),
        ("tls_server_config: {key: SECRET}", r"tls_server_config\.key cannot be used: put it into a file, .* key_file"),
        (f"tls_server_config: {{{PAIR}, min_version: TLS10}}", "is 'TLS10', and must be one of TLS12, TLS13"),
        (f"tls_server_config: {{{PAIR}, min_version: TLS13, max_version: TLS12}}", "no lower than min_version, TLS13"),
        (f"tls_server_config: {{{PAIR}, client_auth_type: RequireAnyClientCert}}", "must be one of NoClientCert, Ver"),
        (f"tls_server_config: {{{PAIR}, client_auth_type: RequireAndVerifyClientCert}}", "client_ca_file is None"),
        (f"tls_server_config: {{{PAIR}, client_ca_file: ca.crt}}", "client_auth_type is None, and must be RequireAnd"),
        (f"tls_server_config: {{{PAIR}, client_allowed_sans: [a]}}", "client_auth_type is None, and must be RequireAn"),
        (f"tls_server_config: {{{PAIR}, client_allowed_sans: a}}", "is 'a', and must be a list of strings"),
        (f"tls_server_config: {{{PAIR}, cipher_suites: [RC4]}}", r"\['RC4'\], and must be of TLS_ECDHE_ECDSA_WITH_AES"),
        (f"tls_server_config: {{{PAIR}, cipher_suites: [TLS_AES_128_GCM_SHA256]}}", "with one for TLS 1.2, or min_ver"),
        (f"tls_server_config: {{{PAIR}, curve_preferences: [X25519]}}", "must be a list of one of CurveP256, Curve"),
        (f"tls_server_config: {{{PAIR}, curve_preferences: [CurveP256, CurveP384]}}", "must be a list of one of Cur"),
        (f"tls_server_config: {{{PAIR}, prefer_server_cipher_suites: 'no'}}", "is 'no', and must be true or false"),
        (f"tls_server_config: {{{PAIR}}}", r"cert_file .*/a\.crt cannot be read: No such file or directory"),
        ("http_server_config: {http2: maybe}", "http2 is 'maybe', and must be true or false"),
        ("http_server_config: {headers: {X-Frame-Option: deny}}", r"did you mean X-Frame-Options\?"),
        ("http_server_config: {headers: {X-Frame-Options: no}}", "is False, and must be a string: put it in quotes"),
        ("http_server_config: {headers: {X-Frame-Options: allow}}", "is 'allow', and must be one of deny, sameorigin"),
        ('http_server_config: {headers: {X-XSS-Protection: "0\\r\\nX: y"}}', "and must be one line of ASCII"),
        ("basic_auth_users: [annika]", "basic_auth_users must be a mapping of users to bcrypt hashes"),
        ("basic_auth_users: {annika: SECRET}", "value of name 1 is not shown here, and must be a bcrypt hash"),
        (f"basic_auth_users: {{annika: {HASH}, ben: {HASH.replace('$04$', '$20$')}}}", "value of name 2 is not shown"),
        (f"basic_auth_users: {{7: {HASH}}}", "name 1 must be a string without a colon, in quotes"),
        ("basic_auth_users:\n  annika: 'SECRET\n", "is no valid YAML at line 3, column 1"),
        ("basic_auth_users: {annika: !SECRET x}", "is no valid YAML at line 1"),
        ("SECRET: \x00", "is no valid YAML"),
        ("SECRET: 2026-13-45", "is no valid YAML: a value does not fit its type"),
        ('SECRET: !!int ""', "is no valid YAML: a value does not fit its type"),
        ("[" * 5000, "is no valid YAML: .* lists have no end"),
        (f"basic_auth_users: {{annika: {HASH}}}\nbasic_auth_users:", "has a key twice at line 2, column 1"),
        ("basic_auth_users:\n  annika: a\n  annika: b", "has a key twice at line 3, column 3"),
        (
            'tls_server_config: {key_file: "SECRET\\n"}',
            r"tls_server_config\.key_file is not shown here, and must be the",
        ),
        ("tls_server_config: {key_file: -----BEGIN SECRET KEY----- a}", r"key_file is not shown here, and must be the"),
        (
            r'tls_server_config: {cert_file: "a\0"}',
            r"cert_file is not shown here, and must be the path of a file on one",
        ),
    ],
)
def test_what_is_wrong_is_told_with_what_is_right(tmp_path: Path, text: str, message: str) -> None:
    path = write_web(tmp_path, text)
    with pytest.raises(UsageError, match=message) as caught:
        read_web(path)
    said = str(caught.value)
    assert str(tmp_path) in said
    assert "\n" not in said
    assert not any(secret in said for secret in ("SECRET", HASH, "annika"))


def test_one_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read the web configuration .*web\.yml"):
        read_web(tmp_path / "web.yml")


def test_one_that_is_no_plain_file_is_told_and_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "web.yml"
    os.mkfifo(path)
    with pytest.raises(UsageError, match=r"cannot read the web configuration .*web\.yml: it is no regular file"):
        read_web(path)
    path.unlink()
    path.write_bytes(b"#" * (2**20 + 1))
    with pytest.raises(UsageError, match="it is longer than 1 MiB"):
        read_web(path)
    path.write_bytes(b"\xff")
    with pytest.raises(UsageError, match="it is not in UTF-8"):
        read_web(path)


def test_an_agent_without_one_loads_nothing_for_it() -> None:
    script = "import sys, gpuwatch.agent.daemon; print([m for m in ('yaml', 'bcrypt') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
