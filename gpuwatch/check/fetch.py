"""One HTTP request with bounds: a few seconds, a bounded body, no redirect. Never tells an address or a secret."""

from __future__ import annotations

import ssl
from http.client import HTTPException
from typing import NamedTuple
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request

from gpuwatch.alert.workspace import is_loopback

TIMEOUT_SECONDS = 3.0
LONGEST_BODY = 1 << 20


class Answer(NamedTuple):
    """An answer of any status, or, with status 0, why there is none, in words that hold nothing of the request."""

    status: int
    body: bytes = b""
    problem: str = ""


def fetch(url: str, *, token: str = "", here: bool = False) -> Answer:
    """GET `url`, or POST it with a bearer `token`. Through the environment's proxy, but for a loopback address.

    What is `here`, on this machine under any address, is asked without a proxy, and may show any certificate: nothing
    secret is sent there.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        return Answer(0, problem="its address is neither http nor https")
    request = Request(url, method="POST", data=b"") if token else Request(url)
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    try:
        # Headers that no server should need to see would be sent by build_opener; and it follows redirects.
        with _opener(parts.hostname or "", here=here).open(request, timeout=TIMEOUT_SECONDS) as answer:
            return Answer(answer.status, answer.read(LONGEST_BODY))
    except (OSError, HTTPException, ValueError) as error:
        return Answer(0, problem=_why(error))


def _opener(host: str, *, here: bool) -> OpenerDirector:
    context = ssl.create_default_context()
    if here:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    opener = OpenerDirector()
    for handler in (
        ProxyHandler({} if here or is_loopback(host) else None),
        HTTPHandler(),
        HTTPSHandler(context=context),
    ):
        opener.add_handler(handler)
    return opener


def _why(error: Exception) -> str:
    """Of an error only what is surely not the request's: an exception's own text can hold a header."""
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {reason.verify_message}"
    if isinstance(reason, TimeoutError):
        return f"no answer within {TIMEOUT_SECONDS:g} s"
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror
    return "what answers does not speak HTTP" if isinstance(reason, HTTPException) else type(reason).__name__
