"""The page of a report: what its charts show, that it asks nothing of anybody, and how it is in a real browser."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
from dataclasses import replace
from datetime import UTC
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from history import Charge, FakeHistory, Spell
from hypothesis import given
from hypothesis import strategies as st
from servers import program
from week import HOSTILE, MONDAY, NOW, fleet_week

from gpuwatch.model import Owner
from gpuwatch.model.history import Fleet, Source, Window
from gpuwatch.report.document import Report
from gpuwatch.report.html.charts import MOST_STRIPS, gather_charts
from gpuwatch.report.html.course import strips
from gpuwatch.report.html.cuts import MOST_BARS, MOST_CELLS, cut
from gpuwatch.report.html.page import render_html
from gpuwatch.report.html.shapes import HEIGHT, WIDTH, bar, columns, dots, layers, line
from gpuwatch.report.html.tables import MOST_ROWS
from gpuwatch.report.period import Period, parse_period
from gpuwatch.report.policy import Policy
from gpuwatch.report.summary import gather
from gpuwatch.units import DAY, HOUR

BERLIN = ZoneInfo("Europe/Berlin")
LAST_WEEK = parse_period("last week", None, zone=UTC, now_unix=NOW)


def reported(source: Source, *, by: str = "user", where: dict[str, tuple[str, ...]] | None = None) -> Report:
    return gather(
        source, LAST_WEEK, by=(by,), where=where or {}, policy=Policy(gpu_hour=2.5), teams={"ann": "vision"}, viewer="x"
    )


def page(source: Source, report: Report) -> str:
    return render_html(report, gather_charts(source, report, teams={"ann": "vision"}))


def period(since: str, until: str, zone: Any = UTC) -> Period:
    return parse_period(since, until, zone=zone, now_unix=2e9)


# How a period is cut


@pytest.mark.parametrize(
    ("since", "until", "hours", "days_per_bar"),
    [
        ("2026-11-09", "2026-11-15", 1, 1),
        ("2026-11-01", "2026-11-30", 4, 1),
        ("2026-09-01", "2026-11-30", 12, 7),
        ("2026-01-01", "2026-12-31", 7 * 24, 7),
        ("2020-01-01", "2026-12-31", 28 * 24, 364),
    ],
)
def test_cells_and_bars_are_as_many_as_can_be_told_apart(since: str, until: str, hours: int, days_per_bar: int) -> None:
    pieces = cut(period(since, until))
    assert max(cell.seconds for cell in pieces.cells) == hours * HOUR
    assert pieces.days_per_bar == days_per_bar
    assert len(pieces.bars) <= MOST_BARS
    assert len(pieces.cells) <= MOST_CELLS + len(pieces.bars)


@given(st.floats(1.6e9, 1.9e9), st.floats(60.0, 400 * DAY))
def test_the_pieces_are_the_period_without_gaps(start: float, seconds: float) -> None:
    window = Window(start, start + seconds)
    pieces = cut(replace(LAST_WEEK, window=window, zone=BERLIN))
    assert [cell for cells in pieces.bars for cell in cells] == list(pieces.cells)
    assert (pieces.cells[0].start, pieces.cells[-1].end) == window
    assert all(cell.end == after.start for cell, after in pairwise(pieces.cells))
    assert all(cell.seconds > 0 for cell in pieces.cells)


def test_a_day_on_which_clocks_change_has_an_hour_less_or_more() -> None:
    assert [len(cells) for cells in cut(period("2026-03-28", "2026-03-30", BERLIN)).bars] == [24, 23, 24]
    assert [len(cells) for cells in cut(period("2026-10-24", "2026-10-26", BERLIN)).bars] == [24, 25, 24]


def test_a_period_that_begins_within_an_hour_is_cut_at_full_ones() -> None:
    pieces = cut(period("2026-11-09T22:40", "2026-11-10T01:20"))
    assert [cell.seconds / 60 for cell in pieces.cells] == [20, 60, 60, 20]
    assert [len(cells) for cells in pieces.bars] == [2, 2]


# What is asked for the charts


def test_the_bars_and_the_strips_are_the_reports_time() -> None:
    source = fleet_week()
    report = reported(source)
    charts = gather_charts(source, report, teams={})
    assert sum(fleet.capacity for fleet in charts.bars) == pytest.approx(report.fleet.capacity)
    assert sum(strip.total.idle for strip in charts.strips) == pytest.approx(report.fleet.idle)
    idle = [strip.total.idle for strip in charts.strips]
    assert (idle, charts.by, charts.left_out) == (sorted(idle, reverse=True), "node", 0)


def test_an_hour_is_asked_for_once() -> None:
    source = fleet_week()
    report = reported(source)
    before = len(source.asked)
    gather_charts(source, report, teams={})
    assert len(source.asked) - before == 7 * 24


def test_of_one_node_each_gpu_is_shown() -> None:
    source = fleet_week(1)
    source.silent = ()
    charts = gather_charts(source, reported(source), teams={})
    assert (charts.by, {strip.name for strip in charts.strips}) == ("gpu", {f"n1/{gpu}" for gpu in range(4)})
    assert {strip.name for strip in strips(reported(source), charts)} == {f"GPU {gpu}" for gpu in range(4)}


def test_of_many_nodes_those_with_most_waste_are_shown() -> None:
    owner = Owner("ann", "p", "wandb:a")
    source = FakeHistory([Charge(MONDAY, owner, HOUR, float(n), node=f"n{n:03}", kind="batch") for n in range(70)])
    charts = gather_charts(source, reported(source), teams={})
    assert (len(charts.strips), charts.left_out) == (MOST_STRIPS, 10)
    assert (charts.strips[0].name, charts.strips[-1].name) == ("n000", "n059")


def test_of_some_peoples_use_the_rest_is_ground() -> None:
    source = fleet_week()
    report = reported(source, where={"user": ("ann",)})
    charts = gather_charts(source, report, teams={})
    assert sum(fleet.held for fleet in charts.bars) == pytest.approx(report.total.held)
    assert sum(fleet.capacity for fleet in charts.bars) == pytest.approx(report.fleet.capacity)
    assert all(strip.total.held > 0 for strip in charts.strips)


def test_a_team_is_its_people() -> None:
    source = fleet_week()
    report = reported(source, where={"team": ("vision",)})
    charts = gather_charts(source, report, teams={"ann": "vision"})
    assert sum(fleet.held for fleet in charts.bars) == pytest.approx(report.total.held)


# Shapes

WINDOW = Window(0.0, 4.0)
CELLS = [Window(float(n), n + 1.0) for n in range(4)]


def test_a_strip_is_painted_from_the_back() -> None:
    half, free = Fleet(active=1, idle=1, free=2), Fleet(free=4)
    assert layers(WINDOW, CELLS, [half, half, free, None]) == [
        ("unknown", "M0 100V50H500V100H750V0H1000V100Z"),
        ("idle", "M0 100V50H500V100H1000V100Z"),
        ("active", "M0 100V75H500V100H1000V100Z"),
    ]


@given(st.lists(st.floats(0.0, 1e9), min_size=5, max_size=5))
def test_a_column_is_no_higher_than_the_highest(parts: list[float]) -> None:
    fleet = Fleet(*parts)
    (boxes,) = columns([fleet], fleet.capacity)
    assert sum(box.height for box in boxes) <= HEIGHT + 0.1
    assert all(box.y >= -0.1 and box.y + box.height <= HEIGHT + 0.1 for box in boxes)


@given(st.lists(st.floats(0.0, 1e9), min_size=1, max_size=5))
def test_the_parts_of_a_bar_stand_beside_each_other(parts: list[float]) -> None:
    boxes = bar([("active", part) for part in parts], sum(parts))
    assert sum(box.width for box in boxes) <= WIDTH + 0.5
    assert all(box.x + box.width <= after.x + 0.2 for box, after in pairwise(boxes))


def test_a_line_is_interrupted_where_nothing_is_known() -> None:
    assert line([0.0, 1.0, None, 0.5]) == "M125 100L375 0M875 50"
    assert dots([0.0, 1.0, None, 0.5]) == "M125 100h0M375 0h0M875 50h0"
    assert line([]) == ""


# The page as text


def test_the_page_asks_nothing_of_anybody() -> None:
    source = fleet_week()
    text = page(source, reported(source))
    assert not re.search(r"<(script|link|img|iframe|object|embed|base|form)\b", text)
    assert not re.search(r"\b(src|srcset|action|data|poster|background)\s*=", text)
    assert not re.search(r"url\(|@import|@font-face", text)
    assert "default-src 'none'; style-src 'unsafe-inline'" in text


def test_hostile_names_are_text() -> None:
    text = page(source := fleet_week(), reported(source, by="run"))
    shown = HOSTILE.replace("\u202e", "")
    assert (html.escape(shown).replace("&quot;", "&#34;") in text, "<script" in text, "\u202e" in text) == (
        True, False, False,
    )  # fmt: skip


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", 'https://x/"onclick="alert(1)', "//x", ""])
def test_what_is_no_plain_link_leads_nowhere(url: str) -> None:
    owner = Owner("ann", "p", "wandb:a")
    source = FakeHistory([Charge(MONDAY, owner, 1e6, 0.0, kind="batch", url=url)])
    text = page(source, reported(source))
    assert not re.search(r'href="(?!https?://)', text)
    assert 'onclick="' not in text


def test_what_is_simulated_says_so_and_else_nothing_does() -> None:
    source = fleet_week()
    assert "SIMULATED" not in page(source, reported(source))
    source.simulated = True
    assert page(source, reported(source)).count("SIMULATED") == 1


def test_without_a_price_there_is_no_money() -> None:
    source = fleet_week()
    report = replace(reported(source), price=None, notes=())
    assert not re.search(r"\$|[Cc]ost", page(source, report).partition("<body>")[2])


def test_a_week_in_which_nobody_held_anything_is_a_page_too() -> None:
    source = FakeHistory(spells=[Spell(MONDAY, free=float(HOUR))])
    text = page(source, reported(source))
    assert "Nobody held a GPU." in text


def test_more_rows_than_anybody_reads_are_counted() -> None:
    source = FakeHistory(
        [Charge(MONDAY, Owner(f"user{n}", "p", f"wandb:{n}"), HOUR, 0.0, kind="batch") for n in range(MOST_ROWS + 5)]
    )
    text = page(source, reported(source))
    assert "5 more rows are in the other formats" in text


def test_all_charts_have_words_for_who_does_not_see_them() -> None:
    text = page(source := fleet_week(), reported(source))
    charts = re.findall(r"<svg[^>]*>", text)
    assert charts
    assert all('aria-hidden="true"' in chart or re.search(r'role="img" aria-label="[^"]+"', chart) for chart in charts)
    assert '<html lang="en">' in text
    assert [int(level) for level in re.findall(r"<h([1-6])", text)][:2] == [1, 2]


# In a browser

LOOK = """<!DOCTYPE html><meta charset="utf-8"><body><pre id="found"></pre>
FRAMES
<script>
function seen(frame) {
  const page = frame.contentDocument, root = page.documentElement;
  const requests = frame.contentWindow.performance.getEntriesByType("resource");
  const wide = [...page.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > root.clientWidth + 1);
  return {
    width: root.clientWidth, needs: root.scrollWidth,
    wide: wide.filter(e => !e.closest(".scroll, thead, caption, svg")).map(e => e.outerHTML.slice(0, 80)),
    names: [...page.querySelectorAll("tbody th.name")].map(e => e.textContent),
    scripts: page.scripts.length, requests: requests.map(e => e.name),
    paint: getComputedStyle(page.querySelector("svg .idle")).fill,
    chart: page.querySelector(".chart.tall").getBoundingClientRect().height,
  };
}
window.onload = () => {
  document.getElementById("found").textContent = JSON.stringify([...document.querySelectorAll("iframe")].map(seen));
};
</script></body>"""


def seen(folder: Path, *frames: tuple[int, str]) -> list[dict[str, Any]]:
    """What a browser makes of pages in windows of so many pixels."""
    shown = (f'<iframe width="{width}" height="3000" srcdoc="{html.escape(text)}"></iframe>' for width, text in frames)
    look = folder / "look.html"
    look.write_text(LOOK.replace("FRAMES", "\n".join(shown)), encoding="utf-8")
    command = [
        program("chromium"), "--headless", "--disable-gpu", f"--user-data-dir={folder / 'profile'}",
        *(["--no-sandbox"] if os.geteuid() == 0 else []), "--virtual-time-budget=5000", "--dump-dom", look.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found is not None, done.stdout[:500]
    views: list[dict[str, Any]] = json.loads(html.unescape(found[1]))
    return views


def test_a_browser_shows_it_on_a_phone_and_on_a_screen(tmp_path: Path) -> None:
    week = page(source := fleet_week(), reported(source, by="run"))
    month = gather(
        source, period("2026-10-20", "2026-11-17", BERLIN), by=("team", "user", "node"), where={}, policy=Policy(),
        teams={}, viewer="x",
    )  # fmt: skip
    widths = [390, 1280, 390]
    frames = seen(tmp_path, *zip(widths, (week, week, page(source, month)), strict=True))
    for frame, width in zip(frames, widths, strict=True):
        assert (frame["needs"], frame["wide"]) == (frame["width"], [])
        assert frame["width"] > width - 20
        assert (frame["scripts"], frame["requests"]) == (0, [])
        assert (frame["paint"], frame["chart"] > 100) == ("rgb(220, 118, 18)", True)
    assert HOSTILE.replace("\u202e", "") in frames[0]["names"]
