"""`gpuwatch check`: what is found, what is made of it, and that no answer can hurt it or make it tell a secret."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePath
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner
from conftest import Play
from hypothesis import given
from hypothesis import strategies as st
from rig import Agent, free_port, wait_until
from servers import prometheus
from slack_api import SlackApi, refusal, slack_api
from standin.driver import StandIn
from standin.trace import steady_trace

from gpuwatch import __version__
from gpuwatch.agent.config import Configuration
from gpuwatch.agent.settings import Settings
from gpuwatch.alert.workspace import Workspace
from gpuwatch.check import look as look_module
from gpuwatch.check.clock import ClockFacts, judge_clock, read_clock
from gpuwatch.check.disk import DiskFacts, judge_disk, read_disk
from gpuwatch.check.driver import DriverFacts, Node, judge_driver, read_driver
from gpuwatch.check.fetch import LONGEST_BODY, Answer, fetch
from gpuwatch.check.finding import CHECKS, Finding, exit_status, fail, ok, warn
from gpuwatch.check.listen import Holder, ListenFacts, judge_listen, parse_listeners, read_listen
from gpuwatch.check.look import look
from gpuwatch.check.notices import judge_notices, read_notices
from gpuwatch.check.prometheus import PrometheusFacts, judge_prometheus, read_prometheus
from gpuwatch.check.rights import RightsFacts, Trial, judge_rights
from gpuwatch.check.slack import judge_slack, read_slack
from gpuwatch.check.sources import judge_sources, read_sources
from gpuwatch.check.web import judge_web, read_web_facts
from gpuwatch.cli import command
from gpuwatch.cli.check import table
from gpuwatch.errors import DriverUnavailable, LibraryMismatch
from gpuwatch.model.outbox import POST, Letter
from gpuwatch.sense.mounts import Mount, mount_of, parse_mounts
from gpuwatch.sense.sight import DAC_READ_SEARCH, SYS_PTRACE, Sight, blindness, hides_others, parse_capabilities
from gpuwatch.state.notices import Notices
from gpuwatch.state.notices_file import NOTICES_NAME, NoticesFile
from gpuwatch.state.outbox import Outbox

SCHEMA = json.loads((Path(__file__).parent.parent / "docs" / "check.schema.json").read_text(encoding="utf-8"))
TOKEN = "xoxb-1234-abcdSECRET"
BOTH = frozenset({SYS_PTRACE, DAC_READ_SEARCH})
SEES_ALL = RightsFacts(0, "root", Sight(True, False, BOTH), 7, Trial(5, 5, 5), 8192)
DISK = DiskFacts(Path("/d"), Path("/d"), True, True, 0, Mount(PurePath("/"), "ext4", {"rw": ""}), 10**9)


def statuses(findings: Sequence[Finding]) -> dict[str, str]:
    return {finding.check: finding.status for finding in findings}


def valid(findings: Sequence[Finding]) -> Sequence[Finding]:
    """The same, if they are as the schema says."""
    jsonschema.validate(json.loads(json.dumps([finding._asdict() for finding in findings])), SCHEMA)
    return findings


@dataclass
class Site:
    """A server on the loopback that answers as it is told, and what it was asked."""

    port: int = 0
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Path and Authorization of each request."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def serving() -> Iterator[Site]:
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append((self.path, self.headers.get("Authorization", "")))
            self.send_response(site.status)
            for name, value in site.headers.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                self.wfile.write(site.body)
            except ConnectionError:
                return  # who asked has had enough

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()


# Findings


def test_the_schema_names_every_check() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert tuple(SCHEMA["items"]["properties"]["check"]["enum"]) == CHECKS


def test_the_exit_status_is_for_automation() -> None:
    good, loss, bad = ok("driver", "x"), warn("clock", "x", lost="y", mend="z"), fail("driver", "x", lost="y", mend="z")
    wrong = fail("configuration", "x", lost="y", mend="z")
    assert [exit_status(found) for found in ([good, loss], [good, bad], [bad, wrong])] == [0, 1, 2]


@given(st.text())
def test_no_text_breaks_a_line(text: str) -> None:
    finding = warn("listen", f"a{text}b", lost=text, mend=text)
    assert len(f"{finding.found}{finding.lost}{finding.mend}".splitlines()) == 1
    assert "\x1b" not in finding.found


def test_the_table_says_what_is_lost_and_what_mends_it() -> None:
    lines = table([ok("driver", "570"), warn("clock", "no", lost="dates", mend="ntp")]).splitlines()
    plain = [line.replace("\x1b[32m", "").replace("\x1b[33m", "").replace("\x1b[0m", "") for line in lines]
    assert plain == [
        "ok    driver  570",
        "warn  clock   no",
        "      lost: dates",
        "      mend: ntp",
        "no failures, 1 warning",
    ]


# The driver


def test_a_driver_and_its_gpus_are_told(play: Play) -> None:
    play(steady_trace(2, 1, 10.0, 0.5))
    findings = valid(judge_driver(read_driver()))
    assert statuses(findings) == {"binding": "ok", "driver": "ok", "gpus": "ok"}
    assert findings[-1].found.startswith("2, ")


def test_what_a_card_lacks_is_told_with_its_loss(play: Play) -> None:
    play(steady_trace(2, 1, 10.0, 0.5)).unsupported("ring", "process_utilization", "energy")
    told = [finding for finding in valid(judge_driver(read_driver())) if finding.check == "gpus"]
    assert [finding.status for finding in told] == ["warn"] * 3
    assert [finding.found for finding in told] == [
        "no ring of samples on all GPUs",
        "no use by process on all GPUs",
        "no energy counter on all GPUs",
    ]


def test_a_lost_gpu_fails_alone(play: Play) -> None:
    play(steady_trace(2, 1, 10.0, 0.5)).lose(1)
    (lost,) = [finding for finding in valid(judge_driver(read_driver())) if finding.check == "gpus"]
    assert (lost.status, lost.found[:5]) == ("fail", "GPU 1")


@pytest.mark.parametrize(
    ("error", "mend"),
    [
        (LibraryMismatch("of different versions"), "reboot"),
        (DriverUnavailable("no NVIDIA driver is installed here: libnvidia-ml.so.1 was not found"), "apt install"),
        (DriverUnavailable("the NVIDIA driver does not answer"), "usermod -aG video THE_USER"),
        (DriverUnavailable("the installed module pynvml is not the one"), "as for the binding"),
    ],
)
def test_a_driver_that_does_not_open_is_told_with_what_mends_it(error: DriverUnavailable, mend: str) -> None:
    node = Node("/dev/nvidiactl", False, "video")
    *_, finding = valid(judge_driver(DriverFacts("13.0", "", ("", ""), (), (node,), error)))
    assert (finding.check, finding.status) == ("driver", "fail")
    assert finding.mend.startswith(mend)
    assert "/dev/nvidiactl" in finding.found


def test_the_deprecated_package_is_told() -> None:
    binding, *_ = valid(judge_driver(DriverFacts("13.0", "11.5.3", ("1", "1"), (), (), None)))
    assert (binding.status, "pip uninstall -y pynvml" in binding.mend) == ("warn", True)
    binding, *_ = valid(judge_driver(DriverFacts("", "11.5.3", ("1", "1"), (), (), None)))
    assert binding.status == "fail"


# The rights; tests/test_rights.py takes them away for real


def test_capabilities_are_read_by_their_numbers() -> None:
    assert parse_capabilities("Name:\tx\nCapEff:\t0000000000080004\nCapBnd:\t0\n") == BOTH
    assert parse_capabilities("CapEff:\t0000000000080000\n") == {SYS_PTRACE}
    assert parse_capabilities("") == frozenset()


def test_mounts_are_read_with_what_is_on_top() -> None:
    mounts = parse_mounts(
        "21 1 0:5 / / rw,relatime - ext4 /dev/sda rw\n"
        "22 21 0:6 / /a\\040b rw - tmpfs none rw,size=4k\n"
        "23 21 0:7 / /proc rw,nosuid shared:5 - proc proc rw,gid=7,hidepid=invisible\n"
        "garbage\n"
        "24 21 0:7 / /proc ro - proc proc rw,hidepid=2\n"
    )
    assert [mount.kind for mount in mounts] == ["ext4", "tmpfs", "proc", "proc"]
    on_blank, on_proc = mount_of(PurePath("/a b/c"), mounts), mount_of(PurePath("/proc/1"), mounts)
    assert on_blank is not None
    assert on_proc is not None
    assert (on_blank.options["size"], on_proc.options["hidepid"], "ro" in on_proc.options) == ("4k", "2", True)


@given(st.text())
def test_no_table_of_mounts_breaks_the_reading(text: str) -> None:
    mount_of(PurePath("/x"), parse_mounts(text))


@pytest.mark.parametrize(
    ("options", "hidden"),
    [
        ({}, False),
        ({"hidepid": "off"}, False),
        ({"hidepid": "2"}, True),
        ({"hidepid": "invisible", "gid": "7"}, False),
        ({"hidepid": "ptraceable", "gid": "8"}, True),
    ],
)
def test_hidepid_spares_a_group(options: dict[str, str], hidden: bool) -> None:
    assert hides_others(Mount(PurePath("/proc"), "proc", options), {7}) == hidden


def test_blindness_names_what_mends_it() -> None:
    assert blindness(Sight(True, True, BOTH)) == blindness(Sight(True, False, frozenset())) == ""
    assert "CAP_SYS_PTRACE" in blindness(Sight(True, True, frozenset({DAC_READ_SEARCH})))
    assert "--pid=host" in blindness(Sight(False, True, BOTH))


def test_rights_are_judged_by_what_works() -> None:
    assert set(statuses(valid(judge_rights(SEES_ALL))).values()) == {"ok"}
    alone = SEES_ALL._replace(
        uid=1000, user="ann", sight=Sight(True, True, frozenset()), others=0, trial=Trial(0, 0, 0)
    )
    findings = valid(judge_rights(alone))
    assert findings[0].found == "judged as uid 1000 (ann), with neither capability"
    assert statuses(findings)["other-processes"] == statuses(findings)["other-environments"] == "warn"
    refused = SEES_ALL._replace(trial=Trial(5, 0, 0))  # as where a security module says no
    assert statuses(judge_rights(refused))["other-environments"] == "warn"
    elsewhere = SEES_ALL._replace(sight=Sight(False, False, BOTH), most_files=256)
    assert statuses(valid(judge_rights(elsewhere)))["pid-namespace"] == "fail"
    assert statuses(judge_rights(elsewhere))["descriptors"] == "warn"


# The address


def test_a_free_address_is_free() -> None:
    assert statuses(valid(judge_listen(read_listen(f"127.0.0.1:{free_port()}")))) == {"listen": "ok", "agent": "warn"}


def test_who_has_the_address_is_named() -> None:
    with serving() as site:
        site.body = b'{"version": "1.0"}'  # a document, and no agent's
        (finding,) = valid(judge_listen(read_listen(f"127.0.0.1:{site.port}")))
    assert finding.status == "fail"
    assert f"pid {os.getpid()}" in finding.found
    assert f"kill {os.getpid()}" in finding.mend


def test_an_address_that_is_not_this_machines_cannot_be_had() -> None:
    (finding,) = valid(judge_listen(read_listen("192.0.2.1:9469")))
    assert (finding.status, finding.mend.startswith("gpuwatch agent --listen")) == ("fail", True)


@pytest.mark.parametrize(
    ("status", "body", "version", "expected"),
    [
        (200, b"ok: the last reading is 0.5 s old\n", __version__, "ok"),
        (200, b"ok\n", "0.0.9", "warn"),
        (503, b"stale: the last reading is 60 s old\n", __version__, "fail"),
    ],
)
def test_an_agent_is_judged_by_its_health_and_version(status: int, body: bytes, version: str, expected: str) -> None:
    document = json.dumps({"agent": True, "version": version}).encode()
    facts = ListenFacts("h:1", errno.EADDRINUSE, "", Answer(status, body), Answer(200, document), Holder(7, "gpuwatch"))
    listen, agent = valid(judge_listen(facts))
    assert (listen.status, agent.status) == ("ok", expected)


def test_an_agent_that_cannot_tell_anybody_says_why() -> None:
    document = {"agent": True, "version": __version__, "notices_problem": "cannot note what is told: disk full"}
    facts = ListenFacts("h:1", errno.EADDRINUSE, "", Answer(200, b"ok"), Answer(200, json.dumps(document).encode()))
    *_, notices = valid(judge_listen(facts))
    assert (notices.check, notices.status) == ("notices", "warn")
    assert notices.found == "the agent tells nobody: cannot note what is told: disk full"


@pytest.mark.parametrize("body", [b"", b"[" * 100_000, b"null", b'{"agent": true, "version": "a\\nb"}', b"\xff"])
def test_no_document_is_taken_for_an_agents(body: bytes) -> None:
    facts = ListenFacts("h:1", errno.EADDRINUSE, status=Answer(200, body))
    assert statuses(valid(judge_listen(facts))) == {"listen": "fail"}
    assert statuses(valid(judge_listen(facts, guarded=True))) == {"listen": "ok"}  # it shows itself to nobody


@given(st.text())
def test_no_table_of_sockets_breaks_the_reading(text: str) -> None:
    assert parse_listeners(text, 9469) == set()


# The state directory


def test_a_directory_that_can_be_made_is_good(tmp_path: Path) -> None:
    facts = read_disk(tmp_path / "a" / "b")
    assert (facts.nearest, facts.writable, facts.exists) == (tmp_path, True, False)
    assert facts.mount is not None
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_its_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    (finding,) = valid(judge_disk(read_disk(tmp_path / "state" / "x"), uid=0))
    assert (finding.status, "is no directory" in finding.found) == ("fail", True)


@pytest.mark.parametrize(
    ("facts", "status", "word"),
    [
        (DISK, "ok", "ext4"),
        (DISK._replace(mount=None), "ok", "unknown"),
        (DISK._replace(writable=False, owner=5), "fail", "cannot write"),
        (DISK._replace(mount=Mount(PurePath("/"), "ext4", {"ro": ""})), "fail", "read-only"),
        (DISK._replace(mount=Mount(PurePath("/"), "tmpfs", {})), "warn", "tmpfs"),
        (DISK._replace(mount=Mount(PurePath("/"), "nfs4", {})), "warn", "nfs4"),
        (DISK._replace(mount=Mount(PurePath("/"), "fuse.sshfs", {})), "warn", "sshfs"),
        (DISK._replace(free_bytes=10**6), "warn", "1 MB free"),
    ],
)
def test_a_directory_is_judged_by_what_it_is_on(facts: DiskFacts, status: str, word: str) -> None:
    (finding,) = valid(judge_disk(facts, uid=1000))
    assert (finding.status, word in finding.found) == (status, True)


# The clock, and what else runs here


def test_the_clock_is_read() -> None:
    now = time.time()
    facts = read_clock(now)
    assert facts.unix == now
    assert facts.boot_id
    valid(judge_clock(facts))


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        (ClockFacts(2e9, True, "b"), "ok"),
        (ClockFacts(2e9, None, "b"), "ok"),
        (ClockFacts(2e9, False, "b"), "warn"),
        (ClockFacts(100.0, True, "b"), "fail"),
        (ClockFacts(2e9, True, ""), "fail"),
    ],
)
def test_the_clock_is_judged(facts: ClockFacts, status: str) -> None:
    assert statuses(valid(judge_clock(facts))) == {"clock": status}


def test_what_runs_here_is_named_and_nothing_promised(tmp_path: Path) -> None:
    proc, root = tmp_path / "proc", tmp_path / "root"
    for pid, name in ((1, "slurmd\n"), (2, "bash\n"), (3, "wandb-core\n")):
        (proc / str(pid)).mkdir(parents=True)
        (proc / str(pid) / "comm").write_text(name)
    (proc / "4").mkdir()
    (root / "run/systemd/system").mkdir(parents=True)
    found = read_sources({"SLURM_CONF": "/x\n/y"}, proc, root)
    assert found == {
        "Slurm": "slurmd runs",
        "Weights & Biases": "wandb-core runs",
        "systemd": "/run/systemd/system",
    }
    (finding,) = valid(judge_sources(found))
    assert finding.found.endswith("launches from a shell are recognised without any")


# The web configuration


def test_the_web_configuration_is_read_as_the_agent_would(tmp_path: Path) -> None:
    path = tmp_path / "web.yml"
    assert statuses(judge_web(read_web_facts(None))) == {"web": "ok"}
    assert statuses(valid(judge_web(read_web_facts(path)))) == {"web": "fail"}
    path.write_text("basic_auth_users:\n  ann: secret-hash\n")
    (finding,) = valid(judge_web(read_web_facts(path)))
    assert (finding.status, "secret-hash" in str(finding)) == ("fail", False)
    path.write_text("{}\n")
    assert statuses(valid(judge_web(read_web_facts(path)))) == {"web": "ok"}


# HTTP, Prometheus, Slack


def test_a_body_without_end_costs_bounded_memory() -> None:
    with serving() as site:
        site.body = b"x" * (4 * LONGEST_BODY)
        assert len(fetch(site.url).body) == LONGEST_BODY


@pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH\r\n", b"\0\xff" * 5000, b""])
def test_what_is_no_http_is_told(greeting: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            client, _ = server.accept()
            with client:
                client.sendall(greeting)

        thread = threading.Thread(target=greet)
        thread.start()
        answer = fetch(f"http://127.0.0.1:{server.getsockname()[1]}/")
        thread.join()
    assert answer.status == 0
    assert answer.problem


def test_no_proxy_comes_between_what_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent can listen at any address of this machine: a proxy would take it for something else."""
    monkeypatch.setattr("gpuwatch.check.fetch.is_loopback", lambda _: False)
    with serving() as site, serving() as proxy:
        site.body, proxy.body = b"agent", b"proxy"
        monkeypatch.setenv("http_proxy", proxy.url)
        assert (fetch(site.url).body, fetch(site.url, here=True).body) == (b"proxy", b"agent")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/", "data:,x", "x"])
