"""Who has the password is let in, and who does not costs nobody anything."""

from __future__ import annotations

import asyncio
import base64
import logging
import threading
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from listener import Site, ask, read_all, serving

from gpuwatch.export import auth as auth_module
from gpuwatch.export.auth import BasicAuth, is_hash, parse_basic
from gpuwatch.export.pages import Response
from gpuwatch.export.web import Web

PASSWORD = "päss:wörd"
HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4))
SLOW_HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(10))


def basic(user: str, password: str | bytes) -> str:
    raw = password if isinstance(password, bytes) else password.encode()
    return "Basic " + base64.b64encode(user.encode() + b":" + raw).decode()


def statuses(*refusals: Coroutine[Any, Any, Response | None]) -> list[int]:
    """The statuses of refusals asked for at once; 200 is let in."""

    async def gather() -> list[Response | None]:
        return await asyncio.gather(*refusals)

    return [response.status if response else 200 for response in asyncio.run(gather())]


class Hasher:
    """bcrypt, counted, with a lock that a test can hold."""

    def __init__(self) -> None:
        self.against: list[bytes] = []
        self.threads: set[int] = set()
        self.at_a_time = 0
        self.most_at_a_time = 0

    def checkpw(self, password: bytes, hashed: bytes) -> bool:
        self.at_a_time += 1
        self.most_at_a_time = max(self.at_a_time, self.most_at_a_time)
        self.against.append(hashed)
        self.threads.add(threading.get_ident())
        time.sleep(0.001)
        self.at_a_time -= 1
        return _checkpw(password, hashed)


_checkpw = bcrypt.checkpw


@pytest.fixture
def hasher(monkeypatch: pytest.MonkeyPatch) -> Hasher:
    there = Hasher()
    monkeypatch.setattr(bcrypt, "checkpw", there.checkpw)
    return there


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Web(tls=None, auth=BasicAuth({"ann": SLOW_HASH, "ben": HASH}), headers={})) as there:
        yield there


@pytest.mark.parametrize("path", ["/", "/metrics", "/api/v1/status", "/healthz", "/nothing"])
def test_every_path_asks_for_a_password(site: Site, path: str) -> None:
    for header in ({}, {"authorization": basic("ben", "wrong")}, {"authorization": "Bearer x"}):
        answer, body = site.ask(path, **header)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Basic realm="gpuwatch"')
        assert b"gpuwatch_" not in body
        assert b"n7" not in body
    answer, _ = site.ask(path, authorization=basic("ben", PASSWORD))
    assert answer.status == (404 if path == "/nothing" else 200)


@pytest.mark.parametrize("method", ["HEAD", "POST", "OPTIONS"])
def test_every_method_asks_for_a_password(site: Site, method: str) -> None:
    assert site.ask("/metrics", method)[0].status == 401


def test_wrong_passwords_do_not_slow_a_scraper_that_is_known(site: Site) -> None:
    """Each of them takes some 60 ms of a CPU, one at a time: a scrape behind them would take seconds."""
    right, end = {"authorization": basic("ann", PASSWORD)}, threading.Event()
    assert site.ask("/metrics", **right)[0].status == 200

    def guess(number: int) -> int:
        guesses = 0
        while not end.is_set():
            user = "ann" if number % 2 else f"user{number}"
            assert site.ask("/metrics", authorization=basic(user, f"wrong{guesses}"))[0].status in (401, 503)
            guesses += 1
        return guesses

    with ThreadPoolExecutor(50) as pool:
        guessers = [pool.submit(guess, number) for number in range(50)]
        seconds, scraper = [], site.connect()
        for _ in range(30):
            began = time.monotonic()
            assert ask(scraper, "/metrics", **right)[0].status == 200
            seconds.append(time.monotonic() - began)
            time.sleep(0.01)
        scraper.close()
        end.set()
        assert sum(guesser.result() for guesser in guessers) > 0
    assert sorted(seconds)[15] < 0.3


def test_one_is_hashed_at_a_time_and_never_on_the_loop(hasher: Hasher) -> None:
    auth = BasicAuth({"ben": HASH})
    assert statuses(*(auth.refusal(basic("ben", f"wrong{n}")) for n in range(20))) == [401] * 20
    assert (len(hasher.against), hasher.most_at_a_time) == (20, 1)
    assert threading.get_ident() not in hasher.threads


def test_a_right_answer_is_hashed_once_and_a_wrong_one_always(hasher: Hasher) -> None:
    auth = BasicAuth({"ben": HASH})
    assert statuses(*(auth.refusal(basic("ben", PASSWORD)) for _ in range(20))) == [200] * 20
    assert len(hasher.against) == 1
    for password in ("wrong", "wrong", PASSWORD + "x", ""):
        assert statuses(auth.refusal(basic("ben", password))) == [401]
    assert len(hasher.against) == 5
    assert statuses(auth.refusal(basic("ben", PASSWORD))) == [200]
    assert len(hasher.against) == 5


