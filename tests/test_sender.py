"""Letters to Slack: each arrives once, whatever fails, and in the order of its notice. Slack is a stand-in on HTTP."""

from __future__ import annotations

import json
import logging
import math
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slack_api import LOST, TOKEN, Answer, SlackApi, busy, refusal, slack_api, token_file

from gpuwatch.agent.alerting import local_in
from gpuwatch.agent.telling import Telling, Way
from gpuwatch.alert import client
from gpuwatch.alert.letters import letters_of
from gpuwatch.alert.message import Terms
from gpuwatch.alert.plan import Minute
from gpuwatch.alert.policy import AlertPolicy
from gpuwatch.alert.sender import GIVEN_UP_AFTER_SECONDS, LONGEST_DELAY_SECONDS, Sender, Sending
from gpuwatch.alert.workspace import Workspace
from gpuwatch.model.identity import Owner
from gpuwatch.model.judgement import IDLE, OK, Held, Judgement, RunNow
from gpuwatch.model.outbox import FAILED, POST, QUEUED, SENDING, SENT, THREAD, UPDATE, Letter
from gpuwatch.state.notices import Notices
from gpuwatch.state.notices_file import NOTICES_NAME, NoticesFile
from gpuwatch.state.outbox import Outbox
from gpuwatch.units import DAY, HOUR, MINUTE

NOW = 1_795_184_040.0
BLOCKS = [
    {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": [
        {"type": "user", "user_id": ""}, {"type": "text", "text": ", your run is idle"}]}]}
]  # fmt: skip


def letter(notice: str = "n1", action: str = POST, what: str = "first", **other: Any) -> Letter:
    about = Letter(f"{notice}-{what}", notice, action, "ann", f"<@>, {what} of {notice}", json.dumps(BLOCKS), NOW)
    return about._replace(**other)


class Desk:
    """An outbox on the disk, a sender that can be killed and started again, and a clock that the test drives."""

    def __init__(self, api: SlackApi, folder: Path, **other: Any) -> None:
        about = {"token_file": token_file(folder), "api_url": api.url, "channel": "#gpus"}
        self.api, self.folder = api, folder
        self.workspace = Workspace(**{**about, "email_domain": "example.com", **other})
        self.file = NoticesFile(folder, unix=NOW, durable=False)
        self.now = NOW
        self.start()

    def start(self) -> None:
        """As after a restart: only what is on the disk is known."""
        self.outbox, self.sender = Outbox(self.file), Sender(self.workspace)

    def put(self, *letters: Letter) -> None:
        Notices(self.file).record((), (), letters)

    def next(self) -> Sending | None:
        return self.sender.send_next(self.outbox, self.now)

    def settle(self, seconds: float = 2 * DAY) -> list[Sending]:
        """All that comes of it in so long, with the clock put on as the sender wants it."""
        came, until = [], self.now + seconds
        while self.now <= until:
            sending = self.next()
            if sending is not None:
                came.append(sending)
            wait = self.sender.deliver(self.outbox, self.now) if sending is None else 0.0
            if wait == math.inf:
                break
            self.now += wait
        return came

    def states(self) -> dict[str, str]:
        return dict(self.file.rows("SELECT id, state FROM letter ORDER BY seq"))

    def whys(self) -> dict[str, str]:
        return dict(self.file.rows("SELECT id, why FROM letter ORDER BY seq"))


@pytest.fixture
def api() -> Iterator[SlackApi]:
    with slack_api() as running:
        running.people = {"ann@example.com": "U1"}
        running.epoch = NOW
        yield running


