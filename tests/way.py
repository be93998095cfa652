"""The way of an alert in real servers: Prometheus with gpuwatch's rules, Alertmanager with its route, and notify."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import yaml
from rig import Exposition, free_port, parse, total, wait_until
from servers import Prometheus, program

from gpuwatch.alert.routing import routing_text
from gpuwatch.alert.rules import FILE_NAME, alerts_text

_PATIENCE = 20.0


class Served:
    """A server that can be ended and started again with what it keeps. Its log must hold no traceback."""

    def __init__(self, folder: Path, name: str, command: Sequence[str], *, port: int, ready: str, **variables: str):
        self.port = port
        self.log = folder / f"{name}.log"
        self._command = command
        self._ready = ready
        self._variables = variables
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Served:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGTERM)
        log = self.log.read_text(encoding="utf-8", errors="replace")
        assert "Traceback" not in log, log

    def start(self) -> None:
        """Start it and wait until it serves."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, env={**os.environ, **self._variables}
            )
        try:
            wait_until(self._is_ready, seconds=_PATIENCE, what=f"ready: {self._command[0]}; its log: {self.log}")
        except BaseException:
            self.stop(signal.SIGKILL)
            raise

    def stop(self, number: int) -> None:
        """End it by a signal."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(_PATIENCE)
            self._process = None

    def restart(self, number: int = signal.SIGTERM) -> None:
        """End it and start it again."""
        self.stop(number)
        self.start()

    def get(self, path: str) -> bytes:
        """The body at a path."""
        with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            body: bytes = answer.read()
        return body

    def _is_ready(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError(f"it ended: {self.log.read_text(encoding='utf-8')}")
        try:
            self.get(self._ready)
        except OSError:
            return False
        return True


@dataclass(frozen=True)
class Way:
    """The servers behind the agents."""

    prometheus: Served
    alertmanager: Served
    notify: Served

    def firing(self) -> Exposition:
        """The alerts that go on, as Prometheus has them."""
        return Prometheus(self.prometheus.port).query('ALERTS{alertstate="firing"}')

    def routed(self) -> list[str]:
        """The names of the alerts that Alertmanager has."""
        return [alert["labels"]["alertname"] for alert in json.loads(self.alertmanager.get("/api/v2/alerts"))]

    def told(self, outcome: str) -> float:
        """What notify counts."""
        return total(parse(self.notify.get("/metrics").decode()), "gpuwatch_notices_total", outcome=outcome)


@contextmanager
def way(folder: Path, targets: Sequence[int], **variables: str) -> Iterator[Way]:
    """All of it, scraping agents on these ports each second; `variables` are notify's configuration."""
    ports = {name: free_port() for name in ("prometheus", "alertmanager", "notify")}
    (folder / FILE_NAME).write_text(alerts_text(), encoding="utf-8")
    _write(folder / "prometheus.yml", _prometheus(targets, ports))
    _write(folder / "alertmanager.yml", _alertmanager(ports))
    url = f"http://127.0.0.1:{ports['prometheus']}"
    commands = {
        "notify": [
            sys.executable, "-m", "gpuwatch", "notify", "--listen", f"127.0.0.1:{ports['notify']}",
            "--prometheus", url, "--state-dir", str(folder / "notify"),
        ],
        "alertmanager": [
            program("prometheus-alertmanager"), f"--config.file={folder / 'alertmanager.yml'}",
            f"--storage.path={folder / 'alertmanager'}", "--cluster.listen-address=",
            f"--web.listen-address=127.0.0.1:{ports['alertmanager']}",
        ],
        "prometheus": [
            program("prometheus"), f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{ports['prometheus']}",
            "--rules.alert.resend-delay=1s",
        ],
    }  # fmt: skip
    ready = {"notify": "/healthz", "alertmanager": "/-/ready", "prometheus": "/-/ready"}
    with ExitStack() as stack:
        served = {
            name: stack.enter_context(
                Served(
                    folder, name, command, port=ports[name], ready=ready[name],
                    **(variables if name == "notify" else {}),
                )
            )
            for name, command in commands.items()
        }  # fmt: skip
        yield Way(**served)


def _prometheus(targets: Sequence[int], ports: Mapping[str, int]) -> object:
    return {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [FILE_NAME],
        "alerting": {
            "alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{ports['alertmanager']}"]}]}]
        },
        "scrape_configs": [
            {"job_name": "gpuwatch", "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in targets]}]}
        ],
    }  # fmt: skip


def _alertmanager(ports: Mapping[str, int]) -> object:
    """The fragment as it is, but for the waits and the port."""
    fragment = yaml.safe_load(routing_text())
    (ours,) = fragment["route"]["routes"]
    (owners,) = ours["routes"]
    owners |= {"group_wait": "1s", "group_interval": "1s"}
    (hook,) = fragment["receivers"][0]["webhook_configs"]
    hook["url"] = hook["url"].replace(":9470/", f":{ports['notify']}/")
    return {
        "route": {"receiver": "operator", "routes": [ours]},
        "receivers": [{"name": "operator"}, *fragment["receivers"]],
    }


def _write(path: Path, document: object) -> None:
    path.write_text(json.dumps(document), encoding="utf-8")  # JSON is YAML
