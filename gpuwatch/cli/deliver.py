"""`gpuwatch report --to slack`: a report to the team's channel, and each person's own to that person."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gpuwatch.attribute.text import printable
from gpuwatch.errors import UsageError

if TYPE_CHECKING:
    from gpuwatch.agent.settings import Settings
    from gpuwatch.alert.once import Round
    from gpuwatch.alert.slack import Slack
    from gpuwatch.model.history import Source, Window
    from gpuwatch.model.outbox import Place
    from gpuwatch.report.document import Report
    from gpuwatch.report.slack_blocks import Message


def deliver_report(
    source: Source, report: Report, *, settings: Settings, teams: Mapping[str, str], directory: Path
) -> int:
    """Post a report of everybody to the team's channel, who held GPUs as a thread under it, and to people their own.

    What of it was posted before, as files in `directory` tell, is not posted again. Says what went where. Returns 0,
    or 1 where anything was not posted that could have been. Raises UsageError where it is not set where to.
    """
    from gpuwatch.alert.deliveries import open_deliveries  # noqa: PLC0415  loads slack-sdk, which few ask for
    from gpuwatch.alert.once import Round, Stopped  # noqa: PLC0415
    from gpuwatch.alert.slack import Slack  # noqa: PLC0415

    _require_all(report, settings)
    slack = Slack(settings.slack)
    with open_deliveries(directory, _name(report.period.window)) as deliveries:
        delivery = Round(deliveries, lambda line: click.echo(printable(line, 1000)))
        try:
            _to_team(delivery, slack, settings.slack.channel, report)
            _to_people(delivery, slack, settings, _own(source, report, settings, teams))
        except Stopped:
            click.echo("the rest was not tried: the same command goes on from here")
    return 0 if delivery.is_complete else 1


def _require_all(report: Report, settings: Settings) -> None:
    if report.where:
        raise UsageError(
            f"--to slack posts the report of all: leave out {', '.join(f'--{key}' for key in report.where)}"
        )
    if settings.slack.token_file is None or not settings.slack.channel:
        raise UsageError("--to slack needs slack.token_file and slack.channel: docs/slack.md says how to get them")


def _to_team(delivery: Round, slack: Slack, channel: str, report: Report) -> None:
    from gpuwatch.report.slack_blocks import people_message, team_message  # noqa: PLC0415  see deliver_report

    summary = delivery.post(channel, lambda: _posted(slack, channel, team_message(report)))
    if summary is not None:
        delivery.post(f"{channel}, in the thread", lambda: _posted(slack, channel, people_message(report), summary))


def _to_people(
    delivery: Round, slack: Slack, settings: Settings, own: tuple[Sequence[str], Callable[[str], Report]]
) -> None:
    from gpuwatch.alert.people import email_of  # noqa: PLC0415  see deliver_report
    from gpuwatch.report.slack_blocks import person_message  # noqa: PLC0415

    people, report_of = own
    domain = settings.slack.email_domain
    if people and not domain:
        click.echo("people's own reports are not sent: set slack.email_domain to have people found in Slack")
        return

    def send(email: str, person: str) -> Place | None:
        number = slack.find_by_email(email)
        return None if number is None else _posted(slack, number, person_message(report_of(person)))

    for person in people:
        email = email_of(person, domain)
        if email is None:
            click.echo(f"{printable(person)}: not sent, as nobody's address begins so")
        else:
            delivery.post(email, partial(send, email, person))


def _own(
    source: Source, report: Report, settings: Settings, teams: Mapping[str, str]
) -> tuple[Sequence[str], Callable[[str], Report]]:
    """Everybody who held a GPU, and how to make their own report: whose runs are in it, and nobody else's names."""
    from gpuwatch.report.summary import gather  # noqa: PLC0415  see deliver_report

    everybody = gather(
        source, report.period, by=("user",), where={}, policy=replace(settings.policy, names="all"), teams=teams,
        viewer="",
    )  # fmt: skip

    def report_of(person: str) -> Report:
        return gather(
            source, report.period, by=("run",), where={"user": (person,)}, policy=settings.policy, teams=teams,
            viewer=person,
        )  # fmt: skip

    return [row.values[0] for row in everybody.rows], report_of


def _posted(slack: Slack, channel: str, message: Message, thread: Place | None = None) -> Place:
    return slack.post(channel, message.text, message.blocks, thread=thread)


def _name(window: Window) -> str:
    """A name for the deliveries of a period."""
    return "-".join(f"{datetime.fromtimestamp(unix, UTC):%Y%m%dT%H%M%SZ}" for unix in window)
