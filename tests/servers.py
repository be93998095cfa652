"""Real servers for tests, on free ports of the loopback, with their data in a folder of the test."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
from rig import Exposition, free_port, wait_until

_PATIENCE: Final = 20.0


def program(name: str) -> str:
    """Where the program is. Skips the test where it is not installed; in CI (by the variable CI) fails it."""
    path = shutil.which(name)
    if path is None and os.environ.get("CI"):
        pytest.fail(f"{name} is not installed")
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


class Prometheus:
    """A running Prometheus server, by its HTTP API."""

    def __init__(self, port: int) -> None:
        self.port = port

    def get(self, path: str, **arguments: str) -> Any:
        """The data of an API call."""
        with urlopen(f"http://127.0.0.1:{self.port}/api/v1/{path}?{urlencode(arguments)}", timeout=10) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> Exposition:
        """An instant vector by names and labels, but for those that Prometheus adds."""
        return {_key(item["metric"]): float(item["value"][1]) for item in self.get("query", query=expression)["result"]}

    def is_ready(self) -> bool:
        """Whether it answers."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=10):
                return True
        except OSError:
            return False

    def targets(self) -> list[dict[str, Any]]:
        """What it scrapes, and how that goes."""
        active: list[dict[str, Any]] = self.get("targets", state="active")["activeTargets"]
        return active


def _key(metric: Mapping[str, str]) -> tuple[str, frozenset[tuple[str, str]]]:
    labels = {name: value for name, value in metric.items() if name not in ("__name__", "job", "instance")}
    return metric.get("__name__", ""), frozenset(labels.items())


@contextmanager
def prometheus(folder: Path, port: int | None, **more: Any) -> Iterator[Prometheus]:
    """A Prometheus that scrapes a port of the loopback each second, as the job `gpuwatch`; `more` is set in that.

    Without a port it scrapes nothing, and has what blocks there are in the folder's `data`.
    """
    binary = program("prometheus")
    config, server = folder / "prometheus.yml", Prometheus(free_port())
    job = {
        "job_name": "gpuwatch",
        "scrape_interval": "1s",
        "scrape_timeout": "1s",
        "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
        **more,
    }
    jobs = [] if port is None else [job]
    config.write_text(json.dumps({"scrape_configs": jobs}), encoding="utf-8")  # JSON is YAML
    command = [
        binary, f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{server.port}",
    ]  # fmt: skip
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_until(server.is_ready, seconds=_PATIENCE, what=f"a ready Prometheus; its log: {log.name}")
        yield server
    finally:
        process.terminate()
        process.wait(timeout=_PATIENCE)
