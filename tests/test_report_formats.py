"""A report as a table, JSON, CSV and Markdown: it fits, is as its schema says, and names do no harm."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from history import Charge, FakeHistory
from hypothesis import given, settings
from hypothesis import strategies as st
from reports import MONDAY, PRICED, example, report_of
from rich.cells import cell_len

from gpuwatch.model import Owner
from gpuwatch.model.history import Question
from gpuwatch.report.document import Report
from gpuwatch.report.formats.csv_rows import render_csv, safe
from gpuwatch.report.formats.json_document import render_json
from gpuwatch.report.formats.markdown import render_markdown
from gpuwatch.report.formats.prose import explanation, worst_rows
from gpuwatch.report.formats.table import render_table
from gpuwatch.report.formats.text import plain, web_link
from gpuwatch.report.policy import Policy
from gpuwatch.units import HOUR

SCHEMA = json.loads((Path(__file__).parent.parent / "docs" / "report.schema.json").read_text(encoding="utf-8"))
HOSTILE = "\x1b[31m\u202e|<b>&*_`x`[a](http://evil.example)@all=1+1\n\t\x00\ud800"
WEB = "https://wandb.example/good"


def table(report: Report, width: int = 120, *, color: bool = False) -> str:
    return render_table(report, (), width=width, color=color)


def hostile() -> Report:
    owner = Owner(f"={HOSTILE}", HOSTILE, f"{HOSTILE}:{HOSTILE}")
    charges = [Charge(MONDAY, owner, 30 * HOUR, HOUR, node=HOSTILE, url=f"javascript:{HOSTILE}", model=HOSTILE)]
    return report_of(FakeHistory(charges, silent=[f"silent{HOSTILE}"], name=HOSTILE), by=("user", "project", "node"))


def document_of(report: Report) -> Any:
    return json.loads(render_json(report, explain=True))


@pytest.mark.parametrize(
    "by", [("user",), ("team",), ("day", "user"), ("run", "gpu", "kind"), ("project", "node", "model")]
)
@pytest.mark.parametrize("policy", [PRICED, Policy(), Policy(names="team"), Policy(names="none")], ids=str)
def test_the_json_is_as_its_schema_says(by: tuple[str, ...], policy: Policy) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    where = {"user": ["ann"]} if policy.names != "all" and by != ("user",) else {}
    document = document_of(report_of(by=by, policy=policy, where=where))
    jsonschema.validate(document, SCHEMA)
    assert ("cost" in document) == ("idle_cost" in document["rows"][0]) == (policy.gpu_hour is not None)


def test_json_does_nothing_to_a_terminal_and_can_be_written_to_any() -> None:
    assert not re.search(r"[^\n -~]", render_json(hostile(), explain=False))
    assert document_of(hostile())["rows"][0]["project"] == HOSTILE


def test_the_json_adds_up_and_tells_where_it_is_from() -> None:
    document = document_of(report_of())
    held = sum(row["held_gpu_hours"] for row in (*document["rows"], *document["services"]))
    rest = sum(document[f"{state}_gpu_hours"] for state in ("free", "unavailable", "unknown"))
    assert held + rest == pytest.approx(document["capacity_gpu_hours"], abs=1e-4)
    assert (document["start"], document["end"]) == ("2026-11-09T00:00:00+00:00", "2026-11-16T00:00:00+00:00")
    assert (document["source"], document["simulated"], document["complete"]) == ("a record in memory", False, True)
    assert (document["nodes"], document["missing_nodes"]) == (3, ["n9"])
    assert document["rows"][0] == {
        "user": "ben", "held_gpu_hours": 168, "busy_gpu_hours": 7, "idle_gpu_hours": 161, "utilization": 0.041667,
        "sm_active_ratio": 0, "energy_kwh": 7, "idle_cost": 402.5, "headroom": 24,
        "rank": 1, "waste_rank": 1, "runs": 1,
        "worst_run": {"user": "ben", "project": "", "run": "adhoc:notebook.py-x@n1", "held_gpu_hours": 168,
                      "busy_gpu_hours": 7, "url": ""},
    }  # fmt: skip


def test_without_a_price_no_format_speaks_of_money() -> None:
    report = report_of(policy=Policy())
    texts = [table(report, 200), render_json(report, explain=False), render_csv(report), render_markdown(report, ())]
    note = "No price is configured: set cost.gpu_hour to see what it cost."
    assert [text.replace("\\", "").count(note) for text in texts] == [1, 1, 0, 1]
    assert not any("cost" in text.replace("\\", "").replace(note, "") for text in texts)


@pytest.mark.parametrize("width", [60, 80, 100, 140, 200])
@pytest.mark.parametrize("by", [("user",), ("run", "user", "node", "gpu", "kind"), ("day", "team")])
def test_the_table_fits_and_no_figure_is_cut(width: int, by: tuple[str, ...]) -> None:
    report = report_of(by=by)
    text = table(report, width)
    lines = [line for line in text.splitlines() if WEB not in line]
    assert max(map(cell_len, lines)) <= width
    head = next(line for line in lines if "held h" in line)
    assert head.split()[-1] != "…"
    assert "idle h" in head
    assert not any(re.search(r"\d…$", line) for line in lines)


def test_a_wide_table_has_all_columns_and_a_narrow_one_the_important() -> None:
    def heads(width: int) -> list[str]:
        line = next(line for line in table(report_of(), width).splitlines() if "held h" in line)
        return re.split(r" {2,}", line.strip())

    assert heads(200) == [
        "#", "user", "held h", "busy h", "idle h", "use", "SMs", "kWh", "idle cost", "waste #", "runs", "headroom",
        "worst run",
    ]  # fmt: skip
    assert heads(60) == ["#", "user", "held h", "idle h", "use", "idle cost", "waste #", "runs"]


def test_numbers_stand_under_each_other() -> None:
    lines = table(report_of(), 80).splitlines()
    start = next(number for number, line in enumerate(lines) if "held h" in line)
    end_of_held = lines[start].index("held h") + len("held h")
    assert [line[:end_of_held].split()[-1] for line in lines[start + 2 : start + 6]] == [
        "168.0",
        "140.0",
        "14.0",
        "7.0",
    ]
    assert all(line[end_of_held - 1].isdigit() for line in lines[start + 2 : start + 6])


def test_the_table_tells_who_wastes_what_in_which_run() -> None:
    text = table(report_of(), 100)
    assert "1. ben: 161 h idle, $402; most in adhoc:notebook.py-x@n1, 161 h of 168 h held" in text
    assert "Services, which wait for requests" in text
    assert "Together 329 h held, 182 h of it idle, 45 % used, 3 runs." in text


def test_nobody_is_named_for_a_few_idle_hours() -> None:
    assert [row.values for row in worst_rows(report_of())] == [("ben",)]  # ann's 7 h are no habit


def test_color_is_only_where_it_is_wanted() -> None:
    assert "\x1b[" in table(report_of(), color=True)
    assert "\x1b" not in table(report_of())


def test_simulated_figures_say_so_in_every_format() -> None:
    report = replace(report_of(), simulated=True)
    assert table(report).startswith("SIMULATED")
    assert "**SIMULATED: nothing here is real.**" in render_markdown(report, ())
    assert document_of(report)["simulated"] is True
    assert all(row["simulated"] == "true" for row in csv.DictReader(StringIO(render_csv(report))))


def test_nobody_at_all_is_a_sentence() -> None:
    report = replace(report_of(), rows=(), services=())
    assert "Nobody held a GPU." in table(report)
    assert "Nobody held a GPU." in render_markdown(report, ())
    assert len(render_csv(report).splitlines()) == 1
    jsonschema.validate(document_of(report), SCHEMA)


def test_csv_has_a_line_per_row_and_service() -> None:
    text = render_csv(report_of(by=("user", "node")))
    rows = list(csv.DictReader(StringIO(text, newline="")))
    assert text.count("\r\n") == text.count("\n") == 6
    assert [(row["user"], row["node"], row["held_gpu_hours"], row["service"]) for row in rows] == [
        ("ben", "n1", "168.0", "false"), ("ann", "n1", "140.0", "false"), ("cat", "n2", "14.0", "false"),
        ("dan", "n2", "7.0", "false"), ("cat", "n2", "168.0", "true"),
    ]  # fmt: skip
    assert rows[1]["worst_run_url"] == WEB


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "＝1"])  # noqa: RUF001
def test_no_cell_is_a_formula(name: str) -> None:
    assert safe(name).startswith("'")
    assert safe("ann-1=2") == "ann-1=2"


def test_hostile_names_are_only_text() -> None:
    report = hostile()
    for text in (table(report, 200), render_csv(report), render_markdown(report, ())):
        assert not re.search("[\x00-\x09\x0b\x0c\x0e-\x1f\x7f\u202e\ud800]", text)
        assert "javascript:" not in text
    assert "<b>" not in render_markdown(report, ())
    assert "](http" not in render_markdown(report, ()).replace("\\]", "")
    assert render_csv(report).splitlines()[1].startswith("\"'=") or render_csv(report).splitlines()[1].startswith("'=")
    assert document_of(replace(report, source="x"))["rows"][0]["user"] == report.rows[0].values[0]


def test_every_row_of_a_markdown_table_has_as_many_cells() -> None:
    lines = [line for line in render_markdown(hostile(), ()).splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1


@given(st.text(min_size=1, max_size=40), st.integers(60, 200))
@settings(max_examples=50)
def test_any_name_leaves_the_table_whole(name: str, width: int) -> None:
    charges = [Charge(MONDAY, Owner(name, name, name), 30 * HOUR, HOUR, node=name)]
    lines = table(report_of(FakeHistory(charges), by=("user", "node", "project")), width).splitlines()
    assert all(cell_len(line) <= width for line in lines)


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "https://a b", "https://ä.example", "http://a\x1b[0m", "ftp://a", ""]
)
def test_only_links_of_the_web_are_links(url: str) -> None:
    assert web_link(url) == ""
    assert web_link(WEB) == WEB


def test_what_was_asked_can_be_shown() -> None:
    report = report_of(example())
    text = explanation(report.questions)
    assert text.startswith("-- usage by user (1 ms)\n")
    assert text in render_table(report, report.questions, width=80, color=False)
    assert text in render_markdown(report, report.questions)
    assert explanation([Question("a\x1b", "```\x1b[0m\nb", 0.5)]) == "-- a (500 ms)\n```[0m\nb"
    assert explanation([Question("a", "# at 1\nup", 0.5)]) == "# a (500 ms)\n# at 1\nup"
    assert "````\n" in render_markdown(report, [Question("a", "```", 0.0)])


def test_plain_text_keeps_what_can_be_read() -> None:
    assert plain("Zoë 漢字 \U0001f600") == "Zoë 漢字 \U0001f600"
    assert plain("a\u2028b\u200fc\x9bd") == "abcd"