def test_only_http_is_fetched(url: str) -> None:
    assert fetch(url) == Answer(0, problem="its address is neither http nor https")


def test_prometheus_is_asked_for_this_node() -> None:
    assert statuses(judge_prometheus(read_prometheus("", "n7"))) == {"prometheus": "ok"}
    gone = f"http://127.0.0.1:{free_port()}"
    (finding,) = valid(judge_prometheus(read_prometheus(gone, "n7")))
    assert (finding.status, "Connection refused" in finding.found) == ("warn", True)
    for body in (b"", b"<html>", b"[]", b'{"status": "success"}', b'{"status": "success", "data": []}', b"[" * 100_000):
        (finding,) = valid(judge_prometheus(PrometheusFacts("http://p", "n7", Answer(200, body))))
        assert "no answer of Prometheus" in finding.found


def test_a_real_prometheus_has_this_node_or_not(tmp_path: Path) -> None:
    with StandIn(tmp_path, steady_trace(1, 1, 600.0, 0.5)) as driver:
        driver.start()
        with Agent(tmp_path, driver.environment()) as agent, prometheus(tmp_path, agent.port) as server:
            url = f"http://127.0.0.1:{server.port}"
            wait_until(lambda: bool(server.query("gpuwatch_build_info")), seconds=30, what="a scrape")
            (here,) = valid(judge_prometheus(read_prometheus(url, "n7")))
            (other,) = valid(judge_prometheus(read_prometheus(url, 'n"\\8{}')))
    assert (here.status, here.found) == ("ok", f"{url} has this node")
    assert (other.status, "no gpuwatch_build_info" in other.found) == ("warn", True)


