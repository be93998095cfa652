"""The dashboards as files: current, whole to the SDK, and with nothing in them that is not there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from click.testing import CliRunner
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from hypothesis import given
from hypothesis import strategies as st
from test_docs import METRICS

import grafana
from gpuwatch.attribute.text import clean
from gpuwatch.cli import command
from gpuwatch.dashboards import variables
from gpuwatch.dashboards.generate import generated
from gpuwatch.dashboards.packaged import packaged
from gpuwatch.judge.limits import Limits
from gpuwatch.model.judgement import VERDICTS
from gpuwatch.report.rules import groups

FOLDER = Path(__file__).parent.parent / "grafana" / "dashboards"
DASHBOARDS: dict[str, dict[str, Any]] = {name: json.loads(text) for name, text in packaged().items()}
BY_UID = {dashboard["uid"]: dashboard for dashboard in DASHBOARDS.values()}
OF_GRAFANA = {"__range", "__range_s", "__range_ms", "__interval", "__interval_ms", "__rate_interval"}
NO_FIELDS_OF_THE_SDK = ("titleFormat", "textFormat", "step")
EACH = pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=list(DASHBOARDS))
NAMES = st.text(st.characters(codec="utf-8")).map(clean).filter(bool)
"""Names as the agent publishes them."""


def test_what_is_checked_in_is_what_is_generated() -> None:
    """Where not: `make dashboards`."""
    assert packaged() == generated()
    assert {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()} == generated()


def test_there_are_five() -> None:
    assert set(BY_UID) == {f"gpuwatch-{name}" for name in ("team", "node", "person", "run", "agents")}


@EACH
def test_the_sdk_reads_each_and_writes_the_same(dashboard: dict[str, Any]) -> None:
    register_default_plugins()
    known = deepcopy(dashboard)
    for note in known["annotations"].get("list", ()):
        for field in NO_FIELDS_OF_THE_SDK:
            del note[field]
    assert json.loads(json.dumps(Dashboard.from_json(dashboard), cls=JSONEncoder)) == known


@EACH
def test_each_panel_has_a_number_a_title_a_place_and_queries_of_the_chosen_server(dashboard: dict[str, Any]) -> None:
    numbers = [panel["id"] for panel in (*grafana.rows(dashboard), *grafana.panels(dashboard))]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    titles = [panel["title"] for panel in grafana.panels(dashboard)]
    assert len(set(titles)) == len(titles)
    for panel in grafana.panels(dashboard):
        assert panel["title"]
        assert panel["targets"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        for target in panel["targets"]:
            assert target["datasource"] == panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


@EACH
def test_no_two_panels_lie_on_each_other(dashboard: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


@EACH
def test_queries_name_only_series_that_there_are(dashboard: dict[str, Any]) -> None:
    recorded = {rule.record for group in groups() for rule in group.rules}
    known = recorded | set(re.findall(r"`(gpuwatch_\w+)`", METRICS)) | {"scrape_duration_seconds"}
    for query in grafana.queries(dashboard):
        named = set(re.findall(r"[a-z_]*:?gpuwatch[_:]\w+(?::\w+)?", query.expression))
        assert named <= known, query
        assert named, query


@EACH
def test_whatever_is_chosen_is_chosen_at_the_top(dashboard: dict[str, Any]) -> None:
    there = set(grafana.variables(dashboard))
    texts = [query.expression for query in grafana.queries(dashboard)]
    texts += [variable["query"]["query"] for variable in dashboard["templating"]["list"] if variable["type"] == "query"]
    assert {name for text in texts for name in grafana.used(text)} <= there | OF_GRAFANA


@EACH
def test_variables_chain_in_their_order(dashboard: dict[str, Any]) -> None:
    before: set[str] = set()
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            assert grafana.used(variable["query"]["query"]) <= before
            assert variable["datasource"]["uid"] == "${datasource}"
        before.add(variable["name"])


@EACH
def test_links_lead_to_dashboards_and_set_variables_that_these_have(dashboard: dict[str, Any]) -> None:
    for url in re.findall(r'"url": "(/d/[^"]+)"', json.dumps(dashboard)):
        uid = urlsplit(url).path.removeprefix("/d/")
        given = {name.removeprefix("var-") for name in parse_qs(url.partition("?")[2]) if name.startswith("var-")}
        assert given <= set(grafana.variables(BY_UID[uid])), url
        assert "${datasource:queryparam}&${__url_time_range}" in url


def test_from_team_one_gets_to_persons_runs_and_nodes_and_from_each_to_the_others() -> None:
    ways = {
        uid: {to for to in BY_UID if to != uid and f"/d/{to}?" in json.dumps(dashboard)}
        for uid, dashboard in BY_UID.items()
    }
    three = {"gpuwatch-person", "gpuwatch-run", "gpuwatch-node"}
    assert ways["gpuwatch-team"] == three
    assert all(ways[uid] == three - {uid} for uid in three)


def test_the_lines_of_a_run_are_the_agents_limits() -> None:
    lines = {
        panel["title"]: panel["fieldConfig"]["defaults"]["thresholds"]["steps"][1]["value"]
        for panel in grafana.panels(DASHBOARDS["run.json"])
        if "thresholdsStyle" in panel["fieldConfig"]["defaults"].get("custom", {})
    }
    assert lines == {"Use of each GPU": Limits().idle_below, "Idle clock": Limits().idle_after}


def test_verdicts_have_the_agents_names() -> None:
    for panel in grafana.panels(DASHBOARDS["node.json"]):
        if panel["type"] == "state-timeline":
            [words] = panel["fieldConfig"]["defaults"]["mappings"]
            assert [word["text"] for word in words["options"].values()] == ["not judged", *VERDICTS]


@pytest.mark.parametrize(
    ("file", "key"), [("datasources", "datasources"), ("dashboards", "providers"), ("alerting", "contactPoints")]
)
def test_what_is_to_be_provisioned_is_one_of_each_and_holds_no_secret(file: str, key: str) -> None:
    text = (FOLDER.parent / "provisioning" / file / "gpuwatch.yml").read_text(encoding="utf-8")
    document = yaml.safe_load(text)
    assert document["apiVersion"] == 1
    assert [one["name"] for one in document[key]] == ["gpuwatch"]
    assert all(value.startswith("${GPUWATCH_") for value in re.findall(r"(?:token|url|recipient): (\S+)", text))


def test_snoozes_are_annotations_wherever_a_run_can_be_seen() -> None:
    for name in ("team", "node", "person", "run"):
        [note] = DASHBOARDS[f"{name}.json"]["annotations"]["list"]
        assert 'verdict="snoozed"' in note["expr"]
        assert (note["titleFormat"], note["textFormat"]) == ("{{user}} snoozed", "{{run}}")


@given(NAMES, st.lists(NAMES, min_size=1, max_size=3))
def test_no_name_ends_the_string_it_stands_in(name: str, others: list[str]) -> None:
    for chosen in (name, [name, *others]):
        matcher = grafana.interpolated(variables.matched("user"), {"user": chosen}, {})
        assert matcher.count("`") == 2
        assert matcher.endswith("`")


@given(NAMES, NAMES)
def test_a_name_matches_itself_and_no_other(name: str, other: str) -> None:
    """By Python's rules, which for what `regex` escapes are those of RE2."""
    matcher = grafana.interpolated(variables.matched("user"), {"user": name}, {})
    pattern = matcher.removeprefix("user=~`").removesuffix("`")
    assert re.fullmatch(pattern, name)
    assert (re.fullmatch(pattern, other) is not None) == (other == name)


def test_the_command_writes_what_is_checked_in(tmp_path: Path) -> None:
    done = CliRunner().invoke(command, ["dashboards", "--output", str(tmp_path / "new")])
    assert done.exit_code == 0, done.output
    assert {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "new").iterdir()} == packaged()
    assert done.output.splitlines() == [f"wrote {tmp_path / 'new' / name}" for name in packaged()]


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    done = CliRunner().invoke(command, ["dashboards", "--output", str(tmp_path / "file")])
    assert "must be a folder" in str(done.exception)


def test_the_command_needs_no_sdk(tmp_path: Path) -> None:
    told = (
        "import sys; sys.modules['grafana_foundation_sdk'] = None; from gpuwatch.cli import main; "
        f"sys.argv = ['gpuwatch', 'dashboards', '--output', {str(tmp_path)!r}]; main()"
    )
    subprocess.run([sys.executable, "-c", told], check=True, capture_output=True, timeout=30)
    assert len(list(tmp_path.iterdir())) == len(packaged())
