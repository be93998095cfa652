"""What people choose at the top of a dashboard, and how that stands in a query.

A name can be anything. It is matched as a regular expression between backticks, in which PromQL escapes nothing and
Grafana's format `regex` escapes all that a regular expression would take for its own: a quote or a backslash in a
name is just that. (`json` leaves a single name without quotes, `doublequote` leaves its backslashes alone, and what
Grafana does without a format depends on its version.)
"""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableOption, VariableRefresh, VariableSort

from gpuwatch.dashboards.promql import SINGLE_RUNS, selected

PROMETHEUS: Final = "prometheus"
_CHOSEN: Final = "${datasource}"
_PEOPLE: Final = "gpuwatch_user_gpu_held_seconds_total"
_RUNS: Final = "gpuwatch_run_gpu_held_seconds_total"
_GPUS: Final = "gpuwatch_gpu_info"


def matched(variable: str, *, label: str = "") -> str:
    """The matcher of a label by what is chosen; the label is called like the variable unless given."""
    return f"{label or variable}=~`${{{variable}:regex}}`"


USER: Final = "user=~`${user:regex}`"
PROJECT: Final = "project=~`${project:regex}`"
RUN: Final = "run=~`${run:regex}`"
NODE: Final = "node=~`${node:regex}`"
GPU: Final = "gpu=~`${gpu:regex}`"
EITHER_USER: Final = "user=~`${user:regex}|${other_user:regex}`"
EITHER_RUN: Final = "run=~`${run:regex}|${other_run:regex}`"
PRICE: Final = "(${price}+0)"
"""Of a GPU-hour; 0 where nothing is written there."""


def source() -> DataSourceRef:
    """The Prometheus server that is chosen."""
    return DataSourceRef(type_val=PROMETHEUS, uid=_CHOSEN)


def prometheus() -> build.DatasourceVariable:
    """Which server: all other variables are asked of it."""
    return build.DatasourceVariable("datasource").label("Prometheus").type(PROMETHEUS)


def user(name: str = "user", label: str = "User") -> build.QueryVariable:
    """A person."""
    return _values(name, label, _PEOPLE, of="user")


def project() -> build.QueryVariable:
    """Projects of the person, or all."""
    return _any_of(_values("project", "Project", _PEOPLE, USER))


def run(name: str = "run", label: str = "Run", whose: str = "user") -> build.QueryVariable:
    """A run of the person that another variable names."""
    return _values(name, label, _RUNS, matched(whose, label="user"), SINGLE_RUNS, of="run")


def node() -> build.QueryVariable:
    """A node that has GPUs."""
    return _values("node", "Node", _GPUS)


def gpu() -> build.QueryVariable:
    """GPUs of the node, or all."""
    return _any_of(_values("gpu", "GPU", _GPUS, NODE))


def price() -> build.TextBoxVariable:
    """Of a GPU-hour, in whatever currency; 0 for none."""
    none = VariableOption(text="0", value="0")
    return build.TextBoxVariable("price").label("Price of a GPU-hour").default_value("0").current(none)


def _values(name: str, label: str, metric: str, *matchers: str, of: str = "") -> build.QueryVariable:
    query = f"label_values({selected(metric, *matchers)}, {of or name})"
    return (
        build.QueryVariable(name)
        .label(label)
        .datasource(source())
        .query({"query": query, "refId": f"variable-{name}"})
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.NATURAL_ASC)
    )


def _any_of(variable: build.QueryVariable) -> build.QueryVariable:
    everything = VariableOption(text=["All"], value=["$__all"], selected=True)
    return variable.multi(True).include_all(True).all_value(".*").current(everything)


def priced(gpu_hours: str) -> str:
    """Their cost; nothing at all where the price is 0."""
    return f"({gpu_hours}) * {PRICE} and on () (vector({PRICE}) > 0)"
