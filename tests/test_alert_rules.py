"""The alerting rules: they are as checked in, and what becomes of each story is what should. Where they are routed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from configured import run
from servers import program

from gpuwatch.alert import routing, rules
from gpuwatch.alert.rules import Alert, alerts_text, groups
from gpuwatch.notify.pages import HOOK

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "prometheus"
STORIES = FOLDER / "gpuwatch.alerts.test.yml"
DOCUMENT = (ROOT / "docs" / "fleet.md").read_text(encoding="utf-8")
ALERTS = [rule for group in groups() for rule in group.rules if isinstance(rule, Alert)]
FEWEST_STORIES = 30


def tell(folder: Path, text: str = "") -> subprocess.CompletedProcess[str]:
    """What promtool says of the stories, by the rules or by others in their place."""
    shutil.copy(STORIES, folder)
    (folder / rules.FILE_NAME).write_text(text or alerts_text(), encoding="utf-8")
    command = [program("promtool"), "test", "rules", STORIES.name]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(("of", "name"), [("alerts", rules.FILE_NAME), ("routes", routing.FILE_NAME)])
def test_they_are_printed_as_they_are_checked_in(of: str, name: str) -> None:
    assert run("rules", "--of", of) == (0, (FOLDER / name).read_text(encoding="utf-8"), "")


def test_promtool_takes_them() -> None:
    done = subprocess.run(
        [program("promtool"), "check", "rules", FOLDER / rules.FILE_NAME], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_each_alert_is_marked_weighed_and_explained() -> None:
    written = [rule for group in yaml.safe_load(alerts_text())["groups"] for rule in group["rules"] if "alert" in rule]
    for rule, alert in zip(written, ALERTS, strict=True):
        assert rule["labels"] == {"gpuwatch": "true", "severity": alert.severity}
        assert rule["annotations"] == {"summary": alert.summary, "description": alert.description}
        assert rule["expr"].rstrip("\n") == alert.expression


def test_each_alert_is_documented() -> None:
    assert set(re.findall(r"`(Gpuwatch\w+)`", DOCUMENT)) == {alert.name for alert in ALERTS}


def test_what_has_to_last_lasts_over_a_restart_of_prometheus() -> None:
    """Which restores only what is to last for ten minutes or more."""
    assert {alert.lasts for alert in ALERTS} == {"", "10m"}


def test_each_story_has_a_reason_of_its_own(tmp_path: Path) -> None:
    stories = [story["name"] for story in yaml.safe_load(STORIES.read_text(encoding="utf-8"))["tests"]]
    assert len(set(stories)) == len(stories) >= FEWEST_STORIES
    done = tell(tmp_path)
    assert "SUCCESS" in done.stdout, done.stdout + done.stderr


@pytest.mark.prove
@pytest.mark.parametrize(
    "part",
    [
        "\n        and on (job, instance) (up == 0)",
        "\n        unless on (node) gpuwatch_build_info",
        "\n      unless on (user, run) node_user_run:gpuwatch_run_snoozed:held",
        '\n      unless on (user, run) node_user_run_verdict:gpuwatch_run_notice_due:held{verdict="stuck"}',
        "\n    for: 10m",
        "\n        unless on (job, instance) last_over_time(gpuwatch_build_info[7d])",
        " > 360",
        "\n      > 0.1",
    ],
)
def test_no_part_of_a_rule_is_there_for_nothing(tmp_path: Path, part: str) -> None:
    assert part in alerts_text()
    assert "SUCCESS" not in tell(tmp_path, alerts_text().replace(part, "")).stdout


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """The fragment in a configuration of somebody's."""
    fragment = yaml.safe_load(routing.routing_text())
    route = {"receiver": "operator", "group_wait": "30s", "routes": fragment["route"]["routes"]}
    path = tmp_path / "alertmanager.yml"
    receivers = [{"name": "operator"}, *fragment["receivers"]]
    path.write_text(yaml.safe_dump({"route": route, "receivers": receivers}), encoding="utf-8")
    return path


def amtool(*arguments: str | Path) -> str:
    done = subprocess.run([program("amtool"), *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_alertmanager_takes_the_fragment_beside_other_routes(whole: Path) -> None:
    assert "SUCCESS" in amtool("check-config", whole)


@pytest.mark.parametrize("name", [*(alert.name for alert in ALERTS), "GpuwatchRunIdle of somebody else"])
def test_what_is_for_owners_goes_to_notify_and_all_else_to_the_operator(whole: Path, name: str) -> None:
    receiver = "gpuwatch-owners" if name in rules.OF_RUNS else "operator"
    mark = ["gpuwatch=true"] if name in {alert.name for alert in ALERTS} else []
    labels = [f"alertname={name.partition(' ')[0]}", "user=ann", *mark]
    assert amtool("config", "routes", "test", f"--config.file={whole}", *labels).strip() == receiver


def test_the_fragment_posts_where_notify_listens() -> None:
    (receiver,) = yaml.safe_load(routing.routing_text())["receivers"]
    assert [hook["url"] for hook in receiver["webhook_configs"]] == [f"http://127.0.0.1:9470{HOOK}"]


def test_prometheus_loads_the_alerts_beside_the_records() -> None:
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
    assert rules.FILE_NAME in config["rule_files"]
