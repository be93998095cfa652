"""`gpuwatch notify`: what Alertmanager says is kept, evidence is asked for, and people are told by it, each once."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from configured import told
from hypothesis import given
from hypothesis import strategies as st
from idling import TUESDAY, local

from gpuwatch.agent.telling import Way
from gpuwatch.alert.letters import letters_of
from gpuwatch.alert.message import Terms
from gpuwatch.alert.plan import Close, Minute, Open, Remind, Step
from gpuwatch.alert.policy import AlertPolicy
from gpuwatch.errors import DiskRefused, PrometheusError
from gpuwatch.export.server import Server, bind
from gpuwatch.model.identity import Owner
from gpuwatch.model.judgement import IDLE, OK, RESERVED, SNOOZED, STUCK
from gpuwatch.model.notice import BUSY, ENDED, SENT, SNOOZE
from gpuwatch.notify.evidence import Asking, Evidence, Growth
from gpuwatch.notify.firing import FILE_NAME, HEARD_SECONDS, Firing
from gpuwatch.notify.pages import HOOK, Pages
from gpuwatch.notify.runs import runs_of
from gpuwatch.notify.telling import FleetTelling, policy_of
from gpuwatch.notify.webhook import LONGEST_BODY, Told, Word, parse_webhook
from gpuwatch.state.notices import Notices
from gpuwatch.state.notices_file import NoticesFile
from gpuwatch.state.outbox import Outbox
from gpuwatch.units import HOUR, MINUTE

ANN = Owner("ann", "vision", "wandb:a")
IDLE_A = Told("GpuwatchRunIdle", "ann", "wandb:a")


def alert(name: str = "GpuwatchRunIdle", status: str = "firing", **labels: str) -> dict[str, Any]:
    about = {"alertname": name, "gpuwatch": "true", "user": "ann", "run": "wandb:a", "severity": "info"}
    return {"status": status, "labels": about | labels, "annotations": {}, "startsAt": "2026-11-17T10:00:00Z"}


def body(*alerts: object) -> bytes:
    return json.dumps({"version": "4", "status": "firing", "alerts": alerts}).encode()


# What is posted


def test_words_on_runs_are_taken_and_others_left_out() -> None:
    said = body(
        alert(),
        alert("GpuwatchRunStuck", "resolved"),
        alert("GpuwatchAgentDown"),
        alert(gpuwatch="false"),
        alert(status="silenced"),
        alert(run="x" * 600),
        {"status": "firing", "labels": {"alertname": "GpuwatchRunIdle", "gpuwatch": "true", "user": 7}},
        "alert",
    )
    assert parse_webhook(said) == [Word(IDLE_A, True), Word(Told("GpuwatchRunStuck", "ann", "wandb:a"), False)]


@pytest.mark.parametrize("said", [b"", b"\xff", b"[]", b"{}", b'{"alerts": {}}', b"[" * 100_000, b'"alerts"', b"null"])
def test_what_is_no_webhook_is_refused(said: bytes) -> None:
    with pytest.raises(ValueError, match="no webhook of Alertmanager"):
        parse_webhook(said)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(), lambda of: st.lists(of) | st.dictionaries(st.text(), of)
)


@given(st.binary() | JSON.map(lambda item: json.dumps(item).encode()) | st.lists(JSON).map(lambda items: body(*items)))
def test_no_body_does_more_than_to_be_refused(said: bytes) -> None:
    try:
        words = parse_webhook(said)
    except ValueError:
        return
    assert all(word.told.alert in ("GpuwatchRunIdle", "GpuwatchRunStuck") for word in words)


# What is kept of it


def test_what_goes_on_is_known_after_a_restart(tmp_path: Path) -> None:
    Firing(tmp_path).hear([Word(IDLE_A, True)], unix=TUESDAY)
    assert Firing(tmp_path).runs(TUESDAY + HOUR) == {("ann", "wandb:a")}


def test_what_is_over_or_silenced_is_not_told(tmp_path: Path) -> None:
    firing = Firing(tmp_path)
    firing.hear([Word(IDLE_A, True), Word(Told("GpuwatchRunIdle", "ben", "b"), True)], unix=TUESDAY)
    firing.hear([Word(IDLE_A, False)], unix=TUESDAY)
    assert firing.runs(TUESDAY) == {("ben", "b")}
    assert firing.runs(TUESDAY + HEARD_SECONDS) == set()
    assert firing.runs(TUESDAY - 2 * HEARD_SECONDS) == set()  # the clock was far ahead


def test_one_that_turns_stuck_goes_on(tmp_path: Path) -> None:
    firing = Firing(tmp_path)
    firing.hear([Word(IDLE_A, True)], unix=TUESDAY)
    firing.hear([Word(IDLE_A._replace(alert="GpuwatchRunStuck"), True), Word(IDLE_A, False)], unix=TUESDAY)
    assert firing.runs(TUESDAY) == {("ann", "wandb:a")}


@pytest.mark.parametrize("text", ["", "{", "{}", '[["a"]]', '[["a", "b", "c", "d"], 7]', "[" * 100_000])
def test_a_damaged_file_is_begun_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_text(text, encoding="utf-8")
    firing = Firing(tmp_path)
    assert firing.runs(TUESDAY) == set()
    firing.hear([Word(IDLE_A, True)], unix=TUESDAY)
    assert Firing(tmp_path).runs(TUESDAY) == {("ann", "wandb:a")}


def test_what_cannot_be_kept_is_not_taken(tmp_path: Path) -> None:
    firing = Firing(tmp_path)
    (tmp_path / f".{FILE_NAME}.new").mkdir()
    with pytest.raises(DiskRefused, match="Is a directory"):
        firing.hear([Word(IDLE_A, True)], unix=TUESDAY)
    assert firing.runs(TUESDAY) == set()


def test_there_is_an_end_to_what_is_kept(tmp_path: Path) -> None:
    words = [Word(Told("GpuwatchRunIdle", "eve", f"r{number}"), True) for number in range(10_001)]
    with pytest.raises(ValueError, match="more than 10000"):
        Firing(tmp_path).hear(words, unix=TUESDAY)


# The evidence


def said(verdict: str = IDLE, *, node: str = "n1", gpu: str = "0", owner: Owner = ANN) -> Mapping[str, str]:
    return {"node": node, "uuid": f"GPU-{node}-{gpu}", **owner._asdict(), "gpu": gpu, "verdict": verdict}


def evidence(*verdicts: Mapping[str, str], seconds: float = 2 * HOUR, growth: Growth | None = None) -> Evidence:
    keys = [tuple(labels[name] for name in ("node", "uuid", "user", "project", "run")) for labels in verdicts]
    whole = Growth(held=seconds, busy=72.0, joules=70.0 * seconds, seen=seconds, unknown=0.0)
    runs = {(key[0], *key[2:]) for key in keys}
    names = ("node", "user", "project", "run")
    return Evidence(
        verdicts=list(verdicts),
        seconds=dict.fromkeys(keys, seconds),
        growth=dict.fromkeys(keys, growth or whole),
        memory=dict.fromkeys(keys, 2.0**30),
        held=dict.fromkeys(keys, 9000.0),
        busy=dict.fromkeys(keys, 900.0),
        abouts=[{**dict(zip(names, key, strict=True)), "name": "resnet", "kind": "batch"} for key in runs],
        starts=dict.fromkeys(runs, TUESDAY - 9000),
        cores=dict.fromkeys(runs, 0.5),
        models={key[:2]: "H100" for key in keys},
        capacities={key[:2]: 0.5 for key in keys},
    )


def test_the_evidence_becomes_the_runs_that_alerts_see() -> None:
    (run,) = runs_of(evidence(said(), said(gpu="1")), TUESDAY)
    assert (run.node, run.owner, run.name, run.kind, run.url) == ("n1", ANN, "resnet", "batch", "")
    assert (run.held_gpu_seconds, run.busy_gpu_seconds, run.cpu_cores) == (9000.0, 900.0, 0.5)
    first, second = run.devices
    assert (first.gpu, second.gpu, first.model, first.capacity, first.memory_bytes) == ("0", "1", "H100", 0.5, 2**30)
    judged = first.judgement
    assert (judged.verdict, judged.since_unix, judged.wasted_seconds) == (IDLE, TUESDAY - 2 * HOUR, 2 * HOUR)
    assert (judged.mean_use, judged.mean_watts, judged.coverage) == (0.01, 70.0, 1.0)


def test_what_was_not_seen_is_no_proof_and_makes_it_begin_earlier() -> None:
    seen = Growth(held=3600.0, busy=0.0, joules=70.0 * 4500, seen=3600.0, unknown=900.0)
    (run,) = runs_of(evidence(said(), seconds=3600.0, growth=seen), TUESDAY)
    judged = run.devices[0].judgement
    assert (judged.since_unix, judged.coverage, judged.mean_watts) == (TUESDAY - 4500, 0.8, 70.0)
    assert (judged.wasted_seconds, judged.idle_seconds) == (3600.0, 3600.0)


def test_a_shared_device_is_wasted_in_part() -> None:
    half = Growth(held=1800.0, busy=0.0, joules=None, seen=3600.0, unknown=None)
    (run,) = runs_of(evidence(said(), seconds=3600.0, growth=half), TUESDAY)
    judged = run.devices[0].judgement
    assert (judged.wasted_seconds, judged.mean_use, judged.mean_watts) == (1800.0, 0.0, None)


def test_a_server_that_has_nothing_of_it_yet_makes_no_figures() -> None:
    (run,) = runs_of(evidence(said(), growth=Growth(None, None, None, None, None)), TUESDAY)
    judged = run.devices[0].judgement
    assert (judged.wasted_seconds, judged.mean_use, judged.mean_watts, judged.coverage) == (2 * HOUR, None, None, 0.0)


def test_a_run_that_is_snoozed_on_one_node_is_so_on_all() -> None:
    runs = runs_of(evidence(said(SNOOZED), said(node="n2"), said(OK, node="n2", gpu="1")), TUESDAY)
    assert [[held.judgement.verdict for held in run.devices] for run in runs] == [[SNOOZED], [SNOOZED, OK]]


def test_of_two_verdicts_on_a_device_one_counts() -> None:
    (run,) = runs_of(evidence(said(OK), said(STUCK), said(IDLE)), TUESDAY)
    assert [held.judgement.verdict for held in run.devices] == [STUCK]
    (run,) = runs_of(evidence(said(SNOOZED), said(IDLE)), TUESDAY)
    assert [held.judgement.verdict for held in run.devices] == [SNOOZED]


# Telling


class Prometheus(Asking):
    """A server that has what the test says."""

    def __init__(self) -> None:
        self.has = evidence(said())
        self.silent_nodes: frozenset[str] = frozenset()
        self.down = False

    def evidence(self, users: object) -> Evidence:
        assert users
        if self.down:
            raise PrometheusError("http://p cannot be reached")
        return self.has

    def unseen(self) -> frozenset[str]:
        return self.silent_nodes


class World:
    """A receiver without its sockets."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.prometheus = Prometheus()
        self.problem = ""
        self.now = TUESDAY
        self.open()

    def open(self) -> None:
        """It begins, with what is on the disk."""
        self.file = NoticesFile(self.folder, unix=self.now)
        self.firing = Firing(self.folder)
        self.outbox = Outbox(self.file)
        terms = Terms(2.5, "$")
        self.telling = FleetTelling(
            Notices(self.file),
            self.outbox,
            policy_of(AlertPolicy(mode="fleet")),
            local=local,
            place="notify n1",
            way=Way(lambda step, earlier, now: letters_of(step, earlier, terms=terms, now_unix=now)),
            firing=self.firing,
            ask=lambda _: self.prometheus,
            note=self._note,
        )

    def restart(self) -> None:
        self.file.close()
        self.open()

    def hear(self, *, firing: bool = True, run: str = "wandb:a") -> None:
        self.firing.hear([Word(Told("GpuwatchRunIdle", "ann", run), firing)], unix=self.now)

    def tell(self, *, after: float = MINUTE) -> list[Step]:
        self.now += after
        return self.telling.tell(Minute(self.now, ()))

    def _note(self, problem: str) -> None:
        self.problem = problem


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.file.close()


