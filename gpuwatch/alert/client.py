"""The one door to slack-sdk: a call of Slack's API with bounds, and its answer or an error that a person can act on.

Nothing that Slack answers is told but the names of its errors and rights: a strange server could send the token back.
"""

from __future__ import annotations

import logging
import re
import ssl
from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import Any, Final
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request

from slack_sdk.errors import SlackApiError
from slack_sdk.web import SlackResponse, WebClient

from gpuwatch.alert.refusal import CODE, Delayed, is_busy, is_trouble, sentence_of
from gpuwatch.alert.token import read_token
from gpuwatch.alert.workspace import Workspace, is_loopback
from gpuwatch.errors import SlackRefused, SlackUnreachable, SlackUnsure

TIMEOUT_SECONDS: Final = 10
_LONGEST_BODY: Final = 1 << 20
_DELAY: Final = re.compile(r"[0-9]{1,6}")


class _Client(WebClient):
    """The SDK's client, whose own way out follows redirects with the token, and passes any proxy for this machine."""

    def _perform_urllib_http_request_internal(self, url: str, req: Request) -> dict[str, Any]:
        with _opener(url).open(req, timeout=self.timeout) as answer:
            body = answer.read(_LONGEST_BODY).decode("utf-8", "replace")
            return {"status": answer.status, "headers": answer.headers, "body": body}


def call(workspace: Workspace, method: Callable[[WebClient], SlackResponse]) -> dict[str, Any]:
    """What Slack answers to one call, which a method of the SDK's client makes. It is tried once, for 10 s.

    Raises SlackRefused, SlackUnsure and SlackUnreachable, of which Delayed where Slack says when it would take it.
    """
    if not workspace.is_secret:
        raise SlackRefused("the token is not sent unencrypted: slack.api_url must be https, or of this machine")
    client = _Client(
        token=read_token(workspace.token_file),
        base_url=workspace.api_url,
        timeout=TIMEOUT_SECONDS,
        logger=_silence(),
        retry_handlers=[],
    )
    try:
        data = method(client).data
    except SlackApiError as error:
        raise _refused(error.response, workspace) from None  # its text holds the whole answer
    except URLError as error:
        raise SlackUnreachable(f"Slack is not reached: {_why(error.reason)}") from None
    except (OSError, HTTPException) as error:
        raise SlackUnsure(f"Slack did not answer: {_why(error)}") from None
    except (ValueError, AttributeError, TypeError, RecursionError):  # what the SDK makes of other JSON than an object
        raise SlackUnsure(_STRANGE) from None
    return data if isinstance(data, dict) else {}


_STRANGE: Final = "what answers at slack.api_url is not Slack: look whether a proxy stands between"


def _opener(url: str) -> OpenerDirector:
    """One that follows no redirect, and has a status of any kind as an answer."""
    parts = urlsplit(url)
    opener = OpenerDirector()
    opener.add_handler(ProxyHandler({} if is_loopback(parts.hostname or "") else None))
    if parts.scheme == "https":
        opener.add_handler(HTTPSHandler(context=ssl.create_default_context()))  # slow: it reads all certificates
    else:
        opener.add_handler(HTTPHandler())
    return opener


def _silence() -> logging.Logger:
    """A logger that tells nothing: the SDK logs whole requests and answers."""
    logger = logging.Logger("slack")
    logger.disabled = True
    logger.setLevel(logging.CRITICAL + 1)  # it asks for the level too
    return logger


def _refused(answer: SlackResponse, workspace: Workspace) -> Exception:
    about = answer.data if isinstance(answer.data, dict) else {}
    code = about.get("error")
    if answer.status_code == 429 or is_busy(code):
        return Delayed(_delay(answer.headers))
    if answer.status_code >= 500:
        return SlackUnsure(f"Slack has trouble: HTTP status {answer.status_code}")
    if answer.status_code != 200:
        return SlackUnreachable(f"{_STRANGE} (HTTP status {answer.status_code})")
    if not isinstance(code, str) or not CODE.fullmatch(code):
        return SlackUnsure(_STRANGE)
    if is_trouble(code):
        return SlackUnsure(f"Slack has trouble: {code}")
    return SlackRefused(sentence_of(code, about.get("needed"), workspace.token_file), code=code)


def _delay(headers: Mapping[str, str]) -> int:
    """Seconds that Slack asks to wait; a second where it does not say."""
    text = next((str(value) for name, value in headers.items() if name.lower() == "retry-after"), "")
    return int(text) if _DELAY.fullmatch(text) else 1


def _why(error: object) -> str:
    """Of an error only what is surely not the request's: an exception's own text can hold a header."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT_SECONDS} s"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
