"""Slack: is the token there, kept from others, and accepted? The token is never shown, whatever goes wrong."""

from __future__ import annotations

import json
import shlex
import stat
from pathlib import Path
from typing import NamedTuple

from gpuwatch.alert.refusal import CODE
from gpuwatch.alert.token import read_token
from gpuwatch.alert.workspace import Workspace
from gpuwatch.check.fetch import Answer, fetch
from gpuwatch.check.finding import Finding, fail, ok, warn
from gpuwatch.errors import SlackRefused

_LOST = "messages to the owners of idle runs"


class SlackFacts(NamedTuple):
    """What was found. It has no place for the token."""

    path: Path | None
    problem: str = ""
    """Why there is no token to try."""
    mode: int = 0o600
    answer: Answer = Answer(0)
    in_clear: bool = False
    """The address would have the token sent unencrypted, so it was not."""


def read_slack(workspace: Workspace) -> SlackFacts:
    """Read the token and try it by `auth.test`, which sends no message."""
    path = workspace.token_file
    if path is None:
        return SlackFacts(None)
    mode = _mode(path)
    try:
        token = read_token(path)
    except SlackRefused as error:
        return SlackFacts(path, str(error), mode)
    if not workspace.is_secret:
        return SlackFacts(path, mode=mode, in_clear=True)
    return SlackFacts(path, mode=mode, answer=fetch(f"{workspace.api_url}/auth.test", token=token))


def _mode(path: Path) -> int:
    """Its mode; 0 where it cannot be seen."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return 0


def judge_slack(facts: SlackFacts) -> list[Finding]:
    """The file, and the answer."""
    if facts.path is None:
        return [ok("slack", "not configured: set slack.token_file to have it checked")]
    name = shlex.quote(str(facts.path))
    if facts.problem:
        mend = f"install -m 0600 -o THE_USER TOKEN_FILE {name}"
        return [fail("slack", facts.problem, lost=_LOST, mend=mend)]
    findings = [_judge_answer(facts)]
    if facts.mode & 0o007:
        found, lost = f"{facts.path} has mode {facts.mode:04o}: anybody here may use it", "the secrecy of the token"
        findings.append(warn("slack", found, lost=lost, mend=f"chmod 0600 {name}, and have Slack issue a new token"))
    return findings


def _judge_answer(facts: SlackFacts) -> Finding:
    if facts.in_clear:
        found = "slack.api_url is not https: the token was not sent"
        return fail("slack", found, lost=_LOST, mend="an https address, or one of this machine, as slack.api_url")
    status, body, problem = facts.answer
    if status != 200:
        found = f"Slack does not answer: {problem or f'HTTP status {status}'}"
        return warn(
            "slack", found, lost=_LOST, mend="curl https://slack.com/api/api.test; then https_proxy, or slack.api_url"
        )
    error = _error(body)
    if error is None:
        return ok("slack", "the token is accepted")
    mend = f"put the bot's token of the Slack app (OAuth & Permissions) into {facts.path}"
    return fail("slack", f"Slack refuses the token: {error}", lost=_LOST, mend=mend)


def _error(body: bytes) -> str | None:
    """Why Slack refuses; None where it does not. Nothing else of the answer is taken: it could hold the token."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        return "an answer that is not Slack's"
    if document.get("ok") is True:
        return None
    error = document.get("error")
    return error if isinstance(error, str) and CODE.fullmatch(error) else "an answer that is not Slack's"
