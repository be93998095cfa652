"""The dashboard of one person: what they had, by day, by run, and now."""

from __future__ import annotations

from typing import Final

from gpuwatch.dashboards import links
from gpuwatch.dashboards.board import Board, Panel, Section
from gpuwatch.dashboards.panels import HALF, WIDE, Ask, by_day, graph, numbers, rows
from gpuwatch.dashboards.present import holders
from gpuwatch.dashboards.promql import STEP, STEP_SECONDS, added, added_after, hours, rest
from gpuwatch.dashboards.ranks import PEOPLE, RUNS, columns, use
from gpuwatch.dashboards.variables import PROJECT, USER, price, priced, project, user
from gpuwatch.report import recorded

_ASKED: Final = (USER, PROJECT)
_RUNS: Final = 50


def person() -> Board:
    """Of the projects that are chosen."""
    sections = [
        Section("What it came to", [*_numbers(), *_course()]),
        Section("Now", [holders("Now", *_ASKED)]),
        Section("Runs", [_runs()]),
        Section("Where", [_projects(), _nodes()]),
    ]
    why = "What one person had of the GPUs: by day, by run, and now."
    chosen = [user(), project(), price()]
    return Board(links.PERSON, "GPUs: person", why, chosen, sections, snoozed=_ASKED)


def _numbers() -> list[Panel]:
    found = use(PEOPLE, *_ASKED)
    runs = added(recorded.RUNS_STARTED, *_ASKED)
    return [
        numbers("GPU-hours held", "", Ask(found.held), unit="locale", decimals=1, width=3),
        numbers("GPU-hours busy", "", Ask(found.busy), unit="locale", decimals=1, width=3),
        numbers("GPU-hours idle", "Held and not used.", Ask(found.idle), unit="locale", decimals=1, width=3),
        numbers("Use", "Busy by held.", Ask(found.ratio), unit="percentunit", decimals=0, width=3),
        numbers("Headroom", "How many times as much could have run in the same hours.", Ask(found.headroom),
                unit="suffix:x", decimals=1, width=3),
        numbers("Idle cost", "At the price above. There is none where that is 0.", Ask(priced(found.idle)),
                unit="locale", decimals=0, width=3),
        numbers("kWh", "Of the GPUs.", Ask(found.kwh), unit="locale", decimals=1, width=3),
        numbers("Runs begun", "Without those of less than a minute.", Ask(runs), decimals=0, width=3),
    ]  # fmt: skip


def _course() -> list[Panel]:
    held, busy = (added(series, *_ASKED, over=STEP) for series in PEOPLE[:2])
    each = [added_after(series, *_ASKED) for series in PEOPLE[:2]]
    return [
        by_day("GPU-hours, by day", "Days begin at midnight by the clock of the dashboard.",
               Ask(hours(each[1]), "busy"), Ask(hours(rest(*each)), "held idle"), unit="locale"),
        graph("GPUs", "Means of each step.", Ask(f"{held} / {STEP_SECONDS}", "held"),
              Ask(f"{busy} / {STEP_SECONDS}", "busy"), at_least="2m"),
    ]  # fmt: skip


def _runs() -> Panel:
    by = "user, project, run"
    found = use(RUNS, *_ASKED, by=by)
    why = f"The {_RUNS} with most hours. `short` is all runs of less than a minute, `overflow` what was too many."
    return rows("Runs", why, by, *columns(found, by=by, first=f"topk({_RUNS}, {found.held})"), sort="held h")


def _projects() -> Panel:
    found = use(PEOPLE, *_ASKED, by="project")
    first = f"topk({_RUNS}, {found.held})"
    return rows("Projects", "", "project", *columns(found, by="project", first=first), width=WIDE, sort="held h")


def _nodes() -> Panel:
    held = added(recorded.NODE_PEOPLE_HELD, *_ASKED, by="node", over=STEP)
    why = "Means of each step, of the ten with most."
    return graph("GPUs held, by node", why, Ask(f"topk(10, {held} / {STEP_SECONDS})", "{{node}}"), width=HALF,
                 stacked=True, at_least="10m", link=links.of_series("node"))  # fmt: skip
