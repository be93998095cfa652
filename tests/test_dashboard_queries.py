"""Every query of every panel on the record of a fleet's day: there is data, of the right shape, and it is the truth."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import live_fleet
import pytest
from dashboards import DASHBOARDS, EVERY, asked, options, query_of, values
from fleet import DAY, EVE, HOSTILE, MIDNIGHT
from fleet_server import readings, records
from rig import free_port
from servers import Prometheus, prometheus

import grafana
from gpuwatch.model.judgement import VERDICTS
from grafana import ALL, Choice, Query, Span

MORNING: Final = Span(MIDNIGHT, live_fleet.NOW, 300)
WHOLE_DAY: Final = Span(MIDNIGHT, MIDNIGHT + DAY, 300)
HOSTILES: Final[Mapping[str, Choice]] = {
    "price": "2.5", "user": EVE, "project": [ALL], "run": HOSTILE, "other_user": "ann", "other_run": "wandb:bad",
    "node": "n3", "gpu": [ALL],
}  # fmt: skip
ANN: Final[Mapping[str, Choice]] = {
    **HOSTILES, "user": "ann", "project": ["vision"], "run": "wandb:bad", "node": "n1", "gpu": ["0", "1"],
}  # fmt: skip
NOTHING: Final = {"GPU time that is unknown": "all of that fleet is known"}
NOTHING_OF_HOSTILES: Final = {**NOTHING, **dict.fromkeys(("SMs at work", "SMs at work on each GPU"), "MIG")}
PAID: Final = 116.0
"""GPU-hours of the day: five whole GPUs for 24 h, but for the last 2 h of two of them."""
BUSY, IDLE, OUT = 16.75, 34.75, 1.0
"""GPU-hours by the script in `fleet.py`: somebody worked, held and did not work, and an operator had taken it out."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """The fleet's day, what the rules recorded of it, and an hour of gauges."""
    folder: Path = tmp_path_factory.mktemp("dashboards")
    with readings(folder / "raw") as raw, records(folder / "recorded", raw):
        pass
    live_fleet.write_live_blocks(folder / "recorded" / "data")
    with prometheus(folder / "recorded", free_port()) as running:
        yield running


def number(server: Prometheus, name: str, panel: str, ref: str = "A", **chosen: Choice) -> float:
    """What a panel of numbers shows of the whole day."""
    [series] = asked(server, name, query_of(name, panel, ref), WHOLE_DAY, {**HOSTILES, **chosen})
    return values(series)[0]


def table(server: Prometheus, name: str, panel: str, ref: str = "A", **chosen: Choice) -> dict[str, float]:
    """A column of a table of the whole day, by the first label."""
    found = asked(server, name, query_of(name, panel, ref), WHOLE_DAY, {**HOSTILES, **chosen})
    return {next(iter(series["metric"].values())): values(series)[0] for series in found}


@pytest.mark.parametrize(("name", "query"), EVERY, ids=str)
def test_there_is_data_of_the_right_shape(server: Prometheus, name: str, query: Query) -> None:
    for chosen, nothing in ((HOSTILES, NOTHING_OF_HOSTILES), (ANN, NOTHING)):
        found = asked(server, name, query, MORNING, chosen)
        assert found or query.panel in nothing or (query.panel == "Snoozes" and chosen is ANN)
        for series in found:
            assert all(math.isfinite(value) for value in values(series)), series


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_number_is_one_and_a_line_has_what_it_is_called_by(server: Prometheus, name: str) -> None:
    for panel in grafana.panels(DASHBOARDS[name]):
        if panel["type"] == "table":
            continue
        for target in panel["targets"]:
            found = asked(server, name, query_of(name, panel["title"], target["refId"]), MORNING, HOSTILES)
            assert panel["type"] != "stat" or len(found) <= 1, panel["title"]
            called_by = set(re.findall(r"{{(\w+)}}", target.get("legendFormat", "")))
            assert all(called_by <= set(series["metric"]) for series in found), panel["title"]
            assert called_by or len(found) <= 1, panel["title"]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_row_of_a_table_is_told_by_its_columns(server: Prometheus, name: str) -> None:
    for panel in grafana.panels(DASHBOARDS[name]):
        if panel["type"] != "table":
            continue
        tidy = panel["transformations"][1]["options"]
        labels = set(tidy["indexByName"]) - set(tidy["renameByName"])
        assert labels, panel["title"]
        for target in panel["targets"]:
            found = asked(server, name, query_of(name, panel["title"], target["refId"]), MORNING, HOSTILES)
            rows = [tuple(sorted(series["metric"].items())) for series in found]
            assert len(set(rows)) == len(rows), panel["title"]
            assert all(set(series["metric"]) <= labels for series in found), panel["title"]


def test_the_headline_is_the_truth(server: Prometheus) -> None:
    """Up to what fell between two scrapes: n2's last ones before it fell silent, and n3's before it lost its state."""
    shares = [number(server, "team", "All GPU time", ref) for ref in "ABCDE"]
    assert sum(shares) == pytest.approx(1)
    free = PAID - BUSY - IDLE - OUT
    assert shares == pytest.approx([hours / PAID for hours in (BUSY, IDLE, free, OUT, 0)], abs=0.0005)
    assert number(server, "team", "GPU-hours paid") == pytest.approx(PAID, abs=0.1)
    assert number(server, "team", "GPU-hours idle") == pytest.approx(IDLE, abs=0.1)
    assert number(server, "team", "Idle cost", price="2.5") == pytest.approx(2.5 * IDLE, abs=0.25)
    assert number(server, "team", "Headroom") == pytest.approx((PAID - OUT) / BUSY, abs=0.02)


