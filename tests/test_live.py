"""`gpuwatch status --prometheus`: a fleet of real agents as a real server has it. What is not known is not shown."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner, Result
from rig import Agent, idle_processes, wait_until
from servers import Prometheus, prometheus
from standin.driver import StandIn
from standin.trace import steady_trace

from gpuwatch.agent.maintenance import change, with_entries
from gpuwatch.cli import command
from gpuwatch.errors import UsageError
from gpuwatch.model import Drain, Owner
from gpuwatch.model.live import FREE, HELD, UNAVAILABLE, UNKNOWN
from gpuwatch.report.prometheus.client import Sample
from gpuwatch.report.prometheus.live import LIVE_SECONDS, read_nodes
from gpuwatch.terminal.fleet import fleet_document

SCHEMA = json.loads((Path(__file__).parent.parent / "docs" / "fleet.schema.json").read_text(encoding="utf-8"))
NOW = 1_790_000_000.0
ANN = {"user": "ann", "project": "vision", "run": "wandb:x1"}


@dataclass(frozen=True)
class Fleet:
    """n7 with a GPU that is held and one that is free; n8 with one that is lost and one that is drained."""

    server: Prometheus
    agents: Mapping[str, Agent]

    def run(self, *arguments: str) -> Result:
        """`gpuwatch status` over it."""
        return CliRunner().invoke(
            command, ["status", "--prometheus", f"http://127.0.0.1:{self.server.port}", *arguments]
        )


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with ExitStack() as stack:
        (pid,) = stack.enter_context(idle_processes(1))
        agents = {}
        for name in ("n7", "n8"):
            folder = tmp_path_factory.mktemp(name)
            driver = stack.enter_context(StandIn(folder, steady_trace(2, 1, 3600.0, 0.8)))
            driver.start()
            agents[name] = stack.enter_context(Agent(folder, driver.environment(), arguments=("--node", name)))
            if name == "n7":
                driver.set_pid(0, pid)
            else:
                driver.lose(0)
                uuid = agents[name].status()["gpus"][1]["uuid"]
                change(agents[name].state, partial(with_entries, new={uuid: Drain(1.0, "new fan", "root")}))
        targets = [f"127.0.0.1:{agent.port}" for agent in agents.values()]
        folder = tmp_path_factory.mktemp("server")
        server = stack.enter_context(prometheus(folder, 0, static_configs=[{"targets": targets}]))
        yield Fleet(server, agents)


def words(result: Result) -> list[list[str]]:
    """The rows: node and GPU, and the last two words."""
    return [[*line.split()[:2], *line.split()[-2:]] for line in result.output.splitlines()[2:]]


def test_a_fleet_is_shown_as_its_agents_see_it(fleet: Fleet) -> None:
    expected = [["n7", "1", "-", "free"], ["n8", "0", "not", "answer"], ["n8", "1", "-", "unavailable"]]
    wait_until(lambda: words(fleet.run())[1:] == expected, seconds=30, what=f"{expected}, not {fleet.run().output}")
    title, _, held, *_ = fleet.run().output.splitlines()
    assert title.endswith("2 nodes, 4 GPUs: 1 held, 1 free, 1 unavailable, 1 unknown")
    assert held.split()[0] == "n7"
    assert "adhoc:sleep" in held


def test_a_fleet_is_limited_as_a_node_is(fleet: Fleet) -> None:
    wait_until(lambda: "1 free" in fleet.run().output, seconds=30, what="a scrape or two")
    assert words(fleet.run("--free")) == [["n7", "1", "-", "free"]]
    assert {row[0] for row in words(fleet.run("--node", "n8"))} == {"n8"}
    assert fleet.run("--user", "nobody-at-all").exit_code == 1


def test_a_fleet_is_a_document(fleet: Fleet) -> None:
    wait_until(lambda: "1 free" in fleet.run().output, seconds=30, what="a scrape or two")
    document = json.loads(fleet.run("--json").output)
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(document, SCHEMA)
    assert [[gpu["state"] for gpu in node["gpus"]] for node in document["nodes"]] == [
        [HELD, FREE], [UNKNOWN, UNAVAILABLE],
    ]  # fmt: skip


def test_top_shows_a_fleet_once_where_there_is_no_terminal(fleet: Fleet) -> None:
    url = f"http://127.0.0.1:{fleet.server.port}"
    result = CliRunner().invoke(command, ["top", "--prometheus", url, "--sort", "verdict"])
    assert "2 nodes, 4 GPUs" in result.output


def test_a_node_that_is_not_scraped_is_told_to_be_missing(fleet: Fleet) -> None:
    """The last one: it ends an agent."""
    wait_until(lambda: "1 unavailable" in fleet.run().output, seconds=30, what="a scrape or two")
    fleet.agents["n8"].kill()
    wait_until(lambda: "n8: no reading" in fleet.run().output, seconds=30, what="a scrape that failed")
    assert "unavailable" not in fleet.run().output


def test_a_wrong_url_is_told_what_is_right() -> None:
    result = CliRunner().invoke(command, ["status", "--prometheus", "p:9090"])
    assert isinstance(result.exception, UsageError)
    assert "--prometheus must be a URL" in str(result.exception)


# What a server has, by hand


class Server:
    """Answers by what stands in a question."""

    url = "http://p"

    def __init__(self, **answers: Sequence[tuple[Mapping[str, str], float]]) -> None:
        self._answers = {
            "timestamp(gpuwatch_build_info))": [({"node": "n7", "driver": "570"}, NOW - 5)],
            "gpuwatch_last_sample_timestamp_seconds": [({"node": "n7"}, NOW - 5)],
            "gpuwatch_gpu_info": [({**GPU, "gpu": "0", "model": "H100"}, 1.0)],
            "gpuwatch_gpu_(": [({**GPU, "__name__": "gpuwatch_gpu_up"}, 1.0)],
            "irate(": [({**GPU, "state": "free"}, 1.0), ({**GPU, "state": "idle"}, 0.0)],
            **answers,
        }

    def query(self, expression: str, *, at: float, purpose: str) -> list[Sample]:
        found = [rows for part, rows in self._answers.items() if part in expression]
        return [Sample(labels, value) for labels, value in (found[0] if found else [])]


GPU = {"node": "n7", "uuid": "GPU-0"}
VERDICT = "timestamp(gpuwatch_run_verdict)"


def device(**answers: Sequence[tuple[Mapping[str, str], float]]) -> tuple[str, list[tuple[Owner, str]]]:
    ((found,),) = [node.devices for node in read_nodes(Server(**answers), now_unix=NOW)]  # type: ignore[arg-type]
    return found.state, [(holder.owner, holder.verdict) for holder in found.holders]


def test_a_device_is_free_only_where_its_time_goes_there() -> None:
    assert device() == (FREE, [])
    assert device(**{"irate(": []}) == (UNKNOWN, [])
    assert device(**{"irate(": [({**GPU, "state": "free"}, 0.0)]}) == (UNKNOWN, [])
    assert device(**{"irate(": [({**GPU, "state": "active"}, 0.9), ({**GPU, "state": "idle"}, 0.1)]}) == (HELD, [])
    assert device(**{"irate(": [({**GPU, "state": "unknown"}, 1.0)]}) == (UNKNOWN, [])
    assert device(**{"gpuwatch_gpu_(": [({**GPU, "__name__": "gpuwatch_gpu_up"}, 0.0)]}) == (UNKNOWN, [])


def test_a_device_that_is_repaired_is_out_of_service_though_it_does_not_answer() -> None:
    down = {"gpuwatch_gpu_(": [({**GPU, "__name__": "gpuwatch_gpu_up"}, 0.0)]}
    assert device(**down, **{"irate(": [({**GPU, "state": "unavailable"}, 1.0)]}) == (UNAVAILABLE, [])
    assert device(**down, **{"irate(": [({**GPU, "state": "unknown"}, 1.0)]}) == (UNKNOWN, [])


def test_totals_that_linger_hold_nothing() -> None:
    held = ({**GPU, **ANN, "__name__": "gpuwatch_run_gpu_held_seconds_total"}, 100.0)
    assert device(**{"gpuwatch_run_gpu_(": [held]}) == (FREE, [])
    memory = ({**GPU, **ANN, "__name__": "gpuwatch_run_gpu_memory_bytes"}, 1.0)
    assert device(**{"gpuwatch_run_gpu_(": [held, memory]}) == (HELD, [(Owner(**ANN), "")])


def test_what_is_infinite_is_not_known() -> None:
    idle = ({**GPU, **ANN, "__name__": "gpuwatch_run_gpu_idle_seconds"}, math.inf)
    memory = ({**GPU, **ANN, "__name__": "gpuwatch_run_gpu_memory_bytes"}, 1.0)
    server = Server(**{"gpuwatch_run_gpu_(": [idle, memory]})
    ((found,),) = [node.devices for node in read_nodes(server, now_unix=NOW)]  # type: ignore[arg-type]
    assert [holder.idle_seconds for holder in found.holders] == [None]


def test_of_two_servers_that_scrape_a_node_the_newer_verdict_stands() -> None:
    idle = ({**GPU, **ANN, "__name__": "gpuwatch_run_gpu_idle_seconds"}, 100.0)
    two = [({**GPU, **ANN, "verdict": "ok"}, NOW - 1), ({**GPU, **ANN, "verdict": "idle"}, NOW - 61)]
    assert device(**{"gpuwatch_run_gpu_(": [idle], VERDICT: two}) == (HELD, [(Owner(**ANN), "ok")])


@pytest.mark.parametrize("age", [LIVE_SECONDS + 1, 3600.0])
def test_an_old_reading_is_none_of_now(age: float) -> None:
    server = Server(gpuwatch_last_sample_timestamp_seconds=[({"node": "n7"}, NOW - age)])
    (node,) = read_nodes(server, now_unix=NOW)  # type: ignore[arg-type]
    assert node.problem == f"no reading for {age / 60:.0f} min"
    assert {device.state for device in node.devices} == {UNKNOWN}


def test_an_empty_server_has_no_nodes() -> None:
    empty = dict.fromkeys(Server()._answers, ())
    assert read_nodes(Server(**empty), now_unix=NOW) == ()  # type: ignore[arg-type]
    assert fleet_document((), asked_unix=NOW) == {"asked_unix": NOW, "nodes": []}
