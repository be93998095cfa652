"""The way to the server: one POST with bounds. Follows no redirect, and shows no secret in any message."""

from __future__ import annotations

import base64
import ipaddress
import ssl
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Final, NamedTuple
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import AbstractHTTPHandler, OpenerDirector, ProxyHandler, Request

from gpuwatch.errors import PrometheusError, UsageError
from gpuwatch.report.server import Server

CONNECT_SECONDS: Final = 5.0
WHOLE_SECONDS: Final = 120.0
LONGEST_BODY: Final = 256 << 20
_LONGEST_SHOWN: Final = 300


class Answer(NamedTuple):
    """What the server said: any status."""

    status: int
    body: bytes
    location: str = ""
    """Where it sends one instead."""


class Connection:
    """A server, and how to get in."""

    def __init__(self, server: Server) -> None:
        """Raises UsageError where the server cannot be asked so."""
        parts = urlsplit(server.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError("the server's address must be http:// or https://, a host, and the path before /api/v1")
        if "@" in parts.netloc or parts.query or parts.fragment:  # what is not shown may be a password
            raise UsageError(
                "the server's address is not shown here, and must hold neither a user nor what follows ? or #: "
                "see prometheus.user and prometheus.password_file"
            )
        _check_credentials(server)
        self.url = server.url.rstrip("/")
        self._server = server
        self._opener = _opener(parts.hostname, _trust(server.ca_file))

    def post(self, path: str, form: bytes) -> Answer:
        """The answer to a form. Raises PrometheusError where there is none, UsageError where a secret is unreadable."""
        request = Request(f"{self.url}{path}", data=form, method="POST")
        if header := _authorization(self._server):
            request.add_unredirected_header("Authorization", header)
        deadline = time.monotonic() + WHOLE_SECONDS
        try:
            with self._opener.open(request, timeout=WHOLE_SECONDS) as answer:
                return Answer(answer.status, _read(answer, deadline), answer.headers.get("Location", ""))
        except (OSError, HTTPException, ValueError) as error:
            raise PrometheusError(f"{self.url} {_why(error)}") from None  # its own text can hold a header


def plain(text: str) -> str:
    """What a server said, as it may be shown on a terminal: no control characters, and not without end."""
    return "".join(c if c.isprintable() else " " for c in text[:_LONGEST_SHOWN]).strip()


class _Plain(HTTPConnection):
    def connect(self) -> None:
        _within_seconds(self, super().connect)


class _Secure(HTTPSConnection):
    def connect(self) -> None:
        _within_seconds(self, super().connect)


def _within_seconds(connection: HTTPConnection, connect: Callable[[], None]) -> None:
    """Connect within less time than an answer may take."""
    whole, connection.timeout = connection.timeout, CONNECT_SECONDS
    connect()
    connection.sock.settimeout(whole)


class _Handler(AbstractHTTPHandler):
    def __init__(self, trust: ssl.SSLContext) -> None:
        super().__init__()
        self._trust = trust
        self.http_request = self.https_request = self.do_request_

    def http_open(self, request: Request) -> HTTPResponse:
        return self.do_open(_Plain, request)

    def https_open(self, request: Request) -> HTTPResponse:
        return self.do_open(_Secure, request, context=self._trust)


def _opener(host: str, trust: ssl.SSLContext) -> OpenerDirector:
    """Without what build_opener adds: it would follow redirects, and take the password along."""
    opener = OpenerDirector()
    opener.add_handler(ProxyHandler({} if _is_loopback(host) else None))
    opener.add_handler(_Handler(trust))
    return opener


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read(answer: HTTPResponse, deadline: float) -> bytes:
    body = bytearray()
    while piece := answer.read1(1 << 20):
        body += piece
        if len(body) > LONGEST_BODY:
            raise PrometheusError(f"an answer of more than {LONGEST_BODY >> 20} MiB: ask for less at once")
        if time.monotonic() > deadline:
            raise TimeoutError
    return bytes(body)


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError as error:
        raise UsageError(f"prometheus.ca_file {ca_file} must hold certificates in PEM") from error
    except OSError as error:
        raise UsageError(f"prometheus.ca_file {ca_file} cannot be read: {error.strerror}") from error


def _check_credentials(server: Server) -> None:
    if server.token_file is not None and (server.user or server.password_file is not None):
        raise UsageError("prometheus.token_file and prometheus.user are two ways in: set one of them")
    if bool(server.user) != (server.password_file is not None):
        raise UsageError("prometheus.user and prometheus.password_file go together: set both")
    if ":" in server.user:
        raise UsageError("prometheus.user must be a name without a colon")


def _authorization(server: Server) -> str:
    if server.token_file is not None:
        token = _read_secret("prometheus.token_file", server.token_file)
        if not token.isascii() or " " in token:
            raise UsageError(f"prometheus.token_file {server.token_file} must hold one token")
        return f"Bearer {token}"
    if server.password_file is not None:
        password = _read_secret("prometheus.password_file", server.password_file)
        return "Basic " + base64.b64encode(f"{server.user}:{password}".encode()).decode()
    return ""


def _read_secret(key: str, path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise UsageError(f"{key} {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise UsageError(f"{key} {path} must hold one line of text") from None
    if not text or not text.isprintable():
        raise UsageError(f"{key} {path} must hold one line of text")
    return text


def _why(error: Exception) -> str:
    """What happened, and what would be right, in words that hold nothing of the request."""
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"shows a certificate that is not trusted: {reason.verify_message}; prometheus.ca_file names its CA"
    if isinstance(reason, ssl.SSLError):
        return "does not speak TLS as it should: where it serves plain HTTP, its address begins with http://"
    if isinstance(reason, TimeoutError):
        return f"does not answer: not connected within {CONNECT_SECONDS:g} s, or no answer within {WHOLE_SECONDS:g} s"
    if isinstance(reason, HTTPException | ConnectionResetError):
        return "does not speak HTTP: where it serves TLS, its address begins with https://"
    words = reason.strerror if isinstance(reason, OSError) else None
    return f"cannot be reached: {words or type(reason).__name__}; curl it to see whether the way there is open"
