"""The five kinds of panel that there are: a few numbers, lines over time, bars by day, a table, verdicts over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Final, NamedTuple

from grafana_foundation_sdk.builders import common, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from gpuwatch.dashboards.colours import STATES, VERDICTS
from gpuwatch.dashboards.links import columns_with_links
from gpuwatch.dashboards.variables import source

WIDE: Final = 24
HALF: Final = 12
_NUMBER_ROWS: Final = 4
_GRAPH_ROWS: Final = 9


class Ask(NamedTuple):
    """A query, and what its lines are called: `{{label}}` stands for a label of each."""

    expression: str
    legend: str = ""


class Column(NamedTuple):
    """Of a table: its heading, and the query that fills it."""

    heading: str
    expression: str
    unit: str = "short"
    decimals: int | None = None
    verdict: bool = False
    """Its numbers are those of `promql.verdict_numbers`."""


class Line(NamedTuple):
    """A line across a graph, from which on something is so."""

    value: float
    colour: str = "orange"


def numbers(
    title: str, why: str, *asks: Ask, unit: str = "short", decimals: int | None = None, width: int = 4
) -> stat.Panel:
    """What all of the time shown came to, or what is now: one number a query."""
    panel = (
        stat.Panel().title(title).description(why).datasource(source()).height(_NUMBER_ROWS).span(width)
        .unit(unit).no_value("-")
        .graph_mode(looks.BigValueGraphMode.NONE)
        .color_mode(looks.BigValueColorMode.VALUE if len(asks) > 1 else looks.BigValueColorMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    )  # fmt: skip
    for ref, ask in zip(ascii_uppercase, asks, strict=False):
        panel.with_target(_query(ref, ask.expression).instant().legend_format(ask.legend))
    for name, colour in _colours(asks):
        panel.override_by_name(name, [_colour(colour)])
    return panel if decimals is None else panel.decimals(decimals)


def graph(
    title: str,
    why: str,
    *asks: Ask,
    unit: str = "short",
    width: int = HALF,
    stacked: bool = False,
    line: Line | None = None,
    at_least: str = "",
    link: Mapping[str, object] | None = None,
    top: float | None = None,
) -> timeseries.Panel:
    """Lines over time, or areas on top of each other. `at_least` is the shortest step that has a value in it."""
    panel = _course(title, why, asks, unit=unit, width=width, stacked=stacked)
    panel.fill_opacity(60 if stacked else 8).line_width(0 if stacked else 1)
    if at_least:
        panel.interval(at_least)
    if line is not None:
        panel.thresholds(_from_on(line)).thresholds_style(_dashed())
    if link is not None:
        panel.data_links([build.DashboardLink(str(link["title"])).url(str(link["url"]))])
    return panel if top is None else panel.max(top)


def by_day(title: str, why: str, *asks: Ask, unit: str = "short", width: int = HALF) -> timeseries.Panel:
    """Bars, one for each day, or for several where there are too many to draw.

    Grafana begins steps of a day at midnight of the dashboard's time zone, by its present offset from UTC.
    """
    panel = _course(title, why, asks, unit=unit, width=width, stacked=True).interval("1d")
    return panel.draw_style(looks.GraphDrawStyle.BARS).fill_opacity(80).bar_alignment(looks.BarAlignment.AFTER)


def rows(
    title: str,
    why: str,
    labels: str,
    *columns: Column,
    width: int = WIDE,
    sort: str = "",
) -> table.Panel:
    """A table: a row for each set of labels, which all queries have. Those that lead on are links."""
    panel = table.Panel().title(title).description(why).datasource(source()).height(_GRAPH_ROWS).span(width)
    panel.filterable(True)
    headings = {}
    for ref, column in zip(ascii_uppercase, columns, strict=False):
        panel.with_target(_query(ref, column.expression).instant().format(PromQueryFormat.TABLE))
        headings["Value" if len(columns) == 1 else f"Value #{ref}"] = column.heading
        panel.override_by_name(column.heading, _looks(column))
    for name, link in columns_with_links(labels).items():
        panel.override_by_name(name, [DynamicConfigValue(id_val="links", value=[link])])
    order = {name: place for place, name in enumerate([*labels.split(", "), *headings])}
    panel.with_transformation(DataTransformerConfig(id_val="merge", options={}))
    tidy = {"excludeByName": {"Time": True}, "indexByName": order, "renameByName": headings}
    panel.with_transformation(DataTransformerConfig(id_val="organize", options=tidy))
    return panel.sort_by([common.TableSortByFieldState().display_name(sort).desc(True)]) if sort else panel


def verdicts(title: str, why: str, ask: Ask, *, width: int = WIDE) -> statetimeline.Panel:
    """What was thought of runs, over time: numbers of `promql.verdict_numbers`."""
    return (
        statetimeline.Panel().title(title).description(why).datasource(source()).height(_GRAPH_ROWS).span(width)
        .with_target(_query("A", ask.expression).range().legend_format(ask.legend))
        .mappings([_words()])
        .color_scheme(build.FieldColor().mode(FieldColorModeId.FIXED).fixed_color("text"))
        .show_value(looks.VisibilityMode.NEVER).merge_values(True).row_height(0.8).fill_opacity(80).line_width(0)
    )  # fmt: skip


def _words() -> ValueMap:
    """What the numbers of verdicts stand for; 0 is of what is not judged."""
    words = [("not judged", "text"), *VERDICTS.items()]
    return ValueMap(
        options={
            str(number): ValueMappingResult(text=name, color=colour, index=number)
            for number, (name, colour) in enumerate(words)
        }
    )


def _query(ref: str, expression: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().datasource(source()).ref_id(ref).expr(expression)


def _course(title: str, why: str, asks: Sequence[Ask], *, unit: str, width: int, stacked: bool) -> timeseries.Panel:
    panel = (
        timeseries.Panel().title(title).description(why).datasource(source()).height(_GRAPH_ROWS).span(width)
        .unit(unit).min(0)
        .legend(_legend())
        .tooltip(common.VizTooltipOptions().mode(looks.TooltipDisplayMode.MULTI).sort(looks.SortOrder.DESCENDING))
    )  # fmt: skip
    for ref, ask in zip(ascii_uppercase, asks, strict=False):
        panel.with_target(_query(ref, ask.expression).range().legend_format(ask.legend))
    for name, colour in _colours(asks):
        panel.override_by_name(name, [_colour(colour)])
    if stacked:
        panel.stacking(common.StackingConfig().mode(looks.StackingMode.NORMAL).group("A"))
    return panel


def _legend() -> common.VizLegendOptions:
    shape = common.VizLegendOptions().display_mode(looks.LegendDisplayMode.LIST)
    return shape.placement(looks.LegendPlacement.BOTTOM).show_legend(True).calcs([])


def _colours(asks: Sequence[Ask]) -> list[tuple[str, str]]:
    known = dict(STATES.values())
    return [(ask.legend, known[ask.legend]) for ask in asks if ask.legend in known]


def _colour(name: str) -> DynamicConfigValue:
    return DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": name})


def _from_on(line: Line) -> build.ThresholdsConfig:
    steps = [Threshold(value=None, color="transparent"), Threshold(value=line.value, color=line.colour)]
    return build.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def _dashed() -> common.GraphThresholdsStyleConfig:
    return common.GraphThresholdsStyleConfig().mode(looks.GraphThresholdsStyleMode.DASHED)


def _looks(column: Column) -> list[DynamicConfigValue]:
    if column.verdict:
        cell = DynamicConfigValue(id_val="custom.cellOptions", value={"type": "color-text"})
        return [DynamicConfigValue(id_val="mappings", value=[_words()]), cell]
    unit = DynamicConfigValue(id_val="unit", value=column.unit)
    decimals = DynamicConfigValue(id_val="decimals", value=column.decimals)
    return [unit] if column.decimals is None else [unit, decimals]
