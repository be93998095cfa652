"""The recording rules: what a Prometheus server sums up as it goes, so that a month over a fleet is cheap to ask for.

Pure: the rules are data, and their expressions are put together from a few ideas, each of which stands here once.
"""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import indent
from typing import Final, NamedTuple

from gpuwatch.report import recorded

FILE_NAME: Final = "gpuwatch.rules.yml"

_DEVICE: Final = "node, uuid"
_PERSON: Final = "node, user, project"
_RUN: Final = "node, user, project, run"
_RUN_ON_DEVICE: Final = "node, uuid, user, project, run"

_STATES: Final = "gpuwatch_gpu_state_seconds_total"
_JOULES: Final = "gpuwatch_gpu_energy_joules_total"
_UNATTRIBUTED: Final = "gpuwatch_gpu_unattributed_busy_seconds_total"
_HELD: Final = "gpuwatch_user_gpu_held_seconds_total"
_BUSY: Final = "gpuwatch_user_gpu_busy_seconds_total"
_DRAWN: Final = "gpuwatch_user_gpu_energy_joules_total"
_RUN_HELD: Final = "gpuwatch_run_gpu_held_seconds_total"
_RUN_BUSY: Final = "gpuwatch_run_gpu_busy_seconds_total"
_RUN_DRAWN: Final = "gpuwatch_run_gpu_energy_joules_total"
_RUN_SM_ACTIVE: Final = "gpuwatch_run_gpu_sm_active_seconds_total"
_RUN_START: Final = "gpuwatch_run_start_time_seconds"

_HEAD: Final = """\
# gpuwatch's recording rules, written by `gpuwatch rules`: change nothing here, a newer version writes it anew.
#
# What is recorded is what a counter has added in the interval: its newest value in it, less that of the interval
# before, or else the newest of the two hours before. So the pieces add up to what was counted, whenever the scrapes
# were. A counter that fell has begun anew, and its new value is what it added. One of which nothing is known has added
# what it is seen to add: nobody can know how much of its first value is new. `max by` comes first of all, so that a
# second Prometheus, or a node that is scraped at two addresses, changes nothing. Intervals end 10 s ago: by then each
# scrape is over. Seconds are of whole GPUs: those of a MIG instance are weighted by its part of one.

groups:
"""


class Interval(NamedTuple):
    """How often something is recorded, and of which time: all ranges are as PromQL has them.

    They end 10 s ago, when every scrape is over. What came in late would be missed this time and be taken for known the
    next time: of a node that is always scraped right before the rules are evaluated, again and again.
    """

    every: str
    now: str
    before: str
    long_before: str


_LONG: Final = "2h"
"""How long scrapes may be missing before what was counted meanwhile is lost."""
_MINUTE: Final = Interval("1m", "[1m] offset 10s", "[1m] offset 1m10s", f"[{_LONG}] offset 1m10s")
_FIVE_MINUTES: Final = Interval("5m", "[5m] offset 10s", "[5m] offset 5m10s", f"[{_LONG}] offset 5m10s")


class Rule(NamedTuple):
    """A recorded series and how it is made."""

    record: str
    expression: str


class Group(NamedTuple):
    """Rules that are evaluated together, in this order, every so often."""

    name: str
    why: str
    interval: Interval
    rules: tuple[Rule, ...]


def rules_text() -> str:
    """The rules as the YAML file that Prometheus loads."""
    return _HEAD + "".join(map(_group_text, groups()))


def groups() -> tuple[Group, ...]:
    """All recording rules."""
    people = "The record for people and for the bill: from counters that begin at 0 and are never reset."
    runs = (
        "The detail. A run of which nothing is known counts from 0 if it began within the hour, and has not held its\n"
        "GPU for longer than that: one that has was there before, and came back. What is no single run (`short`,\n"
        "`overflow`) has no start, and never counts from 0."
    )
    nodes = "The record for people and for the bill again, by node and model."
    return (
        Group("gpuwatch-people", people, _MINUTE, tuple(_people(_MINUTE))),
        Group("gpuwatch-runs", runs, _FIVE_MINUTES, tuple(_runs(_FIVE_MINUTES))),
        Group("gpuwatch-nodes", nodes, _FIVE_MINUTES, tuple(_nodes(_FIVE_MINUTES))),
    )


