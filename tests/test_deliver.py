"""A report in Slack: posted once, to whom it may, and told in words that hold no secret where it was not."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rig import free_port
from slack_api import TOKEN, Answer, SlackApi, slack_api, token_file
from week import NOW, fleet_week

from gpuwatch.agent.settings import Settings
from gpuwatch.alert import client
from gpuwatch.alert.deliveries import Deliveries, open_deliveries
from gpuwatch.alert.people import email_of
from gpuwatch.alert.slack import LONGEST_WAIT_SECONDS, Slack
from gpuwatch.alert.workspace import Workspace
from gpuwatch.cli.deliver import deliver_report
from gpuwatch.errors import (
    GpuwatchError,
    PrometheusError,
    SlackRefused,
    SlackUnreachable,
    SlackUnsure,
    StateError,
    UsageError,
)
from gpuwatch.model.outbox import Place
from gpuwatch.report.period import parse_period
from gpuwatch.report.policy import Policy
from gpuwatch.report.summary import gather

BLOCKS = [{"type": "section", "text": {"type": "plain_text", "text": "x"}}]
EVERYBODY = {f"{name}@example.com": f"U{name}" for name in ("ann", "ben", "cat", "dora", "eve")}
LAST_WEEK = parse_period("last week", None, zone=UTC, now_unix=NOW)


@pytest.fixture
def api() -> Iterator[SlackApi]:
    with slack_api() as running:
        running.people = dict(EVERYBODY)
        yield running


def workspace(api: SlackApi, folder: Path, **other: Any) -> Workspace:
    about = {"token_file": token_file(folder), "api_url": api.url, "channel": "#gpus", "email_domain": "example.com"}
    return Workspace(**{**about, **other})


def slack(api: SlackApi, folder: Path) -> tuple[Slack, list[float]]:
    """A Slack to post to, and the times that it slept."""
    slept: list[float] = []
    return Slack(workspace(api, folder), sleep=slept.append), slept


# One message


def test_a_message_is_posted_and_a_thread_hangs_on_it(api: SlackApi, tmp_path: Path) -> None:
    team, _ = slack(api, tmp_path)
    posted = team.post("#gpus", "text", BLOCKS)
    assert posted == Place("C1", "1.0")
    assert team.post("#gpus", "more", BLOCKS, thread=posted) == Place("C1", "2.0")
    first, second = api.posts
    assert (first["text"], first["blocks"], "thread_ts" in first) == ("text", BLOCKS, False)
    assert (second["channel"], second["thread_ts"]) == ("C1", "1.0")
    assert (first["unfurl_links"], first["unfurl_media"]) == (False, False)


def test_people_are_found_by_their_address(api: SlackApi, tmp_path: Path) -> None:
    team, _ = slack(api, tmp_path)
    assert team.find_by_email("ann@example.com") == "Uann"
    assert team.find_by_email("nobody@example.com") is None
    api.next_answers.append(Answer(body=b'{"ok": true, "user": {"id": "U1", "deleted": true}}'))
    assert team.find_by_email("left@example.com") is None


@pytest.mark.parametrize("name", ["uid:1234", "", "a b", "a@evil.example", "x\n", "<b>", "é", "x" * 65])
def test_a_name_that_is_no_mailbox_is_none(name: str) -> None:
    assert email_of(name, "example.com") is None


@pytest.mark.parametrize(
    ("body", "right"),
    [
        ({"error": "not_in_channel"}, "write `/invite @` and its name there"),
        ({"error": "channel_not_found"}, "set slack.channel, or /invite the bot"),
        ({"error": "is_archived"}, "set slack.channel to another"),
        ({"error": "missing_scope", "needed": "chat:write"}, "add chat:write under OAuth & Permissions"),
        ({"error": "missing_scope", "needed": TOKEN}, "add chat:write and users:read.email under"),
        ({"error": "token_revoked"}, "Slack refuses the token (token_revoked): put the bot's token"),
        ({"error": "msg_too_long"}, "Slack refuses it: msg_too_long"),
    ],
)
def test_a_refusal_says_what_would_be_right(api: SlackApi, tmp_path: Path, body: Mapping[str, str], right: str) -> None:
    api.next_answers.append(Answer(body=json.dumps({"ok": False, **body}).encode()))
    with pytest.raises(SlackRefused) as refused:
        slack(api, tmp_path)[0].post("#gpus", "x", BLOCKS)
    assert (right in str(refused.value), refused.value.code) == (True, body["error"])
    assert TOKEN not in str(refused.value)


def test_when_slack_is_busy_it_is_waited_for_once(api: SlackApi, tmp_path: Path) -> None:
    busy = Answer(429, b'{"ok": false, "error": "ratelimited"}', (("Retry-After", "7"),))
    team, slept = slack(api, tmp_path)
    api.next_answers += [busy]
    assert team.post("#gpus", "x", BLOCKS) == Place("C1", "1.0")
    assert slept == [7]
    api.next_answers += [busy, busy]
    with pytest.raises(SlackUnreachable, match="takes no more for 7 s: try again later"):
        team.post("#gpus", "x", BLOCKS)
    assert (slept, len(api.posts)) == ([7, 7], 1)


@pytest.mark.parametrize("delay", [str(LONGEST_WAIT_SECONDS + 1), "999999"])
def test_it_is_not_waited_for_long(api: SlackApi, tmp_path: Path, delay: str) -> None:
    team, slept = slack(api, tmp_path)
    api.next_answers.append(Answer(429, b"{}", (("retry-after", delay),)))
    with pytest.raises(SlackUnreachable, match=f"for {delay} s"):
        team.post("#gpus", "x", BLOCKS)
    assert slept == []


@pytest.mark.parametrize("delay", ["", "-1", "soon", "1e9", "9" * 30])
def test_a_delay_that_is_none_is_a_second(api: SlackApi, tmp_path: Path, delay: str) -> None:
    team, slept = slack(api, tmp_path)
    api.next_answers.append(Answer(429, b"{}", (("Retry-After", delay),)))
    team.post("#gpus", "x", BLOCKS)
    assert slept == [1]


@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=b"<html>" + TOKEN.encode()),
        Answer(body=b"[]"),
        Answer(body=b'"' + TOKEN.encode() + b'"'),
        Answer(body=b"null"),
        Answer(body=b"[" * 100_000),
        Answer(body=b'{"ok": false}'),
        Answer(body=b'{"ok": false, "error": "' + TOKEN.encode() + b'"}'),
        Answer(body=b'{"ok": false, "error": ["x"]}'),
        Answer(500, TOKEN.encode()),
        Answer(503, b'{"ok": false, "error": "internal_error"}'),
        Answer(302, b"", (("Location", "http://127.0.0.1:9/"),)),
        Answer(404, b"\xff\xfe"),
        Answer(407, b"{}"),
    ],
)
def test_what_is_not_slacks_answer_is_told_and_never_the_token(
    api: SlackApi, tmp_path: Path, answer: Answer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    api.next_answers.append(answer)
    caplog.set_level("DEBUG")
    with pytest.raises((SlackUnsure, SlackUnreachable)) as raised:
        slack(api, tmp_path)[0].post("#gpus", "x", BLOCKS)
    said = f"{raised.value!r} {raised.value.__cause__!r} {caplog.text} {capfd.readouterr()}"
    assert TOKEN not in said
    assert "Traceback" not in said


def test_a_redirect_is_not_followed_with_the_token(api: SlackApi, tmp_path: Path) -> None:
    with slack_api() as elsewhere:
        api.next_answers.append(Answer(302, b"", (("Location", f"{elsewhere.url}/chat.postMessage"),)))
        with pytest.raises(SlackUnreachable, match="is not Slack"):
            slack(api, tmp_path)[0].post("#gpus", "x", BLOCKS)
        assert elsewhere.calls == []


def test_no_proxy_comes_between_what_is_on_this_machine(
    api: SlackApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with slack_api() as proxy:
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        slack(api, tmp_path)[0].post("#gpus", "x", BLOCKS)
        assert (len(api.posts), proxy.calls) == (1, [])


def test_the_token_is_not_sent_in_clear(tmp_path: Path) -> None:
    away = Workspace(token_file=token_file(tmp_path), api_url="http://slack.invalid/api", channel="#gpus")
    with pytest.raises(SlackRefused, match="must be https"):
        Slack(away).post("#gpus", "x", BLOCKS)


@pytest.mark.parametrize("text", ["", f"{TOKEN}\n{TOKEN}", f"{TOKEN}\r\nX: y", "x" * 5000, "tökén"])
def test_a_file_that_holds_no_token_is_told_and_not_shown(api: SlackApi, tmp_path: Path, text: str) -> None:
    team, _ = slack(api, tmp_path)
    token_file(tmp_path, text)
    with pytest.raises(SlackRefused, match="must hold one line with a bot's token") as refused:
        team.post("#gpus", "x", BLOCKS)
    assert (TOKEN in str(refused.value), api.calls) == (False, [])


def test_a_token_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SlackRefused, match=r"set slack\.token_file"):
        Slack(Workspace()).post("#gpus", "x", BLOCKS)
    with pytest.raises(SlackRefused, match="cannot be read: No such file"):
        Slack(Workspace(token_file=tmp_path / "none")).post("#gpus", "x", BLOCKS)


def test_a_new_token_is_taken_at_once(api: SlackApi, tmp_path: Path) -> None:
    team, _ = slack(api, tmp_path)
    team.post("#gpus", "x", BLOCKS)
    api.token = "xoxb-new"
    token_file(tmp_path, "xoxb-new")
    team.post("#gpus", "x", BLOCKS)
    assert [call.token for call in api.calls] == [TOKEN, "xoxb-new"]


def test_who_does_not_listen_was_surely_not_told(tmp_path: Path) -> None:
    gone = Workspace(token_file=token_file(tmp_path), api_url=f"http://127.0.0.1:{free_port()}/api", channel="#gpus")
    with pytest.raises(SlackUnreachable, match="Slack is not reached: Connection refused"):
        Slack(gone).post("#gpus", "x", BLOCKS)


def test_who_is_slow_may_have_been_told(api: SlackApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "TIMEOUT_SECONDS", 1)
    team, _ = slack(api, tmp_path)
    api.silent = threading.Event()
    with pytest.raises(SlackUnsure, match="Slack did not answer: no answer within 1 s"):
        team.post("#gpus", "x", BLOCKS)
    with pytest.raises(SlackUnreachable):
        team.find_by_email("ann@example.com")


# What was delivered


def test_what_was_posted_is_known_to_the_next(tmp_path: Path) -> None:
    with open_deliveries(tmp_path, "week") as deliveries:
        deliveries.begin("ann")
        deliveries.end("ann", Place("C1", "1.0"))
        deliveries.begin("ben")
        deliveries.begin("cat")
        deliveries.cancel("cat")
    with open_deliveries(tmp_path, "week") as deliveries:
        assert [deliveries.is_begun(name) for name in ("ann", "ben", "cat", "dora")] == [True, True, False, False]
        assert [deliveries.posted(name) for name in ("ann", "ben")] == [Place("C1", "1.0"), None]
    with open_deliveries(tmp_path, "other week") as deliveries:
        assert not deliveries.is_begun("ann")


@pytest.mark.parametrize(
    "rest", ['{"recipient": "b', '{"recipient": "ben"}\n', "[]\n", "7\n", "\xff\n", '{"recipient"']
)
def test_a_file_that_was_cut_off_is_read_as_far_as_it_goes(tmp_path: Path, rest: str) -> None:
    with open_deliveries(tmp_path, "week") as deliveries:
        deliveries.begin("ann")
    path = next((tmp_path / "deliveries").iterdir())
    path.write_bytes(path.read_bytes() + rest.encode("latin-1"))
    with open_deliveries(tmp_path, "week") as deliveries:
        assert (deliveries.is_begun("ann"), deliveries.is_begun("ben")) == (True, False)
        deliveries.begin("ben")
    with open_deliveries(tmp_path, "week") as deliveries:
        assert (deliveries.is_begun("ann"), deliveries.is_begun("ben")) == (True, True)


def test_two_at_a_time_do_not_deliver(tmp_path: Path) -> None:
    with (
        open_deliveries(tmp_path, "week"),
        pytest.raises(StateError, match="by another gpuwatch"),
        open_deliveries(tmp_path, "week"),
    ):
        pass


def test_where_nothing_can_be_noted_nothing_is_opened(tmp_path: Path) -> None:
    (tmp_path / "deliveries").write_text("no folder")
    with pytest.raises(StateError, match="cannot be opened"), open_deliveries(tmp_path, "week"):
        pass


# A report


class Desk:
    """Delivers last week's report, as the command does."""

    def __init__(self, api: SlackApi, folder: Path, **policy: Any) -> None:
        self.api, self.folder = api, folder
        self.settings = Settings(slack=workspace(api, folder), policy=Policy(**policy))
        self.source = fleet_week()

    def deliver(self, by: str = "user", where: Mapping[str, tuple[str, ...]] | None = None) -> tuple[int, list[str]]:
        """The exit status, and what was said."""
        report = gather(
            self.source, LAST_WEEK, by=(by,), where=where or {}, policy=self.settings.policy, teams={}, viewer="ann"
        )
        status = 0

        def run() -> None:
            nonlocal status
            status = deliver_report(self.source, report, settings=self.settings, teams={}, directory=self.folder)

        said = spoken(run)
        return status, said