def kinds(steps: Sequence[Step]) -> Sequence[type[Step]]:
    return [type(step) for step in steps]


def test_nothing_is_asked_or_told_before_alertmanager_says_so(world: World) -> None:
    world.prometheus.down = True
    assert world.tell() == []
    assert world.problem == ""


def test_what_alertmanager_says_is_told_at_once_and_once_over_restarts(world: World) -> None:
    world.hear()
    (step,) = world.tell()
    assert isinstance(step, Open)
    assert step.notice.outcome == SENT
    world.restart()
    world.hear()
    assert world.tell() == []
    letter = world.outbox.next_letter(world.now)
    assert letter is not None
    assert "resnet" in letter.text
    assert world.outbox.next_letter(world.now) == letter


def test_the_agents_have_waited_and_nobody_waits_again(world: World) -> None:
    world.prometheus.has = evidence(said(), seconds=2 * MINUTE)
    world.hear()
    assert kinds(world.tell()) == [Open]


@pytest.mark.parametrize(("verdict", "why"), [(OK, BUSY), (SNOOZED, SNOOZE)])
def test_that_it_is_over_is_seen_in_the_evidence(world: World, verdict: str, why: str) -> None:
    world.hear()
    world.tell()
    world.prometheus.has = evidence(said(verdict))
    (step,) = world.tell()
    assert isinstance(step, Close)
    assert step.notice.close_reason == why


