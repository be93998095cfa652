"""The status document of the agent that runs here, by HTTP."""

from __future__ import annotations

import base64
import json
import ssl
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

from gpuwatch.attribute.text import printable
from gpuwatch.errors import GpuwatchError, UsageError
from gpuwatch.export.address import parse_address

_TIMEOUT_SECONDS = 5.0
_LONGEST_BYTES = 2**24


def fetch(
    listen: str, *, ca_file: Path | None = None, login: str | None = None, password_file: Path | None = None
) -> dict[str, Any] | None:
    """The agent's document; None where no agent listens there. Raises GpuwatchError that says what is missing."""
    secure = listen.startswith("https://")
    if ca_file is not None and not secure:  # a password would be sent in clear by who thinks it is not
        raise UsageError(f"--ca-file is for TLS: --listen https://{listen}, or leave it out")
    host, port = parse_address(listen.removeprefix("https://"))
    at = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    request = Request(f"{'https' if secure else 'http'}://{at}/api/v1/status")
    if (credentials := _credentials(login, password_file)) is not None:
        request.add_unredirected_header("Authorization", credentials)
    # Not through a proxy: the agent is on this machine, whatever http_proxy says.
    opener = build_opener(ProxyHandler({}), HTTPSHandler(context=_trust(ca_file) if secure else None))
    try:
        with opener.open(request, timeout=_TIMEOUT_SECONDS) as answer:
            document = json.loads(answer.read(_LONGEST_BYTES))
    except HTTPError as error:
        with error:
            raise GpuwatchError(_refused(listen, error.code, known=credentials is not None)) from error
    except URLError as error:
        if isinstance(error.reason, ConnectionRefusedError):
            return None
        raise GpuwatchError(_unreachable(listen, error.reason)) from error
    except (OSError, ValueError, HTTPException, RecursionError) as error:
        hint = "" if secure else f" (where it serves TLS: --listen https://{at})"
        raise GpuwatchError(f"what listens at {listen} is no gpuwatch agent: {printable(str(error))}{hint}") from error
    if not isinstance(document, dict) or document.get("agent") is not True:
        raise GpuwatchError(f"what listens at {listen} is no gpuwatch agent: it gives another document")
    return document


def _credentials(login: str | None, password_file: Path | None) -> str | None:
    """The Authorization header; None where there is neither login nor password."""
    if login is None and password_file is None:
        return None
    if login is None or password_file is None or ":" in login:
        raise UsageError("--login NAME, without a colon, and --password-file FILE go together")
    try:
        password = password_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--password-file {password_file} cannot be read: {error}") from error
    return "Basic " + base64.b64encode(f"{login}:{password}".encode("utf-8", "surrogateescape")).decode()


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    """Trust in the system's CAs, or in those of a file."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError as error:
        raise UsageError(f"--ca-file {ca_file} must hold certificates in PEM") from error
    except OSError as error:
        raise UsageError(f"--ca-file {ca_file} cannot be read: {error.strerror}") from error


def _refused(listen: str, code: int, *, known: bool) -> str:
    if code != 401:
        return f"the agent at {listen} gave no status: HTTP {code}"
    if known:
        return f"the agent at {listen} does not know this user with this password: see --login and --password-file"
    return f"the agent at {listen} asks for a password: give --login NAME and --password-file FILE"


def _unreachable(listen: str, reason: object) -> str:
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"the certificate at {listen} is not trusted: {reason.verify_message}; name its CA with --ca-file FILE"
    if isinstance(reason, ssl.SSLError):
        return f"no TLS with {listen}: {reason.reason}; where the agent serves plain HTTP, leave out https://"
    return f"the agent at {listen} gave no status: {reason}"
