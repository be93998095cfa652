"""The alerting rules: which of the agents' words a Prometheus server passes on, to owners of runs and to the operator.

Pure. Nothing is judged here: whether somebody is to be told of a run, its agents say. What is added is what no agent
can know: that a run on several nodes is one, and that a node which does not answer has not taken back what it said.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from textwrap import indent
from typing import Final, NamedTuple

FILE_NAME: Final = "gpuwatch.alerts.yml"
RUN_IDLE: Final = "GpuwatchRunIdle"
RUN_STUCK: Final = "GpuwatchRunStuck"
OF_RUNS: Final = frozenset({RUN_IDLE, RUN_STUCK})
"""What goes to the owners of runs; all else is the operator's."""
MARK: Final[Mapping[str, str]] = {"gpuwatch": "true"}
"""What all of them are known by."""

_HEAD: Final = """\
# gpuwatch's alerting rules, written by `gpuwatch rules`: change nothing here, a newer version writes it anew.
#
# All have the label gpuwatch="true", by which an Alertmanager routes them (alertmanager.fragment.yml). What the agents
# say of runs is passed on at once, as they have waited already. While a node does not answer, what it said last stands,
# for an hour; once it answers, from whichever address, that counts. All else has to last for 10 min: less would begin
# anew with each restart of Prometheus.

groups:
"""
_DUE: Final = "node_user_run_verdict:gpuwatch_run_notice_due:held"
_SNOOZED: Final = "node_user_run:gpuwatch_run_snoozed:held"
_HELD_FOR: Final = "1h"
_KNOWN_FOR: Final = "7d"
_LASTS: Final = "10m"


class Alert(NamedTuple):
    """A rule that alerts."""

    name: str
    severity: str
    expression: str
    summary: str
    """A template of Prometheus's, as the next one."""
    description: str
    lasts: str = _LASTS
    """How long it has to be so."""


class Record(NamedTuple):
    """A rule that records what the alerts after it go by."""

    name: str
    expression: str


class Group(NamedTuple):
    """Rules for one reader, evaluated in this order."""

    name: str
    why: str
    rules: tuple[Record | Alert, ...]


def alerts_text() -> str:
    """The rules as the YAML file that Prometheus loads."""
    return _HEAD + "".join(map(_group_text, groups()))


def groups() -> tuple[Group, ...]:
    """All alerting rules."""
    return (
        Group("gpuwatch-owners", "To the owners of runs: one alert for a run, on however many nodes it is.", _owners()),
        Group("gpuwatch-operators", "To the operator.", _operators()),
    )


def _owners() -> tuple[Record | Alert, ...]:
    idle, stuck = (f'{_DUE}{{verdict="{verdict}"}}' for verdict in ("idle", "stuck"))
    where = "On {{ $value }} node(s), by the word of the agents there. `gpuwatch show` has the evidence."
    return (
        Record(_DUE, _held(_DUE, "node, user, run, verdict", "gpuwatch_run_notice_due")),
        Record(_SNOOZED, _held(_SNOOZED, "node, user, run", 'gpuwatch_run_verdict{verdict="snoozed"}')),
        Alert(
            RUN_IDLE,
            "info",
            _on_nodes(idle, unless=(stuck, _SNOOZED)),
            "{{ $labels.run }} of {{ $labels.user }} holds GPUs and does not use them",
            where,
            lasts="",
        ),
        Alert(
            RUN_STUCK,
            "warning",
            _on_nodes(stuck, unless=(_SNOOZED,)),
            "{{ $labels.run }} of {{ $labels.user }} is stuck: its GPUs are in full use, at the power of idle ones",
            where,
            lasts="",
        ),
    )