def test_alertmanagers_word_alone_closes_nothing(world: World) -> None:
    """It says that an alert is over when Prometheus is down."""
    world.hear()
    world.tell()
    world.hear(firing=False)
    world.prometheus.down = True
    assert [world.tell() for _ in range(20)] == [[]] * 20
    assert world.problem == "http://p cannot be reached"
    world.prometheus.down = False
    world.hear()
    assert world.tell(after=1) == []
    assert world.problem == ""


def test_a_node_that_does_not_answer_has_not_ended_its_runs(world: World) -> None:
    world.hear()
    world.tell()
    world.prometheus.has = evidence()
    world.prometheus.silent_nodes = frozenset({"n1"})
    assert [world.tell() for _ in range(20)] == [[]] * 20
    world.prometheus.silent_nodes = frozenset()
    (step,) = world.tell()
    assert isinstance(step, Close)
    assert step.notice.close_reason == ENDED


def test_what_is_silenced_is_not_said_again(world: World) -> None:
    world.hear()
    world.tell()
    world.prometheus.has = evidence(said(), seconds=7 * HOUR)
    silenced = world.tell(after=4 * HOUR)
    world.hear()
    heard = world.tell()
    assert (Remind in kinds(silenced), kinds(heard)) == (False, [Remind])


def test_all_runs_of_a_sweep_are_one_message_whichever_is_meant(world: World) -> None:
    other = ANN._replace(run="wandb:b")
    has = evidence(said(), said(gpu="1", owner=other), said(RESERVED, gpu="2", owner=ANN._replace(run="wandb:c")))
    sweep = [{**labels, "group": "wandb:sweep-x"} for labels in has.abouts if labels["run"] != "wandb:c"]
    world.prometheus.has = has._replace(abouts=sweep)
    world.hear(run="wandb:b")
    (step,) = world.tell()
    assert isinstance(step, Open)
    assert step.notice.runs == ("wandb:a", "wandb:b")


