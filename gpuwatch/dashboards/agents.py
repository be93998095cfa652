"""The dashboard of the agents themselves: who is silent, what fails, and how much is not known."""

from __future__ import annotations

from typing import Final

from gpuwatch.dashboards import links
from gpuwatch.dashboards.board import Board, Panel, Section
from gpuwatch.dashboards.panels import HALF, Ask, Column, graph, numbers, rows
from gpuwatch.dashboards.promql import RANGE, RECENT, STEP, added, now, ratio, share
from gpuwatch.report import recorded
from gpuwatch.units import MINUTE

_WORST: Final = 10
_LISTED: Final = 50
_ABOUT: Final = "gpuwatch_build_info"
_PEOPLE_TOLD: Final = "gpuwatch_notices_total"


def agents() -> Board:
    """Of all nodes."""
    sections = [
        Section("Do they answer?", [*_numbers(), _silent(), _versions()]),
        Section("What fails", [_failing(), _lost()]),
        Section("How well they see", [*_ages(), *_unknown()]),
        Section("What is told to people, and recorded", [_notices(), _scrapes()]),
    ]
    why = "The agents themselves: who is silent, what fails, and how much is not known."
    return Board(links.AGENTS, "GPUs: agents", why, [], sections, since="now-24h", refresh="1m", snoozed=None)


def _numbers() -> list[Panel]:
    unsaved = f"{now('gpuwatch_state_persisted', by='node')} == 0"
    lost = f"{now('gpuwatch_gpu_up', by='node, uuid')} == 0"
    failing = f"{now('gpuwatch_sensor_up', by='node, sensor')} == 0"
    rules = f"clamp_max(max(count_over_time({recorded.HEARTBEAT}[{RANGE}])) * {MINUTE} / $__range_s, 1)"
    return [
        numbers("Agents that answer", "", Ask(f"count({now(_ABOUT, by='node')})")),
        numbers("Agents that are silent", "They answered in the time shown.", Ask(f"count({_SILENT})")),
        numbers("GPUs lost", "", Ask(f"count({lost})")),
        numbers("Sensors failing", "", Ask(f"count({failing})")),
        numbers("Totals not on disk", "Agents whose disk refuses: their totals may be lost.", Ask(f"count({unsaved})")),
        numbers("Time that is recorded", "Of the time shown, in which Prometheus evaluated the rules.", Ask(rules),
                unit="percentunit", decimals=0),
    ]  # fmt: skip


_SILENT: Final = f"group by (node) (last_over_time({_ABOUT}[{RANGE}])) unless on (node) {_ABOUT}"


def _silent() -> Panel:
    last = f"max by (node) (max_over_time(timestamp({_ABOUT})[{RANGE}:5m])) unless on (node) {_ABOUT}"
    why = "What is used there is not known. To within five minutes."
    seen = Column("last heard of", f"bottomk({_LISTED}, {last}) * 1000", "dateTimeFromNow")
    return rows("Silent agents", why, "node", seen, width=HALF)


def _versions() -> Panel:
    by = "version, driver"
    counted = f"count by ({by}) (group by (node, {by}) ({_ABOUT}))"
    return rows("Versions", "Of gpuwatch and of the driver.", by, Column("nodes", counted), width=HALF, sort="nodes")


def _failing() -> Panel:
    by = "node, sensor"
    failing = f"topk({_LISTED}, {now('gpuwatch_sensor_up', by=by)} == 0)"
    last = f"1000 * {now('gpuwatch_last_sample_timestamp_seconds', by=by)} and on ({by}) {failing}"
    why = f"At most {_LISTED}."
    return rows("Sensors that fail", why, by, Column("last reading", last, "dateTimeFromNow"), width=HALF)


def _lost() -> Panel:
    by = "node, gpu, uuid"
    lost = f"topk({_LISTED}, {now('gpuwatch_gpu_up', by=by)} == 0)"
    return rows("GPUs that do not answer", f"At most {_LISTED}.", by, Column("up", lost), width=HALF)


def _ages() -> list[Panel]:
    by = "node, sensor"
    age = f"time() - {now('gpuwatch_last_sample_timestamp_seconds', by=by)}"
    took = now("gpuwatch_sensor_duration_seconds", by=by)
    return [
        graph("Age of readings", f"The {_WORST} oldest at each time.",
              Ask(f"topk({_WORST}, {age})", "{{node}}, {{sensor}}"), unit="s", link=links.of_series("node")),
        graph("Time that readings take", f"The {_WORST} longest at each time.",
              Ask(f"topk({_WORST}, {took})", "{{node}}, {{sensor}}"), unit="s", link=links.of_series("node")),
    ]  # fmt: skip


def _unknown() -> list[Panel]:
    whole = added(recorded.NODE_STATES, by="node", over=STEP)
    unknown = ratio(added(recorded.NODE_STATES, 'state="unknown"', by="node", over=STEP), whole)
    stray = share(added(recorded.UNATTRIBUTED_BUSY, over=STEP), added(recorded.STATES, over=STEP))
    return [
        graph("GPU time that is unknown", f"By node, the {_WORST} worst at each time.",
              Ask(f"topk({_WORST}, {unknown} > 0)", "{{node}}"), unit="percentunit", at_least="10m",
              link=links.of_series("node")),
        graph("Used by nobody who is known", "Busy time that is charged to no run, of all GPU time.",
              Ask(stray, "unattributed"), unit="percentunit", at_least="2m"),
    ]  # fmt: skip


def _notices() -> Panel:
    told = f"sum by (outcome) (max by (node, outcome) (increase({_PEOPLE_TOLD}[{RECENT}])))"
    why = "Messages to owners of runs, by what became of them."
    return graph("Notices", why, Ask(told, "{{outcome}}"), width=HALF)


def _scrapes() -> Panel:
    agent = f"group by (job, instance, node) ({_ABOUT})"
    took = f"max by (node) (scrape_duration_seconds * on (job, instance) group_left (node) {agent})"
    why = f"The {_WORST} longest at each time."
    return graph("Time that scrapes take", why, Ask(f"topk({_WORST}, {took})", "{{node}}"), unit="s", width=HALF)