def token_file(folder: Path, text: str = TOKEN + "\n", mode: int = 0o600) -> Path:
    path = folder / "token"
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("status", "body", "expected", "found"),
    [
        (200, b'{"ok": true, "team": "t"}', "ok", "the token is accepted"),
        (200, b'{"ok": false, "error": "invalid_auth"}', "fail", "Slack refuses the token: invalid_auth"),
        (200, f'{{"ok": false, "error": "{TOKEN}"}}'.encode(), "fail", "an answer that is not Slack's"),
        (200, TOKEN.encode(), "fail", "an answer that is not Slack's"),
        (500, TOKEN.encode(), "warn", "HTTP status 500"),
    ],
)
def test_slack_is_asked_and_the_token_never_told(
    tmp_path: Path, status: int, body: bytes, expected: str, found: str
) -> None:
    with serving() as site:
        site.status, site.body = status, body
        (finding,) = valid(judge_slack(read_slack(Workspace(token_file(tmp_path), site.url))))
    assert site.asked == [("/auth.test", f"Bearer {TOKEN}")]
    assert (finding.status, found in finding.found) == (expected, True)
    assert TOKEN not in str(finding)


def test_the_token_follows_no_redirect(tmp_path: Path) -> None:
    with serving() as site, serving() as elsewhere:
        site.status, site.headers = 302, {"Location": f"{elsewhere.url}/"}
        (finding,) = valid(judge_slack(read_slack(Workspace(token_file(tmp_path), site.url))))
    assert (finding.status, elsewhere.asked) == ("warn", [])