# The listener


class Listener:
    """The receiver's server in a thread."""

    def __init__(self, folder: Path) -> None:
        self.firing = Firing(folder)
        self.woken: list[float] = []
        self.problem = ""
        self.pages = Pages(
            "n1",
            self.firing,
            read_totals=lambda: {"sent": 2},
            read_problem=lambda: self.problem,
            wake=self.woken.append,
        )
        self.socket = bind("127.0.0.1:0")
        self.port = int(self.socket.getsockname()[1])

    def run(self, ready: Callable[[], None]) -> None:
        async def serve() -> None:
            self.loop = asyncio.get_running_loop()
            self.server = Server(self.pages, lambda: TUESDAY, inbox=self.pages)
            self.server.ready.set()
            ready()
            await self.server.serve(sockets=[self.socket])

        asyncio.run(serve())

    def ask(self, method: str, path: str, content: bytes | None = None, **headers: str) -> tuple[int, str]:
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
            connection.request(method, path, content, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    with listening(tmp_path) as made:
        yield made


@contextmanager
def listening(folder: Path) -> Iterator[Listener]:
    made, ready = Listener(folder), threading.Event()
    thread = threading.Thread(target=made.run, args=(ready.set,))
    thread.start()
    ready.wait(10)
    try:
        yield made
    finally:
        made.loop.call_soon_threadsafe(made.server.stop.set)
        thread.join(20)


def test_a_webhook_is_answered_when_it_is_on_the_disk(listener: Listener, tmp_path: Path) -> None:
    assert listener.ask("POST", HOOK, body(alert())) == (200, "noted\n")
    assert Firing(tmp_path).runs(TUESDAY) == {("ann", "wandb:a")}
    assert listener.woken == [TUESDAY]


def test_alertmanager_says_again_what_was_not_taken(listener: Listener, tmp_path: Path) -> None:
    (tmp_path / f".{FILE_NAME}.new").mkdir()
    status, words = listener.ask("POST", HOOK, body(alert()))
    assert (status, "cannot be written" in words, listener.woken) == (503, True, [])


def test_what_is_no_webhook_or_elsewhere_is_not_taken(listener: Listener) -> None:
    assert listener.ask("POST", HOOK, b"{}") == (400, "this is no webhook of Alertmanager\n")
    assert listener.ask("POST", "/", body(alert()))[0] == 404
    assert listener.ask("PUT", HOOK, body(alert()))[0] == 413
    assert listener.ask("GET", HOOK)[0] == 404
    assert listener.ask("GET", "/x")[0] == 404
    assert listener.woken == []


def test_a_body_without_end_is_refused_before_it_is_read(listener: Listener) -> None:
    status, words = listener.ask("POST", HOOK, None, **{"Content-Length": str(LONGEST_BODY + 1)})
    assert (status, words) == (413, "This is longer than what is taken here.\n")
    assert listener.ask("POST", HOOK, b" " * LONGEST_BODY)[0] == 400
    assert listener.ask("POST", HOOK, None, **{"Content-Length": "9" * 5000})[0] in (400, 413)
    assert listener.ask("POST", HOOK, None, **{"Content-Length": "-1"})[0] == 400
    assert listener.ask("POST", HOOK, None, **{"Transfer-Encoding": "chunked"})[0] == 413


def test_it_says_how_it_is_and_how_many_it_told(listener: Listener) -> None:
    assert listener.ask("GET", "/healthz") == (200, "ok\n")
    listener.problem = "http://p cannot be reached"
    assert listener.ask("GET", "/healthz") == (503, "nobody is told now: http://p cannot be reached\n")
    assert 'gpuwatch_notices_total{node="n1",outcome="sent"} 2.0' in listener.ask("GET", "/metrics")[1]


# The command


def refusal(folder: Path, *arguments: str, **environment: str) -> str:
    (said,) = told("notify", "--state-dir", folder, "--listen", "127.0.0.1:0", *arguments, environment=environment)
    return said


@pytest.mark.parametrize("mode", ["agent", "off"])
def test_a_configuration_by_which_nobody_is_told_is_refused(tmp_path: Path, mode: str) -> None:
    said = refusal(tmp_path, "--prometheus", "http://p", GPUWATCH_ALERT_MODE=mode)
    assert said.startswith('alert.mode must be "fleet" where gpuwatch notify tells people')


def test_without_a_prometheus_there_is_no_evidence(tmp_path: Path) -> None:
    said = refusal(tmp_path, GPUWATCH_ALERT_MODE="fleet")
    assert said == "the evidence is Prometheus's: set prometheus.url, or give --prometheus URL"