def _operators() -> tuple[Alert, ...]:
    return (
        Alert(
            "GpuwatchAgentDown",
            "warning",
            _down(),
            "the agent of {{ or $labels.node $labels.instance }} does not answer",
            "What is used there is not known meanwhile. `systemctl status gpuwatch` there says why.",
        ),
        Alert(
            "GpuwatchGpuLost",
            "critical",
            "max by (node, gpu, uuid) (gpuwatch_gpu_up) == 0",
            "GPU {{ $labels.gpu }} of {{ $labels.node }} does not answer",
            "The driver cannot be asked about {{ $labels.uuid }}. `nvidia-smi` and `gpuwatch check` there say why.",
        ),
        Alert(
            "GpuwatchUnattributed",
            "warning",
            _unattributed(),
            "{{ $value | humanizePercentage }} of what GPUs of {{ $labels.node }} do is nobody's",
            "Over the last hour. `gpuwatch check` there says what cannot be read, and what mends it.",
        ),
        Alert(
            "GpuwatchNoticesFailing",
            "warning",
            'sum by (node) (increase((max by (node, job) (gpuwatch_notices_total{outcome="failed"}))[1h:1m])) > 0',
            "{{ $labels.node }} could not tell people of their runs",
            "Messages to Slack were given up in the last hour. `gpuwatch check` there says why.",
            lasts="",
        ),
        Alert(
            "GpuwatchStateNotPersisted",
            "critical",
            "max by (node) (gpuwatch_state_persisted) == 0",
            "the disk of {{ $labels.node }} does not take gpuwatch's totals",
            "They go on in memory, and are lost with the agent. Its log says what the disk said.",
        ),
    )


def _on_nodes(told: str, *, unless: tuple[str, ...]) -> str:
    """On how many nodes the owner of a run is to be told of it."""
    return f"count by (user, run) ({told})" + "".join(f"\nunless on (user, run) {other}" for other in unless)


def _held(record: str, by: str, selector: str) -> str:
    """What nodes say; of one that does not answer, what was recorded last."""
    return f"max by ({by}) ({selector})\nor\n{record}\nand on (node) {_block(_unanswering(_HELD_FOR))}"


def _unanswering(known_for: str) -> str:
    """Nodes that were seen, and do not answer now at any address."""
    known = f"last_over_time(gpuwatch_build_info[{known_for}])"
    return f"{known}\nand on (job, instance) (up == 0)\nunless on (node) gpuwatch_build_info"


def _down() -> str:
    """A node that was seen and does not answer; or what is scraped as an agent and never did."""
    never = f'up{{job=~"gpuwatch.*"}} == 0\nunless on (job, instance) last_over_time(gpuwatch_build_info[{_KNOWN_FOR}])'
    return f"max by (node, instance) {_block(_unanswering(_KNOWN_FOR))}\nor\nmax by (instance) {_block(never)}"


def _unattributed() -> str:
    """Of nodes that did a tenth of a GPU's hour at least: of less nobody needs to know whose it is."""
    nobodys, all_of_it = (
        f"sum by (node) (increase((max by (node, uuid) ({metric}))[1h:1m]))"
        for metric in ("gpuwatch_gpu_unattributed_busy_seconds_total", "gpuwatch_gpu_busy_seconds_total")
    )
    return f"{nobodys}\n/ ({all_of_it} > 360)\n> 0.1"


def _block(text: str) -> str:
    return f"(\n{indent(text, '  ')}\n)"


def _group_text(group: Group) -> str:
    rules = "\n".join(indent(_rule_text(rule), "  ") for rule in group.rules)
    return f"\n# {group.why}\n- name: {group.name}\n  rules:\n\n{rules}"


def _rule_text(rule: Record | Alert) -> str:
    if isinstance(rule, Record):
        return f"- record: {rule.name}\n  expr: |\n{indent(rule.expression, '    ')}\n"
    return _alert_text(rule)


def _alert_text(alert: Alert) -> str:
    lasts = f"  for: {alert.lasts}\n" if alert.lasts else ""
    return (
        f"- alert: {alert.name}\n  expr: |\n{indent(alert.expression, '    ')}\n{lasts}"
        f"  labels: {_mapping({**MARK, 'severity': alert.severity})}\n  annotations:\n"
        f"    summary: {_scalar(alert.summary)}\n    description: {_scalar(alert.description)}\n"
    )


def _mapping(labels: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{name}: {_scalar(text)}" for name, text in labels.items()) + "}"


def _scalar(text: str) -> str:
    """Text as a string of YAML, which those of JSON are."""
    return json.dumps(text)