def spoken(function: Callable[[], None]) -> list[str]:
    """What it says on standard output."""
    with CliRunner().isolation() as streams:
        function()
        return streams[0].getvalue().decode().splitlines()


def texts(post: Mapping[str, Any]) -> str:
    return json.dumps(post["blocks"], ensure_ascii=False)


@pytest.fixture
def desk(api: SlackApi, tmp_path: Path) -> Desk:
    return Desk(api, tmp_path)


def test_the_team_reads_the_summary_and_in_its_thread_the_people(desk: Desk) -> None:
    status, said = desk.deliver()
    assert (status, said[:2]) == (0, ["#gpus: posted", "#gpus, in the thread: posted"])
    summary, people = desk.api.read_in("C1")
    assert ("8,064 GPU-h paid" in texts(summary), "dora" in texts(summary)) == (True, False)
    assert ("thread_ts" in summary, people["thread_ts"], "dora" in texts(people)) == (False, "1.0", True)


def test_everybody_who_is_found_gets_their_own(desk: Desk) -> None:
    _, said = desk.deliver()
    assert {f"{address}: posted" for address in EVERYBODY} < set(said)
    (ann,) = desk.api.read_in("Uann")
    assert ("wandb:resnet" in texts(ann), "adhoc:notebook.py" in texts(ann), "dora" in texts(ann)) == (
        True,
        False,
        False,
    )
    assert "gus@example.com: not sent, as Slack knows nobody of this address" in said
    assert not any("svc" in line for line in said)