def test_the_graph_of_the_headline_adds_up_to_the_same(server: Prometheus) -> None:
    panel = "GPUs, by what became of their time"
    hours = []
    for ref in "ABCDE":
        [series] = asked(server, "team", query_of("team", panel, ref), WHOLE_DAY, HOSTILES)
        hours.append(sum(values(series)[1:]) * WHOLE_DAY.step / 3600)
    assert hours == pytest.approx([BUSY, IDLE, PAID - BUSY - IDLE - OUT, OUT, 0], abs=0.2)


def test_people_are_ranked_without_services(server: Prometheus) -> None:
    held = {"ann": 23.0, "ben": 4.55, EVE: 2 * 3 / 7 + 2 * 4 / 7}
    assert table(server, "team", "People, by hours") == pytest.approx(held, abs=0.15)
    idle = table(server, "team", "People, by waste", "C")
    assert idle == pytest.approx({"ann": 23 - 0.7 - 8.1, "ben": 1.95, EVE: 1.0}, abs=0.15)
    assert table(server, "team", "Services") == pytest.approx({"serving": 22.0}, abs=0.1)


def test_a_person_and_a_run_have_what_was_theirs(server: Prometheus) -> None:
    assert number(server, "person", "GPU-hours held", user="ann") == pytest.approx(23, abs=0.1)
    speech = {**HOSTILES, "user": "ann", "project": ["speech"]}
    assert asked(server, "person", query_of("person", "GPU-hours held"), WHOLE_DAY, speech) == []
    assert number(server, "person", "GPU-hours held") == pytest.approx(2.0, abs=0.1)
    assert number(server, "run", "GPU-hours held") == pytest.approx(2 * 3 / 7, abs=0.05)
    assert number(server, "run", "Use") == pytest.approx(0.5, abs=0.01)
    both = table(server, "run", "Both", "D")
    assert both == pytest.approx({HOSTILE: 0.5, "wandb:bad": 0.05}, abs=0.01)


@pytest.mark.parametrize("price", ["", "0"])
def test_without_a_price_there_is_no_money(server: Prometheus, price: str) -> None:
    for name, query in EVERY:
        if "${price}" in query.expression:
            assert asked(server, name, query, MORNING, {**HOSTILES, "price": price}) == []


def test_what_can_be_chosen_goes_from_people_to_their_runs_and_from_nodes_to_their_gpus(server: Prometheus) -> None:
    def of(name: str, variable: str, **chosen: Choice) -> list[str]:
        return options(server, name, variable, MORNING, {**HOSTILES, **chosen})

    assert of("person", "user") == sorted(["ann", "ben", EVE, "svc"])
    assert of("person", "project", user=EVE) == ["a{b}|c"]
    assert of("run", "run", user=EVE) == [HOSTILE]
    assert set(of("run", "other_run", other_user="ann")) == {"wandb:bad", "wandb:good"}
    assert "short" not in of("run", "run", user="ben")
    assert of("node", "node") == ["n1", "n2", "n3"]
    assert of("node", "gpu", node="n3") == ["0:1", "0:2"]


def test_verdicts_are_those_of_the_agents(server: Prometheus) -> None:
    found = {}
    for node in ("n1", "n2", "n3"):
        for series in asked(server, "node", query_of("node", "Now"), MORNING, {**HOSTILES, "node": node}):
            found[series["metric"]["run"]] = VERDICTS[round(values(series)[0]) - 1]
    assert found == {holder.owner["run"]: holder.verdict for holder in live_fleet.HOLDERS}
    [wasted] = asked(server, "team", query_of("team", "Held and not used, now", "B"), MORNING, HOSTILES)
    assert wasted["metric"]["run"] == "wandb:bad"


def test_a_snooze_is_an_annotation_of_its_run_alone(server: Prometheus) -> None:
    note = query_of("run", "Snoozes", "")
    [found] = asked(server, "run", note, MORNING, HOSTILES)
    assert found["metric"] == {"user": EVE, "run": HOSTILE}
    assert asked(server, "run", note, MORNING, ANN) == []


def test_a_run_that_has_ended_is_not_there_while_its_counters_linger(server: Prometheus) -> None:
    at = MORNING._replace(end=live_fleet.AFTER)
    run = 'gpuwatch_run_gpu_held_seconds_total{node="n3"}'
    assert server.get("query", query=run, time=str(at.end))["result"]
    for name, query in EVERY:
        if query.panel in ("Now", "Memory of its processes") and query.instant:
            now = asked(server, name, query, at, HOSTILES)
            assert not any(values(series)[0] for series in now), query


def test_silent_agents_and_lost_gpus_are_named(server: Prometheus) -> None:
    def names(panel: str, label: str) -> list[Any]:
        found = asked(server, "agents", query_of("agents", panel), MORNING, HOSTILES)
        return [series["metric"][label] for series in found]

    assert names("Silent agents", "node") == ["n5"]
    assert names("GPUs that do not answer", "uuid") == ["GPU-n2-0"]
    assert names("Sensors that fail", "sensor") == ["runs"]