def test_the_token_is_not_sent_in_clear(tmp_path: Path) -> None:
    (finding,) = valid(judge_slack(read_slack(Workspace(token_file(tmp_path), "http://slack.invalid/api"))))
    assert (finding.status, "not https" in finding.found) == ("fail", True)


@pytest.mark.parametrize("text", ["", f"{TOKEN}\n{TOKEN}", f"{TOKEN}\r\nX: y", "x" * 5000, "tökén"])
def test_a_file_that_holds_no_token_is_told_and_not_shown(tmp_path: Path, text: str) -> None:
    (finding,) = valid(judge_slack(read_slack(Workspace(token_file(tmp_path, text), "http://127.0.0.1:9"))))
    assert (finding.status, "must hold one line" in finding.found, TOKEN in str(finding)) == ("fail", True, False)


def test_a_token_that_others_can_read_is_told(tmp_path: Path) -> None:
    with serving() as site:
        site.body = b'{"ok": true}'
        accepted, mode = valid(judge_slack(read_slack(Workspace(token_file(tmp_path, mode=0o644), site.url))))
    assert (accepted.status, mode.status, "0644" in mode.found) == ("ok", "warn", True)
    (missing,) = valid(judge_slack(read_slack(Workspace(tmp_path / "none", site.url))))
    assert (missing.status, missing.mend.startswith("install -m 0600")) == ("fail", True)
    assert statuses(judge_slack(read_slack(Workspace(None, site.url)))) == {"slack": "ok"}