def test_names_that_are_withheld_are_not_in_the_channel_and_ones_own_are_ones_own(
    api: SlackApi, tmp_path: Path
) -> None:
    Desk(api, tmp_path, names="none").deliver()
    in_channel = "".join(map(texts, api.read_in("C1")))
    assert not [name for name in ("ann", "dora", "adhoc:", "wandb") if name in in_channel]
    assert "person 1" in in_channel
    (ann,) = api.read_in("Uann")
    assert "wandb:resnet" in texts(ann)


def test_a_second_try_posts_nothing_again(desk: Desk) -> None:
    desk.deliver()
    before = list(desk.api.posts)
    status, said = desk.deliver()
    assert (status, desk.api.posts) == (0, before)
    assert said[:2] == ["#gpus: was posted before", "#gpus, in the thread: was posted before"]


def test_a_second_try_goes_on_where_the_first_stopped(desk: Desk) -> None:
    desk.api.next_answers += [None, None, None, None, Answer(429, b"{}", (("Retry-After", "600"),))]
    status, said = desk.deliver()
    assert (status, len(desk.api.posts)) == (1, 3)
    assert said[-1] == "the rest was not tried: the same command goes on from here"
    status, _ = desk.deliver()
    assert (status, len(desk.api.posts)) == (0, 2 + len(EVERYBODY))
    assert sorted(post["channel"] for post in desk.api.posts) == sorted(["C1", "C1", *EVERYBODY.values()])


