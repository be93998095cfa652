"""A stand-in for Slack's API on the loopback: channels, people, conversations, and all that goes wrong with them.

It keeps every message. A test says what the next calls get (`next_answers`): None is what Slack would say, LOST does
what Slack would and then breaks off without an answer. It can be stopped and started again on the same port.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs

TOKEN = "xoxb-1234-abcdSECRET"


class Answer(NamedTuple):
    """What is answered in place of what Slack would."""

    status: int = 200
    body: bytes = b'{"ok": true}'
    headers: tuple[tuple[str, str], ...] = ()


LOST = Answer(status=0)
"""What was asked is done, and nobody learns of it."""


def refusal(code: str, **about: str) -> Answer:
    """As Slack refuses."""
    return Answer(body=json.dumps({"ok": False, "error": code, **about}).encode())


def busy(seconds: int) -> Answer:
    """Slack takes no more for so long."""
    return Answer(429, b'{"ok": false, "error": "ratelimited"}', (("Retry-After", str(seconds)),))


class Call(NamedTuple):
    """What was asked."""

    method: str
    about: dict[str, Any]
    token: str


@dataclass
class SlackApi:
    """A workspace. The test may change all of it while it runs."""

    port: int = 0
    token: str = TOKEN
    channels: dict[str, str] = field(default_factory=lambda: {"#gpus": "C1"})
    strangers: set[str] = field(default_factory=set)
    """Channels that the bot is not in."""
    people: dict[str, str] = field(default_factory=dict)
    """Numbers by mail address."""
    next_answers: list[Answer | None] = field(default_factory=list)
    """The next calls get these, and with None what Slack would say."""
    refused: dict[str, Answer] = field(default_factory=dict)
    """By method, what all calls of it get."""
    silent: threading.Event | None = None
    """Nothing is answered until it is set; what is posted meanwhile is."""
    epoch: float = 0.0
    """When the first message is posted; each is a second later."""
    page: int = 200
    """The most messages or channels in one answer."""
    calls: list[Call] = field(default_factory=list)
    posts: list[dict[str, Any]] = field(default_factory=list)
    """What is to be read in the workspace, as it is now."""
    edits: list[dict[str, Any]] = field(default_factory=list)
    """What was put in the place of messages, one after the other."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    def read_in(self, channel: str) -> list[dict[str, Any]]:
        return [post for post in self.posts if post["channel"] == channel]

    def direct(self, person: str) -> list[dict[str, Any]]:
        """What a person, by their number, reads in the conversation with the bot."""
        return self.read_in(f"D{person}")

    def asked(self, method: str) -> list[dict[str, Any]]:
        return [call.about for call in self.calls if call.method == method]

    def answer(self, call: Call) -> dict[str, Any]:
        """As Slack would."""
        methods = {
            "auth.test": self._test,
            "users.lookupByEmail": self._find,
            "conversations.open": self._open,
            "chat.postMessage": self._post,
            "chat.update": self._update,
            "conversations.history": self._history,
            "conversations.replies": self._history,
            "users.conversations": self._channels,
        }
        if call.token != self.token:
            return _no("invalid_auth")
        return methods[call.method](call.about)

    def _test(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"ok": True, "user": "gpuwatch", "team": "example"}

    def _find(self, about: dict[str, Any]) -> dict[str, Any]:
        number = self.people.get(about["email"])
        return {"ok": True, "user": {"id": number}} if number else _no("users_not_found")

    def _open(self, about: dict[str, Any]) -> dict[str, Any]:
        known = about["users"] in self.people.values()
        return {"ok": True, "channel": {"id": f"D{about['users']}"}} if known else _no("user_not_found")

    def _post(self, about: dict[str, Any]) -> dict[str, Any]:
        channel = self.channels.get(about["channel"], about["channel"])
        if channel in self.people.values():
            channel = about["channel"]
        elif not self._is_there(channel):
            return _no("channel_not_found")
        if channel in self.strangers:
            return _no("not_in_channel")
        stamp = f"{self.epoch + len(self.posts) + 1:.1f}"
        self.posts.append({**about, "channel": channel, "ts": stamp})
        return {"ok": True, "channel": channel, "ts": stamp}

    def _update(self, about: dict[str, Any]) -> dict[str, Any]:
        for post in self.posts:
            if (post["channel"], post["ts"]) == (about["channel"], about["ts"]):
                post.update(about)
                self.edits.append(about)
                return {"ok": True, "channel": about["channel"], "ts": about["ts"]}
        return _no("message_not_found")

    def _history(self, about: dict[str, Any]) -> dict[str, Any]:
        """A channel without its threads, or one thread with its first message; the newest first."""
        if not self._is_there(about["channel"]):  # a name is no number here
            return _no("channel_not_found")
        thread = about.get("ts")
        there = [post for post in self.read_in(about["channel"]) if float(post["ts"]) > float(about["oldest"])]
        if thread is None:
            belongs = [post for post in there if "thread_ts" not in post]
        else:
            belongs = [post for post in there if thread in (post["ts"], post.get("thread_ts"))]
        shown: list[dict[str, Any]] = [
            {key: post[key] for key in ("ts", "text", "metadata") if key in post} for post in belongs
        ]
        return self._paged("messages", shown[::-1], about)

    def _channels(self, about: dict[str, Any]) -> dict[str, Any]:
        names = {number: name for name, number in self.channels.items() if number not in self.strangers}
        return self._paged("channels", [{"id": number, "name": name[1:]} for number, name in names.items()], about)

    def _paged(self, what: str, items: list[dict[str, Any]], about: dict[str, Any]) -> dict[str, Any]:
        first = int(about.get("cursor") or 0)
        following = str(first + self.page) if first + self.page < len(items) else ""
        metadata = {"next_cursor": following}
        return {"ok": True, what: items[first : first + self.page], "response_metadata": metadata}

    def _is_there(self, channel: str) -> bool:
        conversations = {f"D{number}" for number in self.people.values()}
        return channel in {*self.channels.values(), *conversations}


def _no(code: str) -> dict[str, Any]:
    return {"ok": False, "error": code}


@contextmanager
def slack_api(workspace: SlackApi | None = None) -> Iterator[SlackApi]:
    """A running stand-in; of one that ran before, it is the same workspace at the same address."""
    api = workspace or SlackApi()

    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            kind = self.headers.get("Content-Type", "")
            fields = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            about = json.loads(body) if kind.startswith("application/json") else fields
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            call = Call(self.path.removeprefix("/api/"), about, token)
            with lock:
                api.calls.append(call)
                planned = api.next_answers.pop(0) if api.next_answers else api.refused.get(call.method)
                said = api.answer(call) if planned in (None, LOST) else {}
            if planned is not LOST:
                self.say(planned or Answer(body=json.dumps(said).encode()))

        def say(self, answer: Answer) -> None:
            if api.silent is not None:
                api.silent.wait(20)
                return
            self.send_response(answer.status)
            for name, value in answer.headers:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", api.port), Handler) as server:
        api.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield api
        finally:
            if api.silent is not None:
                api.silent.set()
            server.shutdown()
            thread.join()


def token_file(folder: Path, text: str = TOKEN + "\n") -> Path:
    """A file with a bot's token."""
    path = folder / "slack.token"
    path.write_text(text, encoding="utf-8")
    return path
