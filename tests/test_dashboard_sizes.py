"""Every query where there is nothing, one node (a real agent with a real run), and a thousand nodes."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest
from dashboards import EVERY, Series, asked, options, query_of, values
from fleet import MIDNIGHT
from node import Node, node
from node import program as running_program
from rig import free_port, wait_until
from servers import Prometheus, program, prometheus

from gpuwatch.model.judgement import OK, VERDICTS
from gpuwatch.report import recorded
from grafana import ALL, Choice, Span

HOSTILE_PROJECT: Final = 'vi"s\\ion{d}|.*$x \'"'
CHILD: Final = "import os, sys; print(os.getpid(), flush=True); sys.stdin.read()"
ROWS: Final = 64
"""No panel of a fleet has more, however large the fleet."""
NODES: Final = 1000
PEOPLE: Final = 300
_GPUS: Final = 4
_HOLD: Final = 600.0
LIVE: Final = {
    "team": ("GPUs",),
    "node": (
        "GPUs", "GPUs that answer", "GPUs that somebody holds", "Power now", "Now", "Verdicts", "GPUs held, by person",
        "GPUs, by what becomes of their time", "Use", "Memory", "Power", "Temperature", "SM clock",
        "Memory of the machine",
    ),
    "person": ("Now",),
    "run": ("Verdicts", "Use of each GPU", "Idle clock", "Power", "GPU memory", "Now"),
    "agents": ("Agents that answer", "Versions", "Age of readings", "Time that readings take",
               "Time that scrapes take"),
}  # fmt: skip


def chosen(**more: Choice) -> dict[str, Choice]:
    nobody = dict.fromkeys(("user", "run", "other_user", "other_run", "node"), "")
    return {**nobody, "price": "0", "project": [ALL], "gpu": [ALL], **more}


def lately() -> Span:
    now = int(time.time())
    return Span(now - 3600, now, 15)


def test_where_there_is_nothing_nothing_is_shown(tmp_path: Path) -> None:
    with prometheus(tmp_path, None) as server:
        for name, query in EVERY:
            assert asked(server, name, query, lately(), chosen()) == [], query


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with node(tmp_path_factory.mktemp("node"), 1) as running:
        yield running


def test_one_node_with_one_run_is_shown_for_as_long_as_it_runs(seen: Node, tmp_path: Path) -> None:
    at = {"GPUWATCH_SOCKET": str(seen.agent.socket)}
    named = (sys.executable, "-m", "gpuwatch", "run", "--name", "lr 3", "--project", HOSTILE_PROJECT, "--")
    with prometheus(tmp_path, seen.agent.port) as server:
        with running_program(*named, sys.executable, "-c", CHILD, folder=tmp_path, **at) as trainer:
            (pid,) = trainer.told()
            seen.put(0, int(pid))
            seen.wait_for(0, seconds=10, name="lr 3")
            [holder] = seen.holders(0)
            one = chosen(user=holder["user"], run=holder["run"], node="n7", project=[HOSTILE_PROJECT], gpu=["0"])
            wait_until(lambda: _is_on(server, one), seconds=20, what="two scrapes of the run")
            _all_is_well(server, one)
            assert options(server, "person", "project", lately(), one) == [HOSTILE_PROJECT]
            [shown] = asked(server, "person", query_of("person", "Now"), lately(), one)
            assert shown["metric"]["project"] == HOSTILE_PROJECT
            assert VERDICTS[round(values(shown)[0]) - 1] == OK
            seen.put(0, 0)
        wait_until(lambda: not _is_now(server, one), seconds=20, what="the end of the run")
        assert server.query("gpuwatch_run_gpu_held_seconds_total"), "its counters linger"


def _is_on(server: Prometheus, one: Mapping[str, Choice]) -> bool:
    use = asked(server, "run", query_of("run", "Use of each GPU"), lately(), one)
    return bool(use and _is_now(server, one))


def _is_now(server: Prometheus, one: Mapping[str, Choice]) -> list[Series]:
    return [
        series
        for ref in "ABC"
        for name in ("node", "person", "run")
        for series in asked(server, name, query_of(name, "Now", ref), lately(), one)
    ]


def _all_is_well(server: Prometheus, one: Mapping[str, Choice]) -> None:
    """No query fails or divides by zero, and what needs no recorded series has data."""
    for name, query in EVERY:
        found = asked(server, name, query, lately(), one)
        assert found or query.panel not in LIVE[name], query
        assert all(math.isfinite(value) for series in found for value in values(series)), query


def test_a_thousand_nodes_are_no_more_rows(tmp_path: Path) -> None:
    text = tmp_path / "many.om"
    text.write_text("".join(_many()), encoding="utf-8")
    command = [program("promtool"), "tsdb", "create-blocks-from", "openmetrics", str(text), str(tmp_path / "data")]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    at = Span(MIDNIGHT - 3600, MIDNIGHT, 600)
    with prometheus(tmp_path, free_port()) as server:
        [there] = asked(server, "agents", query_of("agents", "Agents that answer"), at, chosen())
        assert values(there) == [NODES]
        for name, query in EVERY:
            if name in ("team", "agents"):
                found = asked(server, name, query, at, chosen(price="2"))
                assert len(found) <= ROWS * (1 if query.instant else 3), query
                assert all(math.isfinite(value) for series in found for value in values(series)), query


def _many() -> Iterator[str]:
    """One moment of many nodes, on whose GPUs 300 people idle."""
    for name, rows in sorted(_families().items()):
        yield f"# TYPE {name} unknown\n"
        for labels, value in rows:
            written = ",".join(f'{key}="{text}"' for key, text in labels.items())
            yield f"{name}{{{written}}} {value} {MIDNIGHT - 60}\n"
    yield "# EOF\n"


def _families() -> dict[str, list[tuple[dict[str, str], float]]]:
    found: dict[str, list[tuple[dict[str, str], float]]] = {}

    def put(name: str, value: float, **labels: str) -> None:
        found.setdefault(name, []).append((labels, value))

    for number in range(NODES):
        _node(put, f"n{number}", number)
    for number in range(PEOPLE):
        who = {"user": f"u{number}", "project": "p", "kind": "service" if number % 7 == 0 else ""}
        for series in (recorded.KIND_HELD, recorded.KIND_BUSY, recorded.KIND_JOULES):
            put(series, number, **who)
        put(recorded.WORST_RUN, number, user=who["user"], project="p", run=f"r{number}")
    for state in ("active", "idle", "free", "unavailable", "unknown"):
        put(recorded.STATES, 60.0 * NODES, state=state)
    put(recorded.UNATTRIBUTED_BUSY, 1)
    return found


def _node(put: Callable[..., None], name: str, number: int) -> None:
    on = {"node": name, "job": "gpuwatch", "instance": name}
    put("gpuwatch_build_info", 1, **on, version=f"1.{number % 3}", driver="570")
    put("scrape_duration_seconds", 0.01, job="gpuwatch", instance=name)
    for sensor in ("gpu", "runs"):
        put("gpuwatch_sensor_up", number % 2, **on, sensor=sensor)
        put("gpuwatch_sensor_duration_seconds", 0.01, **on, sensor=sensor)
        put("gpuwatch_last_sample_timestamp_seconds", MIDNIGHT - 60, **on, sensor=sensor)
    for state in ("active", "idle", "free", "unavailable", "unknown"):
        put(recorded.NODE_STATES, _HOLD, node=name, model="H100", state=state)
    for gpu in range(_GPUS):
        device = {**on, "gpu": str(gpu), "uuid": f"GPU-{number}-{gpu}"}
        owner = {"user": f"u{number % PEOPLE}", "project": "p", "run": f"r{number}"}
        put("gpuwatch_gpu_up", gpu % 2, **device)
        put("gpuwatch_run_verdict", 1, **device, **owner, verdict="idle")
        put("gpuwatch_run_gpu_idle_seconds", 1000 + number, **device, **owner)