def test_a_password_is_of_one_user_only() -> None:
    auth = BasicAuth({"ben": HASH, "eve": bcrypt.hashpw(b"other", bcrypt.gensalt(4))})
    assert statuses(auth.refusal(basic("ben", PASSWORD))) == [200]
    assert statuses(auth.refusal(basic("eve", PASSWORD))) == [401]
    assert statuses(auth.refusal(basic("nobody", PASSWORD))) == [401]


def test_who_is_not_there_is_hashed_like_one_who_is(hasher: Hasher) -> None:
    """Against one of the users' own hashes, always the same, so that neither time nor its spread tells."""
    auth = BasicAuth({"ann": SLOW_HASH, "ben": HASH})
    for name in ("eve", "eve", "eve"):
        assert statuses(auth.refusal(basic(name, PASSWORD))) == [401]
    assert len(hasher.against) == 3
    assert len(set(hasher.against)) == 1
    assert set(hasher.against) < {SLOW_HASH, HASH}


def test_the_queue_has_an_end(hasher: Hasher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth_module, "MOST_WAITING", 5)
    auth = BasicAuth({"ben": HASH})
    assert statuses(*(auth.refusal(basic("ben", "wrong")) for _ in range(8))) == [401] * 5 + [503] * 3
    assert len(hasher.against) == 5
    assert statuses(auth.refusal(basic("ben", PASSWORD))) == [200]


def test_a_stop_logs_nothing_of_those_who_wait(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    held = threading.Event()
    monkeypatch.setattr(bcrypt, "checkpw", lambda *_: held.wait(5))
    with site.strangers(
        3, text=f"GET / HTTP/1.1\r\nHost: n7\r\nAuthorization: {basic('a', 'b')}\r\n\r\n".encode()
    ) as three:
        assert site.ask("/")[0].status == 401  # so that theirs have been taken
        site.stop()
        assert [read_all(client).split(b"\r\n")[0] for client in three] == [b"HTTP/1.1 503 Service Unavailable"] * 3
        held.set()
    assert not [record for record in caplog.records if record.exc_info]


def test_neither_password_nor_name_is_kept_or_logged(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    site.ask("/metrics", authorization=basic("ben", PASSWORD))
    site.ask("/metrics", authorization=basic("eve", "guess"))
    for secret in ("ben", "eve", PASSWORD, "guess", HASH.decode()):
        assert secret not in caplog.text
    assert site.web is not None
    assert PASSWORD.encode() not in repr(vars(site.web.auth)).encode()


@pytest.mark.parametrize("password", [b"a\0b", b"\xff\xfe", b"", b"x" * 72])
def test_any_bytes_can_be_a_password(password: bytes) -> None:
    auth = BasicAuth({"ben": bcrypt.hashpw(password, bcrypt.gensalt(4))})
    assert statuses(auth.refusal(basic("ben", password))) == [200]
    assert statuses(auth.refusal(basic("ben", b"y" + password))) == [401]


def test_bytes_after_the_72nd_are_not_looked_at() -> None:
    """As everywhere with bcrypt; no error in any case."""
    auth = BasicAuth({"ben": bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4))})
    assert statuses(auth.refusal(basic("ben", "x" * 100))) == [200]


@pytest.mark.parametrize(
    ("header", "parsed"),
    [
        (basic("ann", PASSWORD), ("ann", PASSWORD.encode())),
        ("bAsIc  YTpi ", ("a", b"b")),
        ("Basic YTo=", ("a", b"")),
        ("", None),
        ("Basic", None),
        ("Basic !", None),
        ("Basic YQ==", None),
        ("Basic /zph", None),
        ("Bearer YTpi", None),
    ],
)
def test_the_header(header: str, parsed: tuple[str, bytes] | None) -> None:
    assert parse_basic(header) == parsed


@given(st.text(st.characters(max_codepoint=255)))
def test_no_header_breaks_anything(text: str) -> None:
    for header in (text, f"Basic {text}", "Basic " + base64.b64encode(text.encode()).decode()):
        parse_basic(header)


@pytest.mark.parametrize(
    ("text", "good"),
    [
        (HASH.decode(), True),
        (HASH.decode().replace("$2b$", "$2y$"), True),
        (HASH.decode() + "\n", False),
        (HASH.decode()[:-1], False),
        (HASH.decode().replace("$04$", "$31$"), False),
        (HASH.decode().replace("$04$", "$03$"), False),
        ("password", False),
        ("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", False),
    ],
)
def test_what_is_a_hash(text: str, *, good: bool) -> None:
    assert is_hash(text) == good