def _group_text(group: Group) -> str:
    rules = "".join(
        f"\n- record: {rule.record}\n  expr: |\n{indent(rule.expression, '    ')}\n" for rule in group.rules
    )
    why = indent(group.why, "# ")
    return f"\n{why}\n- name: {group.name}\n  interval: {group.interval.every}\n  rules:\n{indent(rules, '  ')}"


def _people(every: Interval) -> Iterator[Rule]:
    yield Rule(recorded.PEOPLE_HELD, _sum("user, project", _delta(_HELD, _PERSON, every)))
    yield Rule(recorded.PEOPLE_BUSY, _sum("user, project", _delta(_BUSY, _PERSON, every)))
    yield Rule(recorded.PEOPLE_JOULES, _sum("user, project", _delta(_DRAWN, _PERSON, every)))
    states = _delta(_STATES, f"{_DEVICE}, state", every)
    yield Rule(recorded.STATES, _sum("state", _times(states, _capacity(every))))
    unattributed = _delta(_UNATTRIBUTED, _DEVICE, every)
    yield Rule(recorded.UNATTRIBUTED_BUSY, _sum("", _times(unattributed, _capacity(every))))
    yield Rule(recorded.JOULES, _sum("", _delta(_JOULES, _DEVICE, every)))
    yield Rule(recorded.HEARTBEAT, "vector(1)")


def _runs(every: Interval) -> Iterator[Rule]:
    yield Rule(recorded.RUN_HELD, _by_run(_RUN_HELD, every, _capacity(every)))
    yield Rule(recorded.RUN_BUSY, _by_run(_RUN_BUSY, every, _capacity(every)))
    yield Rule(recorded.RUN_JOULES, _by_run(_RUN_DRAWN, every))
    yield Rule(recorded.RUN_SM_ACTIVE, _by_run(_RUN_SM_ACTIVE, every, _capacity(every)))
    yield Rule(recorded.KIND_HELD, f"sum by (user, project, kind) ({recorded.RUN_HELD})")
    yield Rule(recorded.KIND_BUSY, f"sum by (user, project, kind) ({recorded.RUN_BUSY})")
    yield Rule(recorded.KIND_JOULES, f"sum by (user, project, kind) ({recorded.RUN_JOULES})")
    yield Rule(recorded.KIND_SM_ACTIVE, f"sum by (user, project, kind) ({recorded.RUN_SM_ACTIVE})")
    yield Rule(recorded.RUNS_STARTED, _started(every))
    yield Rule(recorded.WORST_RUN, _worst(every))


def _nodes(every: Interval) -> Iterator[Rule]:
    yield Rule(recorded.NODE_PEOPLE_HELD, _delta(_HELD, _PERSON, every))
    yield Rule(recorded.NODE_PEOPLE_BUSY, _delta(_BUSY, _PERSON, every))
    yield Rule(recorded.NODE_PEOPLE_JOULES, _delta(_DRAWN, _PERSON, every))
    model = _info("model", every)
    states = _delta(_STATES, f"{_DEVICE}, state", every)
    yield Rule(recorded.NODE_STATES, _sum("node, model, state", _times(states, _capacity(every), model)))
    yield Rule(recorded.NODE_JOULES, _sum("node, model", _times(_delta(_JOULES, _DEVICE, every), model)))
    unattributed = _delta(_UNATTRIBUTED, _DEVICE, every)
    yield Rule(recorded.NODE_UNATTRIBUTED_BUSY, _sum("node, model", _times(unattributed, _capacity(every), model)))
    size = _latest("gpuwatch_gpu_capacity_ratio", _DEVICE, every.now)
    yield Rule(recorded.NODE_CAPACITY, _sum("node, model", f"{size}\n{model}"))


# What has been added


def _latest(metric: str, by: str, span: str) -> str:
    return f"max by ({by}) (last_over_time({metric}{span}))"


def _delta(metric: str, by: str, every: Interval) -> str:
    return f"{_grown(metric, by, every)}\nor\n{_since_seen(metric, by, every)}"


