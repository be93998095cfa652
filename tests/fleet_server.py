"""The fleet's day in real servers: the readings alone, and with what the rules record of them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fleet
from rig import free_port
from servers import Prometheus, program, prometheus

from gpuwatch.report.rules import groups

_END = fleet.MIDNIGHT + fleet.DAY
_STEPS = {"1m": 60, "5m": 300}


@contextmanager
def readings(folder: Path) -> Iterator[Prometheus]:
    """A server with what was scraped. The other servers have their folders beside its own, which is called `raw`.

    They begin with copies of its blocks as they were: a running server joins them, and removes the parts.
    """
    folder.mkdir()
    fleet.write_blocks(folder / "blocks")
    shutil.copytree(folder / "blocks", folder / "data")
    with prometheus(folder, free_port()) as server:
        yield server


@contextmanager
def records(folder: Path, scraped: Prometheus) -> Iterator[Prometheus]:
    """A server that has evaluated the rules on what was `scraped`; its folder is called `recorded`."""
    folder.mkdir()
    with (folder / "recorded.om").open("w", encoding="utf-8") as file:
        for group in groups():
            known: dict[str, str] = {}
            for rule in group.rules:
                expression = rule.expression
                for name, meaning in known.items():
                    expression = expression.replace(name, f"({meaning})")
                known[rule.record] = expression
                file.write(f"# TYPE {rule.record} unknown\n")
                file.writelines(_evaluated(scraped, rule.record, expression, step=_STEPS[group.interval.every]))
        file.write("# EOF\n")
    with _serving(folder) as server:
        yield server


@contextmanager
def records_of_two(folder: Path) -> Iterator[Prometheus]:
    """A server to which two others send what each of them has recorded of the same."""
    folder.mkdir()
    one = (folder.parent / "recorded" / "recorded.om").read_text(encoding="utf-8")
    with (folder / "recorded.om").open("w", encoding="utf-8") as file:
        for line in one.splitlines(keepends=True):
            if line.startswith("#"):
                file.write(line)
                continue
            for replica in "ab":
                file.write(line.replace("{", f'{{replica="{replica}",', 1).replace(",}", "}", 1))
    with _serving(folder) as server:
        yield server


@contextmanager
def _serving(folder: Path) -> Iterator[Prometheus]:
    """A server with what was scraped and with what the folder's text has."""
    data = folder / "data"
    shutil.copytree(folder.parent / "raw" / "blocks", data)
    text = folder / "recorded.om"
    command = [program("promtool"), "tsdb", "create-blocks-from", "openmetrics", str(text), str(data)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    with prometheus(folder, free_port()) as server:
        yield server


def _evaluated(server: Prometheus, name: str, expression: str, *, step: int) -> Iterator[str]:
    """What the rule would have recorded, as the server itself reckons."""
    found: list[dict[str, Any]] = server.get(
        "query_range", query=expression, start=str(fleet.FIRST), end=str(_END), step=str(step)
    )["result"]
    for track in found:
        labels = ",".join(f"{key}={json.dumps(text, ensure_ascii=False)}" for key, text in track["metric"].items())
        for unix, value in track["values"]:
            yield f"{name}{{{labels}}} {value} {unix}\n"
