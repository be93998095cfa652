"""An installed agent with a web configuration: a real Prometheus and `gpuwatch status` get in, nobody else does."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import bcrypt
import pytest
from listener import Pair, make_certificate, write_web
from rig import Agent, idle_processes, wait_until
from servers import Prometheus, prometheus
from standin.driver import StandIn
from standin.trace import steady_trace

USER, PASSWORD = "prometheus", "korrekt pferd"


class GuardedAgent(Agent):
    """One that serves TLS, and asks for a password."""

    ca_file: Path

    def get(self, path: str, *, accept: str = "", timeout: float = 5.0) -> bytes:
        return self.ask(path, password=PASSWORD, accept=accept, timeout=timeout)

    def ask(self, path: str, *, password: str, accept: str = "", timeout: float = 5.0) -> bytes:
        credentials = b64encode(f"{USER}:{password}".encode()).decode()
        headers = {"Accept": accept, "Authorization": f"Basic {credentials}"}
        request = Request(f"https://127.0.0.1:{self.port}{path}", headers=headers)
        with urlopen(request, timeout=timeout, context=ssl.create_default_context(cafile=self.ca_file)) as answer:
            body: bytes = answer.read()
        return body


@dataclass
class Scene:
    """A guarded agent, and what a client of it needs."""

    agent: GuardedAgent
    pair: Pair
    password_file: Path


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("listener")
    pair = make_certificate(folder, "n7")
    password_file = folder / "password"
    password_file.write_text(f"{PASSWORD}\n", encoding="utf-8")
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(10)).decode()
    web = write_web(
        folder,
        f"tls_server_config: {{cert_file: n7.crt, key_file: n7.key}}\nbasic_auth_users: {{{USER}: '{hashed}'}}\n",
    )
    with ExitStack() as stack:
        driver = stack.enter_context(StandIn(folder, steady_trace(1, 1, 600.0, 0.8)))
        for slot, pid in enumerate(stack.enter_context(idle_processes(1))):
            driver.set_pid(slot, pid)
        driver.start()
        agent = GuardedAgent(folder, driver.environment(), arguments=("--web-config", str(web)))
        agent.ca_file = pair.cert
        stack.enter_context(agent)
        yield Scene(agent, pair, password_file)
        assert agent.process is not None
        said = agent.log.read_text(encoding="utf-8")
        assert f"look at https://127.0.0.1:{agent.port}/" in said
        assert not any(secret in said for secret in (PASSWORD, USER + ":", hashed, "Traceback"))


def run_status(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gpuwatch", "status", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def has_tried(server: Prometheus) -> bool:
    return any(target["health"] != "unknown" for target in server.targets())


@pytest.mark.parametrize(
    ("password", "health", "error"), [(PASSWORD, "up", ""), ("wrong", "down", "server returned HTTP status 401")]
)
def test_prometheus_scrapes_over_tls_with_a_password(
    scene: Scene, tmp_path: Path, password: str, health: str, error: str
) -> None:
    password_file = tmp_path / "password"
    password_file.write_text(password, encoding="utf-8")
    job = {
        "scheme": "https",
        "tls_config": {"ca_file": str(scene.pair.cert)},
        "basic_auth": {"username": USER, "password_file": str(password_file)},
    }
    with prometheus(tmp_path, scene.agent.port, **job) as server:
        wait_until(partial(has_tried, server), seconds=20, what="a scrape")
        (target,) = server.targets()
        assert (target["health"], target["lastError"].startswith(error)) == (health, True)
        if health == "up":  # what was scraped is there a moment after the target is called so
            wait_until(lambda: bool(server.query("gpuwatch_gpu_up")), seconds=20, what="what was scraped")
        else:
            assert not server.query("gpuwatch_gpu_up")


def test_without_the_password_there_is_nothing(scene: Scene) -> None:
    with pytest.raises(HTTPError, match="401"):
        scene.agent.ask("/metrics", password="wrong")


def test_status_gets_in_with_all_it_needs(scene: Scene) -> None:
    listen = f"https://127.0.0.1:{scene.agent.port}"
    whole = ("--listen", listen, "--ca-file", scene.pair.cert, "--login", USER, "--password-file", scene.password_file)
    done = run_status("--json", *whole)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["node"] == "n7"


def test_status_says_what_is_missing(scene: Scene, tmp_path: Path) -> None:
    at = f"127.0.0.1:{scene.agent.port}"
    garbage = tmp_path / "garbage"
    garbage.write_text("no PEM, and a wrong password")
    trust = ("--listen", f"https://{at}", "--ca-file", scene.pair.cert)
    for arguments, said in (
        (("--listen", at), f"(where it serves TLS: --listen https://{at})"),
        (("--listen", f"https://{at}"), "is not trusted: self-signed certificate; name its CA with --ca-file FILE"),
        (trust, f"the agent at https://{at} asks for a password: give --login NAME and --password-file FILE"),
        ((*trust, "--login", USER), "--login NAME, without a colon, and --password-file FILE go together"),
        ((*trust, "--login", USER, "--password-file", garbage), "does not know this user with this password"),
        ((*trust, "--login", USER, "--password-file", tmp_path), "cannot be read"),
        (("--listen", f"https://{at}", "--ca-file", garbage), "must hold certificates in PEM"),
        (("--listen", f"https://{at}", "--ca-file", tmp_path / "none"), "cannot be read: No such file or directory"),
        (("--listen", "https://n7"), "'n7' is not HOST:PORT"),
    ):
        done = run_status(*arguments)
        assert done.returncode == 2, arguments
        assert done.stderr.startswith("gpuwatch: "), done.stderr
        assert done.stderr.count("\n") == 1, done.stderr
        assert said in done.stderr


def test_a_broken_one_ends_the_agent_before_it_begins(tmp_path: Path) -> None:
    web = write_web(tmp_path, "tls_server_config: {cert_fil: n7.crt}")
    agent = Agent(tmp_path, {}, arguments=("--web-config", str(web)))
    agent.launch()
    assert agent.process is not None
    assert agent.process.wait(timeout=20) == 2
    (line,) = agent.log.read_text(encoding="utf-8").splitlines()
    assert line == f"gpuwatch: {web}: unknown key tls_server_config.cert_fil; did you mean cert_file?"
    assert not agent.state.exists()