def _grown(metric: str, by: str, every: Interval) -> str:
    """Of the base the interval before goes first: the longer range does not forget a node whose state was lost."""
    now, before, long_before = (_latest(metric, by, span) for span in (every.now, every.before, every.long_before))
    base = _block(f"{before}\nor\n{long_before}")
    return f"{now}\n- {base} >= 0\nor\n{now}\n< {before}"


def _since_seen(metric: str, by: str, every: Interval) -> str:
    seen = f"last_over_time({metric}{every.now})\n- min_over_time({metric}{every.now})"
    return f"max by ({by}) {_block(seen)}"


def _since_start(comparison: str, every: Interval) -> str:
    """The time that runs which began within the hour held each GPU, where it compares so with the time since then."""
    held = _latest(_RUN_HELD, _RUN_ON_DEVICE, every.now)
    return f"{held}\n{comparison} on ({_RUN}) group_left () (\n  time() - ({_young(_RUN, every)})\n)"


def _young(by: str, every: Interval) -> str:
    return f"min by ({by}) (last_over_time({_RUN_START}{every.now})) > time() - 3600"


# What a device and a run are


def _capacity(every: Interval) -> str:
    return f"* on ({_DEVICE}) group_left ()\n{_latest('gpuwatch_gpu_capacity_ratio', _DEVICE, every.now)}"


def _info(labels: str, every: Interval) -> str:
    """Labels of the device. One of its infos is taken: a card that is called otherwise since now has two."""
    infos = f"group by ({_DEVICE}, {labels}) (last_over_time(gpuwatch_gpu_info{every.now}))"
    return f"* on ({_DEVICE}) group_left ({labels})\ntopk by ({_DEVICE}) (1, {infos})"


def _kinds(every: Interval) -> str:
    infos = f"group by ({_RUN}, kind) (last_over_time(gpuwatch_run_info{every.now}))"
    one = _block(f"1,\n{infos}")
    return f"topk by ({_RUN}) {one}"


# What becomes of runs


def _by_run(metric: str, every: Interval, *factors: str) -> str:
    born = f"{_latest(metric, _RUN_ON_DEVICE, every.now)}\nand {_block(_since_start('<=', every))}"
    grown, seen = (of(metric, _RUN_ON_DEVICE, every) for of in (_grown, _since_seen))
    anyhow = f"group by ({_RUN}) (last_over_time({_RUN_HELD}{every.now}))"
    kinds = _block(f"{_kinds(every)}\nor on ({_RUN})\n{anyhow}")
    kind = f"* on ({_RUN}) group_left (kind)\n{kinds}"
    return _sum(
        "node, gpu, model, user, project, run, kind",
        _times(f"{grown}\nor\n{born}\nor\n{seen}", *factors, _info("gpu, model", every), kind),
    )


def _started(every: Interval) -> str:
    """Each run once, wherever it is; what came back is not counted again."""
    run = "user, project, run"
    known = f"group by ({run}) (last_over_time({_RUN_START}{every.long_before}))"
    returned = _block(_since_start(">", every))
    started = f"{_young(run, every)}\nunless {known}\nunless on ({run}) {returned}"
    return f"count by (user, project) {_block(started)}"


def _worst(every: Interval) -> str:
    """A service is compared with services. What has no info is no single run, and is left out."""
    held, busy = (_latest(metric, _RUN_ON_DEVICE, every.now) for metric in (_RUN_HELD, _RUN_BUSY))
    idle = _times(f"{held}\n- {busy}", _capacity(every), f"* on ({_RUN}) group_left (kind)\n{_kinds(every)}")
    candidates = f"1,\n{_sum('user, project, run, kind', idle)} > 0"
    worst = f"topk by (user, project, kind) {_block(candidates)}"
    return f"max by (user, project, run) {_block(worst)}"


# How it is written


def _block(text: str) -> str:
    return f"(\n{indent(text, '  ')}\n)"


def _sum(by: str, text: str) -> str:
    return f"sum by ({by}) {_block(text)}"


def _times(text: str, *factors: str) -> str:
    return "\n".join([_block(text), *factors])