@pytest.fixture
def desk(api: SlackApi, tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(api, tmp_path)
    with closing(desk.file):
        yield desk


# Where it goes


def test_a_person_is_written_to_directly_and_by_their_number(desk: Desk) -> None:
    desk.put(letter())
    assert desk.next() == Sending(letter(), SENT)
    (post,) = desk.api.direct("U1")
    assert post["text"] == "<@U1>, first of n1"
    assert post["blocks"][0]["elements"][0]["elements"][0] == {"type": "user", "user_id": "U1"}
    assert post["metadata"] == {"event_type": "gpuwatch_notice", "event_payload": {"id": "n1-first"}}
    assert (desk.next(), desk.sender.deliver(desk.outbox, desk.now)) == (None, math.inf)


def test_who_is_not_in_slack_is_named_in_the_channel(desk: Desk) -> None:
    desk.put(letter(user="ben"))
    desk.next()
    (post,) = desk.api.read_in("C1")
    assert post["text"] == "ben, first of n1"
    assert post["blocks"][0]["elements"][0]["elements"][0]["style"] == {"bold": True}


@pytest.mark.parametrize("code", ["missing_scope", "user_disabled", "cannot_dm_bot"])
def test_where_no_direct_message_may_be_sent_the_channel_mentions_the_person(desk: Desk, code: str) -> None:
    desk.api.refused["conversations.open"] = refusal(code)
    desk.put(letter())
    desk.next()
    assert [post["text"] for post in desk.api.read_in("C1")] == ["<@U1>, first of n1"]


def test_without_the_right_to_know_people_the_channel_names_them(desk: Desk) -> None:
    desk.api.refused["users.lookupByEmail"] = refusal("missing_scope", needed="users:read.email")
    desk.put(letter())
    desk.next()
    assert [post["text"] for post in desk.api.read_in("C1")] == ["ann, first of n1"]


def test_without_a_channel_who_is_not_found_waits_for_somebody_to_put_it_right(api: SlackApi, tmp_path: Path) -> None:
    desk = Desk(api, tmp_path, channel="")
    with closing(desk.file):
        desk.put(letter(user="ben"), letter("n2"))
        *waiting, last = (sending.state for sending in desk.settle())
        assert (waiting[:2], set(waiting[2:]), last) == ([QUEUED, SENT], {QUEUED}, FAILED)
        assert "Slack knows nobody of this person's address, and slack.channel is not set" in desk.whys()["n1-first"]


def test_people_are_looked_up_once_a_day_and_who_is_not_there_once_an_hour(desk: Desk) -> None:
    def asked() -> list[str]:
        return [about["email"] for about in desk.api.asked("users.lookupByEmail")]

    for number in range(3):
        desk.put(letter(f"a{number}"), letter(f"b{number}", user="ben"))
        desk.settle()
    assert asked() == ["ann@example.com", "ben@example.com"]
    desk.now += HOUR
    desk.put(letter("c"), letter("d", user="ben"))
    desk.settle()
    assert asked()[2:] == ["ben@example.com"]
    desk.now += DAY
    desk.put(letter("e"))
    desk.settle()
    assert asked()[3:] == ["ann@example.com"]


def test_no_name_that_is_no_mailbox_is_asked_for(desk: Desk) -> None:
    desk.put(letter(user="uid:1234"), letter("n2", user="a@evil.example"))
    desk.settle()
    assert (desk.api.asked("users.lookupByEmail"), len(desk.api.read_in("C1"))) == ([], 2)


# As it goes on


def test_a_message_is_edited_in_its_place_and_has_a_thread(desk: Desk) -> None:
    desk.put(letter(), letter(action=UPDATE, what="edit"), letter(action=THREAD, what="reminder"))
    assert [sending.state for sending in desk.settle()] == [SENT, SENT, SENT]
    first, reminder = desk.api.direct("U1")
    assert (first["text"], reminder["text"]) == ("<@U1>, edit of n1", "<@U1>, reminder of n1")
    assert reminder["thread_ts"] == first["ts"]
    assert desk.api.edits[0]["ts"] == first["ts"]


def test_what_belongs_to_a_message_that_was_never_sent_is_given_up(desk: Desk) -> None:
    desk.api.next_answers += [None, None, refusal("invalid_blocks")]
    desk.put(letter(), letter(action=THREAD, what="reminder"))
    assert [sending.state for sending in desk.settle()] == [FAILED, FAILED]
    assert desk.whys() == {
        "n1-first": "Slack refuses it: invalid_blocks",
        "n1-reminder": "the message that it belongs to was never sent",
    }


def test_an_edit_of_a_message_that_was_deleted_is_given_up(desk: Desk) -> None:
    desk.put(letter())
    desk.settle()
    desk.api.posts.clear()
    desk.put(letter(action=UPDATE, what="edit"))
    assert [sending.state for sending in desk.settle()] == [FAILED]


# What goes wrong


def test_when_slack_is_busy_all_wait_for_as_long_as_it_says(desk: Desk) -> None:
    desk.api.refused["chat.postMessage"] = busy(120)
    desk.put(letter(), letter("n2"))
    sending = desk.next()
    assert sending is not None
    assert (sending.state, sending.why) == (QUEUED, "Slack takes no more for 120 s: try again later")
    desk.now += 119
    assert (desk.next(), desk.sender.deliver(desk.outbox, desk.now)) == (None, 1.0)
    desk.api.refused.clear()
    desk.now += 1
    assert [sending.state for sending in desk.settle(MINUTE)] == [SENT, SENT]
    assert len(desk.api.direct("U1")) == 2


def test_while_slack_is_down_it_is_asked_ever_more_seldom_and_nothing_is_lost(desk: Desk) -> None:
    desk.api.refused["users.lookupByEmail"] = Answer(503, b"")
    desk.put(letter(), letter("n2"))
    began, tries = desk.now, []
    while desk.now < began + 6 * HOUR:
        if desk.next() is not None:
            tries.append(desk.now - began)
        desk.now += desk.sender.deliver(desk.outbox, desk.now)
    gaps = [later - sooner for sooner, later in pairwise(tries)]
    assert gaps[:4] == [1, 2, 4, 8]
    assert set(gaps[11:]) == {LONGEST_DELAY_SECONDS}
    desk.api.refused.clear()
    desk.settle()
    assert [post["text"] for post in desk.api.direct("U1")] == ["<@U1>, first of n1", "<@U1>, first of n2"]


def test_what_nobody_listens_to_is_sent_when_somebody_does(tmp_path: Path) -> None:
    with slack_api() as api:
        api.people, api.epoch = {"ann@example.com": "U1"}, NOW
    desk = Desk(api, tmp_path)
    with closing(desk.file):
        desk.put(letter())
        sending = desk.next()
        assert sending is not None
        assert (sending.state, sending.why) == (QUEUED, "Slack is not reached: Connection refused")
        with slack_api(api):
            desk.settle()
        assert len(api.direct("U1")) == 1


def test_a_revoked_token_keeps_all_and_a_new_one_sends_them(desk: Desk) -> None:
    desk.api.token = "xoxb-new"
    desk.put(letter(), letter("n2"))
    sending = desk.next()
    assert sending is not None
    assert (sending.state, "Slack refuses the token (invalid_auth)" in sending.why) == (QUEUED, True)
    assert desk.next() is None
    assert desk.outbox.problem() == sending.why
    token_file(desk.folder, "xoxb-new")
    assert [one.state for one in desk.settle()] == [SENT, SENT]


def test_a_token_that_cannot_be_read_keeps_all(desk: Desk) -> None:
    (desk.folder / "slack.token").unlink()
    desk.put(letter())
    sending = desk.next()
    assert sending is not None
    assert (sending.state, "cannot be read" in sending.why) == (QUEUED, True)


def test_a_wrong_channel_keeps_nobody_else_waiting(desk: Desk) -> None:
    desk.api.strangers.add("C1")
    desk.put(letter(user="ben"), letter("n2"))
    assert [sending.state for sending in desk.settle(0)] == [QUEUED, SENT]
    desk.api.strangers.clear()
    assert [sending.state for sending in desk.settle()] == [SENT]
    assert len(desk.api.read_in("C1")) == 1


def test_what_could_not_be_sent_for_a_day_is_given_up(desk: Desk) -> None:
    desk.api.strangers.add("C1")
    desk.put(letter(user="ben"))
    *_, last = desk.settle()
    assert (last.state, "write `/invite @`" in last.why) == (FAILED, True)
    assert GIVEN_UP_AFTER_SECONDS <= desk.now - NOW < GIVEN_UP_AFTER_SECONDS + HOUR


@pytest.mark.parametrize("code", ["internal_error", "fatal_error", "service_unavailable", "rate_limited"])
def test_slacks_own_trouble_is_waited_for(desk: Desk, code: str) -> None:
    desk.api.next_answers = [None, None, refusal(code)]
    desk.put(letter())
    assert [sending.state for sending in desk.settle(HOUR)][-1] == SENT
    assert len(desk.api.direct("U1")) == 1


def test_a_clock_that_is_set_back_stops_nothing_for_long(desk: Desk) -> None:
    desk.api.refused["chat.postMessage"] = Answer(503, b"")
    desk.put(letter())
    desk.next()
    desk.api.refused.clear()
    desk.now -= 30 * DAY
    assert [sending.state for sending in desk.settle(HOUR)] == [SENT]


# Never twice


def test_what_may_have_been_posted_is_looked_for_and_found(desk: Desk) -> None:
    desk.api.next_answers += [None, None, LOST]
    desk.put(letter(), letter(action=THREAD, what="reminder"))
    first = desk.next()
    assert first is not None
    assert (first.state, "Slack did not answer" in first.why) == (SENDING, True)
    assert [sending.state for sending in desk.settle()] == [SENT, SENT]
    first_post, reminder = desk.api.direct("U1")
    assert reminder["thread_ts"] == first_post["ts"]


def test_what_was_not_posted_after_all_is_sent_again(desk: Desk) -> None:
    desk.api.next_answers += [None, None, Answer(502, b"")]
    desk.put(letter())
    assert [sending.state for sending in desk.settle()] == [SENDING, SENT]
    assert len(desk.api.direct("U1")) == 1


def test_a_reminder_that_may_have_been_posted_is_looked_for_in_its_thread(desk: Desk) -> None:
    desk.put(letter())
    desk.settle()
    desk.api.next_answers += [LOST]
    desk.put(letter(action=THREAD, what="reminder"))
    assert [sending.state for sending in desk.settle()] == [SENDING, SENT]
    assert [about["ts"] for about in desk.api.asked("conversations.replies")] == [desk.api.posts[0]["ts"]]
    assert len(desk.api.direct("U1")) == 2


def test_an_edit_that_may_have_been_made_is_made_again(desk: Desk) -> None:
    desk.put(letter())
    desk.settle()
    desk.api.next_answers += [LOST]
    desk.put(letter(action=UPDATE, what="edit"))
    assert [sending.state for sending in desk.settle()] == [QUEUED, SENT]
    assert [post["text"] for post in desk.api.posts] == ["<@U1>, edit of n1"]


@pytest.mark.parametrize("posted", [False, True])
@pytest.mark.parametrize("user", ["ann", "ben"])
def test_a_crash_between_sending_and_noting_posts_nothing_twice(
    desk: Desk, user: str, posted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    desk.put(letter(user=user))
    with monkeypatch.context() as patched:
        patched.setattr("gpuwatch.state.outbox.Outbox.end" if posted else "gpuwatch.alert.slack.Slack.post", crash)
        with pytest.raises(KeyboardInterrupt):
            desk.next()
    assert len(desk.api.posts) == posted
    desk.start()
    desk.settle()
    assert (len(desk.api.posts), desk.states()) == (1, {"n1-first": SENT})


def test_it_is_looked_for_on_all_pages_and_among_the_channels_by_name(desk: Desk) -> None:
    desk.api.page = 2
    desk.api.channels = {f"#other{number}": f"C9{number}" for number in range(5)} | {"#gpus": "C1"}
    desk.api.next_answers += [None, LOST]
    desk.put(letter(user="ben"))
    desk.next()
    desk.api.posts += [{"channel": "C1", "ts": f"{NOW + 10 + n:.1f}", "text": "talk"} for n in range(7)]
    assert [sending.state for sending in desk.settle()] == [SENT]
    assert sum("first" in post["text"] for post in desk.api.read_in("C1")) == 1
    assert {about["channel"] for about in desk.api.asked("conversations.history")} == {"C1"}


def test_what_may_not_be_looked_for_is_not_sent_again_and_keeps_nobody_waiting(desk: Desk) -> None:
    desk.api.refused["conversations.history"] = refusal("missing_scope", needed="im:history")
    desk.api.next_answers += [None, None, LOST]
    desk.put(letter(), letter("n2"))
    assert [sending.state for sending in desk.settle(HOUR)[:3]] == [SENDING, SENDING, SENT]
    assert desk.whys()["n1-first"].startswith("it may have been posted, and is not sent again: the Slack app lacks")
    desk.settle()
    assert (desk.states(), len(desk.api.direct("U1"))) == ({"n1-first": FAILED, "n2-first": SENT}, 2)


def test_once_it_may_be_looked_for_it_is_found(desk: Desk) -> None:
    desk.api.refused["conversations.history"] = refusal("missing_scope", needed="im:history")
    desk.api.next_answers += [None, None, LOST]
    desk.put(letter())
    desk.settle(HOUR)
    desk.api.refused.clear()
    assert [sending.state for sending in desk.settle()] == [SENT]
    assert len(desk.api.direct("U1")) == 1


def test_a_look_that_fails_for_now_is_taken_again(desk: Desk) -> None:
    desk.api.next_answers += [None, None, LOST, Answer(500, b""), refusal("token_revoked"), busy(30)]
    desk.put(letter())
    assert [sending.state for sending in desk.settle()] == [SENDING, SENDING, SENDING, SENDING, SENT]
    assert len(desk.api.direct("U1")) == 1


@pytest.mark.parametrize("body", [b"{}", b'{"messages": null}', b'{"messages": [7, {"metadata": []}, {"ts": []}]}'])
def test_an_answer_that_has_no_messages_has_none(desk: Desk, body: bytes) -> None:
    told = json.dumps({"ok": True, **json.loads(body)}).encode()
    desk.api.next_answers += [None, None, Answer(502, b""), Answer(body=told)]
    desk.put(letter())
    assert [sending.state for sending in desk.settle()] == [SENDING, SENT]


def test_who_is_slow_may_have_been_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.put(letter("n0"))
    desk.settle()
    monkeypatch.setattr(client, "TIMEOUT_SECONDS", 1)
    slow = threading.Event()
    original = desk.api.answer

    def answer(call: Any) -> dict[str, Any]:
        said = original(call)
        if call.method == "chat.postMessage":
            desk.api.silent = slow
        return said

    desk.api.answer = answer  # type: ignore[method-assign]
    desk.put(letter())
    sending = desk.next()
    assert sending is not None
    assert sending.state == SENDING
    slow.set()
    desk.api.silent = None
    desk.settle()
    assert len(desk.api.direct("U1")) == 2


FAULTS: dict[str, Callable[[], Answer | None]] = {
    "well": lambda: None,
    "lost": lambda: LOST,
    "busy": lambda: busy(3),
    "down": lambda: Answer(503, b""),
    "strange": lambda: Answer(200, b"<html>"),
    "revoked": lambda: refusal("token_revoked"),
    "not there": lambda: refusal("not_in_channel"),
}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(faults=st.lists(st.sampled_from(sorted(FAULTS)), max_size=25), restarts=st.sets(st.integers(0, 25)))
def test_whatever_fails_each_letter_arrives_once_and_in_order(
    faults: list[str], restarts: set[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with slack_api() as api:
        api.people, api.epoch = {"ann@example.com": "U1"}, NOW
        desk = Desk(api, tmp_path_factory.mktemp("desk"))
        with closing(desk.file):
            api.next_answers += [FAULTS[name]() for name in faults]
            desk.put(letter(), letter("n2", user="ben"), letter(action=UPDATE, what="edit"))
            desk.put(letter(action=THREAD, what="closing"), letter("n2", THREAD, "closing", user="ben"))
            for step in range(200):
                if step in restarts:
                    desk.start()
                wait = desk.sender.deliver(desk.outbox, desk.now)
                if wait == math.inf:
                    break
                desk.now += wait
        told = [(post["channel"], post["text"].split(", ")[1]) for post in api.posts]
        assert [text for _, text in told if "n1" in text] == ["edit of n1", "closing of n1"]
        assert [text for _, text in told if "n2" in text] == ["first of n2", "closing of n2"]


# What is told of it


def test_the_token_appears_nowhere(
    desk: Desk, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    echo = json.dumps({"ok": False, "error": TOKEN, "needed": TOKEN, "header": f"Bearer {TOKEN}"}).encode()
    desk.api.next_answers += [
        None,
        None,
        Answer(body=echo),
        Answer(500, echo),
        Answer(302, b"", (("Location", TOKEN),)),
    ]
    desk.put(letter(), letter("n2", user="ben"))
    came = desk.settle()
    assert came[-1].state == SENT
    said = f"{came} {desk.whys()} {caplog.text} {capfd.readouterr()}"
    stored = b"".join(path.read_bytes() for path in desk.folder.glob(f"{NOTICES_NAME}*"))
    assert TOKEN not in said
    assert TOKEN.encode() not in stored
    assert "Traceback" not in said


def test_slack_sdk_is_not_loaded_before_there_is_a_letter() -> None:
    program = (
        "import sys; from gpuwatch.alert.sender import Sender; from gpuwatch.alert.workspace import Workspace; "
        "Sender(Workspace()); sys.exit('slack_sdk' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_token_may_be_a_credential_of_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert Workspace().token_file is None
    token_file(tmp_path)
    assert Workspace().token_file == tmp_path / "slack.token"
    assert Workspace(token_file=Path("/other")).token_file == Path("/other")


# From the plan to Slack


def test_a_story_from_the_first_message_to_the_closing(desk: Desk) -> None:
    def judged(minute: int) -> RunNow:
        idle = 60.0 * minute
        judgement = Judgement(IDLE, NOW, idle, idle, 0.01, 90.0, 1.0, "idle")
        device = Held(
            "0",
            "GPU-0",
            "H100",
            2.0,
            2**30,
            judgement if minute < 300 else judgement._replace(verdict=OK, idle_seconds=0.0),
        )
        about = Owner("ann", "vision", "wandb:x")
        return RunNow("n7", about, "batch", "", "", "", "", NOW - HOUR, 3e4, 9e3, None, (device,))

    terms = Terms(gpu_hour=2.0, zone=UTC)
    way = Way(lambda step, earlier, now: letters_of(step, earlier, terms=terms, now_unix=now))
    policy = AlertPolicy(mode="agent", working_hours="mon-sun 00:00-24:00")
    for minute in range(1, 310):
        if minute % 50 == 0:
            desk.start()
        told = Telling(Notices(desk.file), desk.outbox, policy, local=local_in(UTC), place="n7", way=way)
        desk.now = NOW + 60.0 * minute
        told.tell(Minute(desk.now, (judged(minute),)))
        while desk.next() is not None:
            pass
    message, reminder, ending = desk.api.direct("U1")
    assert (reminder["thread_ts"], ending["thread_ts"]) == (message["ts"], message["ts"])
    assert reminder["text"].startswith("<@U1>, your run wandb:x is still idle: 1 of 1 GPU, for 4 h 30 min.")
    assert re.fullmatch(r"closed: wandb:x, busy again since \d\d:\d\d; it cost 10\.0 GPU-hours, \$20", ending["text"])
    assert message["text"].startswith("<@U1>: wandb:x on n7 was idle. It cost 10.0 GPU-hours, $20.")
    assert len(desk.api.edits) == 8
    assert set(desk.states().values()) == {SENT}
