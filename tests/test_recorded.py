"""The rules for Prometheus: they are as checked in, a real promtool takes them, and they come to what they should."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from configured import run, told
from servers import program

from gpuwatch.report import recorded
from gpuwatch.report.rules import groups, rules_text

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "prometheus"
RULES = FOLDER / "gpuwatch.rules.yml"
CONFIG = FOLDER / "prometheus.yml"
DOCUMENT = (ROOT / "docs" / "prometheus.md").read_text(encoding="utf-8")

NAMES = {text for name, text in vars(recorded).items() if name.isupper()}
TESTS = sorted(path.name for path in FOLDER.glob("gpuwatch.rules*.test.yml"))


def promtool(*arguments: str) -> str:
    """What promtool says of files beside the rules; it is content with them."""
    command = [program("promtool"), *arguments]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def instance_of(address: str) -> str:
    """What the scrape configuration makes of the address of a target."""
    (rule,) = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["scrape_configs"][0]["relabel_configs"]
    matched = re.fullmatch(rule["regex"], address)
    return matched[1] if matched else address


def test_the_rules_are_printed_as_they_are_checked_in() -> None:
    assert run("rules") == (0, RULES.read_text(encoding="utf-8"), "")


def test_the_rules_are_written_into_a_folder_that_is_made(tmp_path: Path) -> None:
    path = tmp_path / "etc" / RULES.name
    status, said, errors = run("rules", "--output", path.parent)
    assert (status, said.splitlines()[0], errors) == (0, f"wrote {path}", "")
    assert path.read_text(encoding="utf-8") == rules_text()
    assert [f"wrote {there}" for there in sorted(path.parent.iterdir())] == sorted(said.splitlines())


def test_rules_that_cannot_be_written_leave_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / RULES.name
    path.mkdir()
    message = f"cannot write {path}: Is a directory; --output is a folder that you may write in"
    assert told("rules", "--output", tmp_path) == [message]
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_says_what_the_rules_are() -> None:
    written = yaml.safe_load(rules_text())["groups"]
    assert [(group["name"], group["interval"]) for group in written] == [
        (group.name, group.interval.every) for group in groups()
    ]
    for group, there in zip(groups(), written, strict=True):
        assert [(rule["record"], rule["expr"].rstrip("\n")) for rule in there["rules"]] == list(group.rules)


def test_each_recorded_series_is_made_by_one_rule() -> None:
    made = [rule.record for group in groups() for rule in group.rules]
    assert sorted(made) == sorted(NAMES)


def test_no_range_ends_before_the_scrapes_in_it_are_over() -> None:
    """Up to the timeout of a scrape: its value would be missed at one evaluation, and be known at the next."""
    (timeout,) = re.findall(r"scrape_timeout: (\w+)", CONFIG.read_text(encoding="utf-8"))
    ends = re.findall(r"\[\w+\](?: offset (?:\d+m)?(\d+s))?", rules_text())
    assert set(ends) == {timeout}


def test_each_recorded_series_is_documented() -> None:
    assert set(re.findall(r"`(\w+:\w+:\w+)`", DOCUMENT)) == NAMES


def test_promtool_takes_the_rules() -> None:
    assert f"{len(NAMES)} rules found" in promtool("check", "rules", RULES.name)


def test_promtool_takes_the_scrape_configuration() -> None:
    assert "is valid" in promtool("check", "config", CONFIG.name)


@pytest.mark.parametrize("name", TESTS)
def test_the_recorded_series_come_to_what_they_should(name: str) -> None:
    assert "SUCCESS" in promtool("test", "rules", name)


@pytest.mark.parametrize(
    ("address", "instance"),
    [
        ("n7:9469", "n7"),
        ("n7.cluster.example:9469", "n7"),
        ("7-gpu.example:9469", "7-gpu"),
        ("10.0.0.7:9469", "10.0.0.7:9469"),
        ("[fe80::1]:9469", "[fe80::1]:9469"),
    ],
)
def test_an_instance_is_the_short_name_of_its_host(address: str, instance: str) -> None:
    assert instance_of(address) == instance
