"""What all dashboards have in common: where they are, what is chosen at their top, and the snoozes on their graphs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any, NamedTuple

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model

from gpuwatch.dashboards.links import TAG, among_dashboards
from gpuwatch.dashboards.promql import grouped, selected
from gpuwatch.dashboards.variables import prometheus, source

Panel = Builder[model.Panel]
"""One of a dashboard, before it is built."""


class Snoozes(model.AnnotationQuery):
    """Stretches of time in which the owner of a run had said that it is meant to be idle.

    What is written beside them are fields of Grafana's Prometheus source, of which the SDK's model has none.
    """

    def to_json(self) -> dict[str, object]:
        """As Grafana has it."""
        return {**super().to_json(), "titleFormat": "{{user}} snoozed", "textFormat": "{{run}}", "step": "60s"}


class Section(NamedTuple):
    """Panels below a heading."""

    heading: str
    panels: Sequence[Panel]
    folded: bool = False
    """Nothing of it is asked before somebody opens it: for what is dear in a large fleet."""


class Board(NamedTuple):
    """A dashboard before it is one."""

    uid: str
    title: str
    why: str
    variables: Sequence[Builder[model.VariableModel]]
    sections: Sequence[Section]
    since: str = "now-7d"
    refresh: str = "5m"
    snoozed: Sequence[str] | None = ()
    """The matchers of the runs whose snoozes are shown; None for no snoozes."""


def dashboard(board: Board) -> model.Dashboard:
    """As Grafana has it: each panel has a place and a number, counted from the top."""
    built = (
        build.Dashboard(board.title).uid(board.uid).description(board.why).tags([TAG]).editable()
        .time(board.since, "now").refresh(board.refresh).timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .link(among_dashboards())
        .variables([prometheus(), *board.variables])
    )  # fmt: skip
    for section in board.sections:
        row = build.Row(section.heading).collapsed(section.folded)
        for panel in section.panels if section.folded else ():
            row.with_panel(panel)
        built.with_row(row)
        for panel in () if section.folded else section.panels:
            built.with_panel(panel)
    if board.snoozed is not None:
        built.annotations([_Built(_snoozes(board.snoozed))])
    return _numbered(built.build())


def _snoozes(matchers: Sequence[str]) -> Snoozes:
    series = selected("gpuwatch_run_verdict", *matchers, 'verdict="snoozed"')
    return Snoozes(
        name="Snoozes", datasource=source(), enable=True, icon_color="blue", expr=grouped("max", "user, run", series)
    )


def _numbered(made: model.Dashboard) -> model.Dashboard:
    numbers = count(1)
    for panel in made.panels or []:
        panel.id_val = next(numbers)
        for folded in panel.panels if isinstance(panel, model.RowPanel) else ():
            folded.id_val = next(numbers)
    return made


class _Built(Builder[Any]):
    """What the SDK takes for a builder, of something that is built."""

    def __init__(self, made: object) -> None:
        self._made = made

    def build(self) -> Any:
        """That thing."""
        return self._made