def test_what_may_have_been_posted_is_not_sent_again(desk: Desk) -> None:
    desk.api.next_answers += [None, Answer(502, b"")]
    status, said = desk.deliver()
    assert (status, "it may have been posted, so it is not sent again" in said[1]) == (1, True)
    status, said = desk.deliver()
    assert (status, "may have been posted by a try that was cut off" in said[1]) == (1, True)
    assert len(desk.api.read_in("C1")) == 1
    assert len(desk.api.read_in("Uann")) == 1


def test_what_cannot_be_read_was_not_sent(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object) -> None:
        raise PrometheusError("cannot be reached")

    with monkeypatch.context() as patched:
        patched.setattr("gpuwatch.report.slack_blocks.person_message", unreachable)
        with pytest.raises(PrometheusError):
            desk.deliver()
    assert len(desk.api.posts) == 2
    assert desk.deliver()[0] == 0
    assert len(desk.api.posts) == 2 + len(EVERYBODY)


def test_a_wrong_channel_keeps_nobody_from_their_own(desk: Desk) -> None:
    desk.api.strangers.add("C1")
    status, said = desk.deliver()
    assert (status, "write `/invite @`" in said[0], len(desk.api.posts)) == (1, True, len(EVERYBODY))
    desk.api.strangers.clear()
    assert desk.deliver()[0] == 0
    assert len(desk.api.read_in("C1")) == 2


