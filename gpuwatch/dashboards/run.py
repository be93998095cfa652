"""The dashboard of one run, over all its nodes and GPUs, and beside another."""

from __future__ import annotations

from typing import Final

from gpuwatch.dashboards import links
from gpuwatch.dashboards.board import Board, Panel, Section
from gpuwatch.dashboards.panels import Ask, Column, Line, graph, numbers, rows, verdicts
from gpuwatch.dashboards.present import holders
from gpuwatch.dashboards.promql import RANGE, RECENT, added, now, rate, ratio, selected, verdict_numbers
from gpuwatch.dashboards.promql import RUN as ON_GPU
from gpuwatch.dashboards.ranks import RUNS, columns, use
from gpuwatch.dashboards.variables import EITHER_RUN, EITHER_USER, RUN, USER, price, run, user
from gpuwatch.judge.limits import Limits
from gpuwatch.report import recorded

_ASKED: Final = (USER, RUN)
_EITHER: Final = (EITHER_USER, EITHER_RUN)
_HELD: Final = "gpuwatch_run_gpu_held_seconds_total"
_BUSY: Final = "gpuwatch_run_gpu_busy_seconds_total"
_SM_ACTIVE: Final = "gpuwatch_run_gpu_sm_active_seconds_total"
_JOULES: Final = "gpuwatch_run_gpu_energy_joules_total"
_PLACE: Final = "node, gpu"
_LINE: Final = "{{node}}, GPU {{gpu}}"
_USUAL: Final = "The line is the agents' usual limit; where theirs are set otherwise, the verdicts go by these."


def one_run() -> Board:
    """And another one, to compare with."""
    sections = [
        Section("What it came to", [*_numbers(), _places()]),
        Section("Over time", [_judged(), *_course()]),
        Section("Now", [holders("Now", *_ASKED)]),
        Section("Beside another", _compared()),
    ]
    why = "One run over all its nodes and GPUs, and beside another."
    other = [user("other_user", "Beside a run of"), run("other_run", "the run", whose="other_user")]
    chosen = [user(), run(), *other, price()]
    return Board(links.RUN, "GPUs: run", why, chosen, sections, since="now-24h", refresh="1m", snoozed=_ASKED)


def _numbers() -> list[Panel]:
    found = use(RUNS, *_ASKED)
    sms = ratio(added(recorded.RUN_SM_ACTIVE, *_ASKED), added(recorded.RUN_HELD, *_ASKED))
    places = f"count(sum by ({_PLACE}) (sum_over_time({selected(recorded.RUN_HELD, *_ASKED)}[{RANGE}])) > 0)"
    cores = f"sum({rate('gpuwatch_run_cpu_seconds_total', *_ASKED, by='node, user, project, run')})"
    return [
        numbers("GPU-hours held", "In the time shown.", Ask(found.held), unit="locale", decimals=1, width=3),
        numbers("GPU-hours idle", "Held and not used.", Ask(found.idle), unit="locale", decimals=1, width=3),
        numbers("Use", "Busy by held.", Ask(found.ratio), unit="percentunit", decimals=0, width=3),
        numbers("SMs at work", "Of all of them, over the held time; where the GPUs tell.", Ask(sms),
                unit="percentunit", decimals=0, width=3),
        numbers("kWh", "Of the GPUs.", Ask(found.kwh), unit="locale", decimals=1, width=3),
        numbers("GPUs", "On which it was, on all nodes.", Ask(places), width=3),
        numbers("CPU cores now", "Of late, on all nodes.", Ask(cores), decimals=1, width=3),
        numbers("Memory of its processes", "Of its processes, on all nodes, now.",
                Ask(f"sum({now('gpuwatch_run_memory_bytes', *_ASKED, by='node, user, project, run')})"),
                unit="bytes", width=3),
    ]  # fmt: skip


def _places() -> Panel:
    by = "node, gpu, model"
    found = use(RUNS, *_ASKED, by=by)
    peak = f"max by ({_PLACE}) (max_over_time({selected('gpuwatch_run_gpu_memory_peak_bytes', *_ASKED)}[{RANGE}]))"
    named = f"{peak} * on ({_PLACE}) group_left (model) group by ({by}) ({found.held})"
    asked = columns(found, by=by, first=f"topk(64, {found.held})")
    why = "At most 64 of its GPUs."
    return rows("By GPU", why, by, *asked, Column("most memory", named, "bytes"), sort="held h")


def _judged() -> Panel:
    why = "By the agents, once a minute. A line is one of its GPUs, for as long as the run holds it."
    return verdicts("Verdicts", why, Ask(verdict_numbers(*_ASKED, by=ON_GPU), _LINE))


def _course() -> list[Panel]:
    usual = Limits()
    held, busy, sms, joules = (
        rate(name, *_ASKED, by=f"{_PLACE}, uuid") for name in (_HELD, _BUSY, _SM_ACTIVE, _JOULES)
    )
    clock = now("gpuwatch_run_gpu_idle_seconds", *_ASKED, by=_PLACE)
    memory = now("gpuwatch_run_gpu_memory_bytes", *_ASKED, by=_PLACE)
    return [
        graph("Use of each GPU", f"Busy by held. {_USUAL}", Ask(ratio(busy, held), _LINE), unit="percentunit", top=1,
              line=Line(usual.idle_below), link=links.of_series("node")),
        graph("Idle clock", f"Seen time since it last used the GPU. {_USUAL}", Ask(clock, _LINE), unit="s",
              line=Line(usual.idle_after)),
        graph("SMs at work on each GPU", "Where the GPU tells.", Ask(ratio(sms, held), _LINE),
              unit="percentunit", top=1),
        graph("Power", "As much as is charged to the run.", Ask(joules, _LINE), unit="watt"),
        graph("GPU memory", "Of each.", Ask(memory, _LINE), unit="bytes"),
        graph("CPU cores", "Of its processes on each node, read every 30 s.",
              Ask(rate("gpuwatch_run_cpu_seconds_total", *_ASKED, by="node"), "{{node}}")),
    ]  # fmt: skip


def _compared() -> list[Panel]:
    by = "user, run"
    found = use(RUNS, *_EITHER, by=by)
    busy, held = (
        f"sum by ({by}) (max by ({labels}) (rate({selected(name, *_EITHER)}[{RECENT}])))"
        for name, labels in ((_BUSY, f"{ON_GPU}, uuid"), (_HELD, f"{ON_GPU}, uuid"))
    )
    return [
        rows("Both", "In the time shown.", by, *columns(found, by=by, first=f"topk(10, {found.held})")),
        graph("Use of both", "Busy by held, over all GPUs of each.", Ask(ratio(busy, held), "{{run}}"),
              unit="percentunit", top=1, link=links.of_series("run")),
        graph("GPUs of both", "Held.", Ask(held, "{{run}}"), link=links.of_series("run")),
    ]  # fmt: skip
