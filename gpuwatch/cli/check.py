"""`gpuwatch check`: what works here and what does not, and the command that mends it."""

from __future__ import annotations

import json
import logging
import os
import secrets
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gpuwatch.errors import GpuwatchError

if TYPE_CHECKING:
    from gpuwatch.alert.workspace import Workspace
    from gpuwatch.check.finding import Finding

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}
_INDENT = " " * 6


@click.command()
@click.option("--json", "as_json", is_flag=True, help="All findings, as in docs/check.schema.json.")
@click.option("--listen", metavar="HOST:PORT", help="As the agent's.  [default: 127.0.0.1:9469]")
@click.option("--state-dir", metavar="DIR", help="As the agent's.")
@click.option("--web-config", metavar="FILE", help="As the agent's.")
@click.option("--config", metavar="FILE", type=click.Path(path_type=Path), help="As the agent's.")
@click.option("--send-test", metavar="USER", help="Only this: write to them in Slack, as they would be told.")
def check(as_json: bool, config: Path | None, send_test: str | None, **flags: str | None) -> None:
    """Check what works here and what does not, what is lost by that, and what mends it.

    Exits with 0 where nothing fails (warnings are none), 1 where something does, 2 where the configuration is wrong.
    """
    from gpuwatch.agent.config import load  # noqa: PLC0415  only this command needs all that it looks at
    from gpuwatch.check.finding import exit_status  # noqa: PLC0415
    from gpuwatch.check.look import look  # noqa: PLC0415

    logging.basicConfig(level=logging.CRITICAL)  # what is wrong stands in the findings
    given = {name: text for name, text in flags.items() if text is not None}
    configuration, mistakes = None, ""
    try:
        configuration = load(flags=given, environment=os.environ, path=config)
    except GpuwatchError as error:  # of a user without a home too
        mistakes = str(error)
    if send_test is None or configuration is None:
        findings = look(configuration, mistakes, unix=time.time())
    else:
        findings = _sent_test(configuration.settings.slack_of_notices, send_test)
    click.echo(json.dumps([finding._asdict() for finding in findings], indent=2) if as_json else table(findings))
    sys.exit(exit_status(findings))


def _sent_test(workspace: Workspace, person: str) -> list[Finding]:
    """What came of writing to somebody; it is not tried where Slack does not take the token."""
    from gpuwatch.check.finding import exit_status, fail  # noqa: PLC0415  see check
    from gpuwatch.check.slack import judge_slack, read_slack  # noqa: PLC0415
    from gpuwatch.check.trial import send_trial  # noqa: PLC0415

    if workspace.token_file is None:
        lost, mend = "messages to the owners of idle runs", "docs/slack.md says how to get a token"
        return [fail("slack", "nothing was sent: slack.token_file is not set", lost=lost, mend=mend)]
    findings = judge_slack(read_slack(workspace))
    if exit_status(findings) != 0:
        return findings
    return findings + send_trial(workspace, person, letter=f"test-{secrets.token_hex(8)}", now_unix=time.time())


def table(findings: Iterable[Finding]) -> str:
    """The findings for a terminal: a line each, and below it what is lost and what mends it."""
    findings = list(findings)
    width = max(len(finding.check) for finding in findings)
    lines = []
    for finding in findings:
        status = click.style(finding.status.ljust(4), fg=_COLOURS[finding.status])
        lines.append(f"{status}  {finding.check.ljust(width)}  {finding.found}")
        if finding.status != "ok":
            lines += [f"{_INDENT}lost: {finding.lost}", f"{_INDENT}mend: {finding.mend}"]
    counts = {status: sum(finding.status == status for finding in findings) for status in ("warn", "fail")}
    lines.append(f"{_counted(counts['fail'], 'failure')}, {_counted(counts['warn'], 'warning')}")
    user = next((finding for finding in findings if finding.check == "user"), None)
    if user is not None and user.mend:
        lines.append(f"As the service would see it: {user.mend}")
    return "\n".join(lines)


def _counted(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"