def test_a_token_that_is_refused_is_told_once(desk: Desk) -> None:
    desk.api.token = "another"
    status, said = desk.deliver()
    assert (status, len(said), len(desk.api.calls)) == (1, 2, 1)
    assert "Slack refuses the token (invalid_auth)" in said[0]
    assert TOKEN not in "".join(said)


def test_without_a_domain_only_the_channel_is_told(desk: Desk) -> None:
    desk.settings = Settings(slack=workspace(desk.api, desk.folder, email_domain=""))
    status, said = desk.deliver()
    assert (status, len(desk.api.posts), "set slack.email_domain" in said[-1]) == (0, 2, True)


def test_what_is_not_set_is_asked_for_before_anything_is_sent(desk: Desk) -> None:
    with pytest.raises(UsageError, match="leave out --user"):
        desk.deliver(where={"user": ("ann",)})
    desk.settings = Settings(slack=workspace(desk.api, desk.folder, channel=""))
    with pytest.raises(UsageError, match=r"needs slack\.token_file and slack\.channel"):
        desk.deliver()
    assert desk.api.calls == []


def test_where_nothing_can_be_noted_nothing_is_sent(desk: Desk) -> None:
    (desk.folder / "deliveries").write_text("no folder")
    with pytest.raises(GpuwatchError, match="cannot be opened"):
        desk.deliver()
    assert desk.api.calls == []


def test_a_crash_between_sending_and_noting_posts_nothing_twice(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Deliveries, "end", crash)
        with pytest.raises(KeyboardInterrupt):
            desk.deliver()
    assert len(desk.api.read_in("C1")) == 1
    desk.deliver()
    assert len(desk.api.read_in("C1")) == 1