# All of it


def test_a_topic_that_hangs_costs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = threading.Event()
    monkeypatch.setattr(look_module, "read_driver", lambda _: hanging.wait())
    monkeypatch.setattr(look_module, "read_clock", lambda *_: 1 / 0)
    settings = Settings(listen=f"127.0.0.1:{free_port()}", state_directory=tmp_path)
    findings = valid(look(Configuration(settings, {}), "", unix=2e9, patience=1.0))
    hanging.set()
    by_check = {finding.check: finding for finding in findings}
    assert "no answer within 1 s" in by_check["driver"].found
    assert "ZeroDivisionError" in by_check["clock"].found
    assert by_check["state"].status == by_check["listen"].status == "ok"


def run_check(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gpuwatch", "check", *arguments]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)


def test_who_has_no_home_is_told_where_that_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.setattr("os.geteuid", lambda: 54321)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    done = CliRunner().invoke(command, ["check", "--json"])
    findings = {finding["check"]: finding for finding in json.loads(done.output)}
    assert (done.exit_code, findings["configuration"]["found"][:21]) == (2, "this user has no home")
    assert "driver" in findings
    for arguments in (["config"], ["status", "--listen", f"127.0.0.1:{free_port()}"]):
        assert CliRunner().invoke(command, arguments).exit_code == 0


def test_a_wrong_configuration_is_a_finding_and_status_2(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[acount]\nx = 1\n[account]\npeople = 'all'\n")
    done = run_check("--json", "--config", str(config))
    findings: list[dict[str, Any]] = json.loads(done.stdout)
    jsonschema.validate(findings, SCHEMA)
    assert (done.returncode, done.stderr) == (2, "")
    assert [finding["check"] for finding in findings].count("configuration") == 2
    assert {"user", "driver", "clock", "sources"} <= {finding["check"] for finding in findings}


def test_the_command_prints_a_plain_table(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("")
    with StandIn(tmp_path, steady_trace(1, 1, 600.0, 0.5)) as driver:
        arguments = ("--config", str(config), "--listen", f"127.0.0.1:{free_port()}", "--state-dir", str(tmp_path))
        done = run_check(*arguments, **driver.environment())
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert "ok    driver" in done.stdout
    assert "lost: " in done.stdout


# A test message


@pytest.fixture
def api() -> Iterator[SlackApi]:
    with slack_api() as running:
        running.people = {"ann@example.com": "U1"}
        running.epoch = 2e9
        yield running


def send_test(api: SlackApi, folder: Path, person: str = "ann", **other: str) -> tuple[int, str]:
    """The exit status of `gpuwatch check --send-test`, and what it says."""
    about = {"api_url": api.url, "channel": "#gpus", "email_domain": "example.com"} | other
    lines = [f'{key} = "{value}"' for key, value in about.items() if value]
    path = folder / "config.toml"
    path.write_text(f'[slack]\ntoken_file = "{token_file(folder)}"\n' + "\n".join(lines))
    result = CliRunner().invoke(command, ["check", "--send-test", person, "--config", str(path)])
    assert TOKEN not in result.output
    return result.exit_code, result.output


def test_a_test_message_goes_the_way_of_notices(api: SlackApi, tmp_path: Path) -> None:
    status, said = send_test(api, tmp_path)
    assert (status, said.count("\n")) == (0, 6)
    for words in ("the token is accepted", "ann@example.com is known to Slack", "a message to ann is posted", "edited"):
        assert words in said
    (post,) = api.direct("U1")
    assert post["text"].startswith("<@U1>, this is a test")
    assert "found again" in said


def test_a_test_message_to_who_is_not_known_goes_to_the_channel(api: SlackApi, tmp_path: Path) -> None:
    status, said = send_test(api, tmp_path, "ben")
    assert (status, "Slack knows nobody of the address ben@example.com" in said) == (0, True)
    assert [post["text"].split(",")[0] for post in api.read_in("C1")] == ["ben"]


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("users.lookupByEmail", "is not found: the Slack app lacks a right: add x:y"),
        ("conversations.open", "no direct message can be sent: the Slack app lacks a right: add x:y"),
        ("conversations.history", "it cannot be looked for: the Slack app lacks a right: add x:y"),
    ],
)
def test_a_right_that_lacks_is_told_with_what_is_lost(api: SlackApi, tmp_path: Path, method: str, words: str) -> None:
    api.refused[method] = refusal("missing_scope", needed="x:y")
    status, said = send_test(api, tmp_path)
    assert (status, words in said, len(api.posts)) == (0, True, 1)


def test_a_test_message_that_does_not_arrive_is_a_failure(api: SlackApi, tmp_path: Path) -> None:
    api.strangers.add("C1")
    status, said = send_test(api, tmp_path, "ben")
    assert (status, "write `/invite @` and its name there" in said) == (1, True)
    status, said = send_test(api, tmp_path, "ben", channel="")
    assert (status, "there is nobody to write to" in said) == (1, True)
    api.token = "another"
    status, said = send_test(api, tmp_path)
    assert (status, "Slack refuses the token: invalid_auth" in said, api.posts) == (1, True, [])


def test_without_a_token_no_test_message_is_sent(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("")
    result = CliRunner().invoke(command, ["check", "--send-test", "ann", "--config", str(path)])
    assert (result.exit_code, "slack.token_file is not set" in result.output) == (1, True)


# Notices


@pytest.mark.parametrize("mode", ["off", "shadow", "fleet"])
def test_where_this_agent_tells_nobody_nothing_has_to_arrive(tmp_path: Path, mode: str) -> None:
    (finding,) = valid(judge_notices(read_notices(tmp_path, mode, 2e9)))
    assert (finding.status, mode in finding.found) == ("ok", True)


def test_messages_that_wait_or_were_given_up_are_told_with_the_reason(tmp_path: Path) -> None:
    def look() -> Finding:
        (finding,) = valid(judge_notices(read_notices(tmp_path, "agent", 2e9)))
        return finding

    assert look().status == "ok"
    with closing(NoticesFile(tmp_path, unix=2e9, durable=False)) as file:
        outbox = Outbox(file)
        Notices(file).record((), (), [Letter(name, name, POST, "ann", "x", "[]", 2e9) for name in ("n1", "n2")])
        assert look().status == "ok"
        outbox.fail("n2", why="Slack refuses it: x", now_unix=2e9 - 1)
        assert look().found == "1 of the messages to people in 7 days did not arrive: Slack refuses it: x"
        outbox.put_off("n1", until_unix=2e9 + 1, why="Slack is not reached: y")
        assert look().found.startswith("1 of the messages to people waits for Slack:")
        (tmp_path / NOTICES_NAME).write_bytes(b"no database, and long enough to be read as one" * 100)
    assert look().status == "warn"
