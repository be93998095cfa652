"""A message to somebody, sent the way that notices are, to see that they would arrive: each step is a finding."""

from __future__ import annotations

from collections.abc import Generator

from gpuwatch.alert.message.blocks import WHOM, Content, addressed, rendered
from gpuwatch.alert.people import email_of
from gpuwatch.alert.refusal import concerns_token
from gpuwatch.alert.search import find, mark
from gpuwatch.alert.slack import Slack
from gpuwatch.alert.workspace import Workspace
from gpuwatch.check.finding import Finding, fail, ok, warn
from gpuwatch.errors import SlackRefused, SlackUnreachable, SlackUnsure

_LOST_ALL = "messages to the owners of idle runs"
_APP = "docs/slack.md says which rights the Slack app needs, and what to configure"
_WORDS = ", this is a test: somebody ran `gpuwatch check --send-test`. Notices about GPUs that you hold and do not use "
_POSTED = f"{_WORDS}would reach you here."
_EDITED = f"{_WORDS}reach you here, and are edited as they go on."


def send_trial(workspace: Workspace, person: str, *, letter: str, now_unix: float) -> list[Finding]:
    """Find the person, write to them, find the message again, and edit it. `letter` is an id that is used once."""
    findings: list[Finding] = []
    try:
        findings.extend(_send(Slack(workspace), workspace, person, letter, now_unix))
    except (SlackRefused, SlackUnreachable, SlackUnsure) as error:
        findings.append(fail("slack", str(error), lost=_LOST_ALL, mend=_APP))
    return findings


def _send(
    slack: Slack, workspace: Workspace, person: str, letter: str, now_unix: float
) -> Generator[Finding, None, None]:
    number = yield from _found(slack, workspace, person)
    channel = yield from _opened(slack, workspace, number)
    if not channel:
        lost = f"what {person} would be told"
        yield fail("slack", "there is nobody to write to", lost=lost, mend="set slack.channel, or slack.email_domain")
        return
    posted = addressed(rendered(Content("A test of gpuwatch", (WHOM, _POSTED))), person, number)
    place = slack.post(channel, posted.text, posted.blocks, metadata=mark(letter))
    yield ok("slack", f"a message to {person} is posted{'' if number else f' in {channel}'}")
    yield _seen_again(slack, letter, channel, now_unix)
    edited = addressed(rendered(Content("A test of gpuwatch", (WHOM, _EDITED))), person, number)
    slack.update(place, edited.text, edited.blocks)
    yield ok("slack", "and edited")


def _found(slack: Slack, workspace: Workspace, person: str) -> Generator[Finding, None, str]:
    """Say whether Slack knows the person; their number, or nothing."""
    lost = "direct messages, and mentions: people are only named in the channel"
    email = email_of(person, workspace.email_domain) if workspace.email_domain else None
    if email is None:
        why = "no address begins so" if workspace.email_domain else "slack.email_domain is not set"
        yield warn("slack", f"{person} is not looked for: {why}", lost=lost, mend=_APP)
        return ""
    try:
        number = slack.find_by_email(email)
    except SlackRefused as error:
        if concerns_token(error.code):
            raise
        yield warn("slack", f"{email} is not found: {error}", lost=lost, mend=_APP)
        return ""
    if number is None:
        yield warn("slack", f"Slack knows nobody of the address {email}", lost=lost, mend="[users] names people")
        return ""
    yield ok("slack", f"{email} is known to Slack")
    return number


def _opened(slack: Slack, workspace: Workspace, number: str) -> Generator[Finding, None, str]:
    """Say whether the person can be written to directly; where else to write, or nothing."""
    if number:
        try:
            return slack.open_direct(number)
        except SlackRefused as error:
            if concerns_token(error.code):
                raise
            found = f"no direct message can be sent: {error}"
            yield warn("slack", found, lost="messages that only their reader sees", mend=_APP)
    return workspace.channel


def _seen_again(slack: Slack, letter: str, channel: str, now_unix: float) -> Finding:
    lost = "what is cut off as it is sent: it is not sent again, as it may have been"
    try:
        seen = find(slack, letter, channel=channel, thread=None, since_unix=now_unix)
    except SlackRefused as error:
        return warn("slack", f"it cannot be looked for: {error}", lost=lost, mend=_APP)
    if seen is None:
        return warn("slack", "it is not found again", lost=lost, mend="try again; then look at this machine's clock")
    return ok("slack", "and found again")
