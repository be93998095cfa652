"""The dashboard of the whole team: what became of all GPU time, who had it, and what is wasted now."""

from __future__ import annotations

from typing import Final

from gpuwatch.dashboards import links
from gpuwatch.dashboards.board import Board, Panel, Section
from gpuwatch.dashboards.colours import STATES
from gpuwatch.dashboards.panels import HALF, WIDE, Ask, Column, by_day, graph, numbers, rows
from gpuwatch.dashboards.present import wasted
from gpuwatch.dashboards.promql import (
    NOT_SERVICES,
    RANGE,
    SERVICES,
    SINGLE_RUNS,
    STEP,
    STEP_SECONDS,
    added,
    added_after,
    hours,
    is_so,
    rate,
    ratio,
    rest,
    selected,
    share,
)
from gpuwatch.dashboards.ranks import KINDS, columns, use
from gpuwatch.dashboards.variables import price, priced
from gpuwatch.report import recorded

_PEOPLE: Final = 25
_RUNS: Final = 10
_NODES: Final = 25
_STATE_SECONDS: Final = "gpuwatch_gpu_state_seconds_total"
_PAID: Final = added(recorded.STATES)
_DAYS: Final = "Days begin at midnight by the clock of the dashboard."


def team() -> Board:
    """The first dashboard that one opens."""
    sections = [
        Section("What became of all GPU time", [*_headline(), *_course()]),
        Section("Now", [_states_now(), wasted("Held and not used, now")]),
        Section("Who had it", [*_people(), _runs()]),
        Section("Services, whose trade it is to wait", [_services()]),
        Section("Where", [_nodes()], folded=True),
    ]
    why = "What became of all GPU time, who had it, and what is wasted now."
    return Board(links.TEAM, "GPUs: team", why, [price()], sections)


def _of_state(state: str, over: str = RANGE) -> str:
    return added(recorded.STATES, is_so("state", state), over=over)


def _headline() -> list[Panel]:
    shares = [Ask(share(_of_state(state), _PAID), word) for state, (word, _) in STATES.items()]
    idle = hours(_of_state("idle"))
    headroom = ratio(rest(_PAID, _of_state("unavailable")), _of_state("active"))
    return [
        numbers("All GPU time", "The five things that a GPU-hour can become: they are all that was paid.", *shares,
                unit="percentunit", decimals=0, width=HALF),
        numbers("GPU-hours paid", "A GPU counts from when it was first seen, a MIG instance by its part of one.",
                Ask(hours(_PAID)), unit="locale", decimals=0, width=3),
        numbers("GPU-hours idle", "Somebody held the GPU and did not use it.", Ask(idle),
                unit="locale", decimals=0, width=3),
        numbers("Idle cost", "At the price above. There is none where that is 0.", Ask(priced(idle)),
                unit="locale", decimals=0, width=3),
        numbers("Headroom", "How many times as much could have run on the GPUs that were in service.", Ask(headroom),
                unit="suffix:x", decimals=1, width=3),
    ]  # fmt: skip


def _course() -> list[Panel]:
    means = [Ask(f"{_of_state(state, STEP)} / {STEP_SECONDS}", word) for state, (word, _) in STATES.items()]
    idle = hours(added_after(recorded.STATES, 'state="idle"'))
    return [
        graph("GPUs, by what became of their time", "Means of each step.", *means, stacked=True, at_least="2m"),
        by_day("GPU-hours held idle, by day", _DAYS, Ask(idle, "held idle"), unit="locale", width=6),
        by_day("Idle cost, by day", f"At the price above. {_DAYS}", Ask(priced(idle), "cost"), unit="locale", width=6),
    ]


def _states_now() -> Panel:
    size = "* on (node, uuid) group_left () max by (node, uuid) (gpuwatch_gpu_capacity_ratio)"
    asks = [
        Ask(f"sum({rate(_STATE_SECONDS, is_so('state', state), by='node, uuid')} {size})", word)
        for state, (word, _) in STATES.items()
    ]
    return numbers("GPUs", "Whole ones, by the last few scrapes.", *asks, decimals=1, width=WIDE)


def _people() -> list[Panel]:
    found = use(KINDS, NOT_SERVICES, by="user")
    why = f"The first {_PEOPLE}. Without services. Use is busy by held; headroom is held by busy."
    return [
        rows(title, why, "user", *columns(found, by="user", first=f"topk({_PEOPLE}, {rank})"), width=HALF, sort=sort)
        for title, rank, sort in (
            ("People, by hours", found.held, "held h"),
            ("People, by waste", found.idle, "idle h"),
        )
    ]


def _runs() -> Panel:
    worst = f"max_over_time({selected(recorded.WORST_RUN, SINGLE_RUNS)}[{RANGE}])"
    services = f"last_over_time({selected(recorded.RUN_HELD, SERVICES)}[{RANGE}])"
    run = "user, project, run"
    idle = f"topk({_RUNS}, max by ({run}) ({worst}) unless on ({run}) {services})"
    why = f"In all of their lives, of each person's worst. The first {_RUNS}, without services."
    return rows(
        "Runs that left most GPU-hours idle", why, run, Column("idle h", hours(idle), "locale", 1), sort="idle h"
    )


def _services() -> Panel:
    found = use(KINDS, SERVICES, by="user, project")
    first = f"topk({_PEOPLE}, {found.held})"
    return rows("Services", "They have no rank.", "user, project", *columns(found, by="user, project", first=first))


def _nodes() -> Panel:
    def of(state: str) -> str:
        return added(recorded.NODE_STATES, is_so("state", state), by="node")

    whole = added(recorded.NODE_STATES, by="node")
    first = f"topk({_NODES}, {of('idle')} + {of('free')})"
    asked = [
        Column("GPU-hours", f"{hours(whole)} and on (node) {first}", "locale", 0),
        *(
            Column(word, f"{ratio(of(state), whole)} and on (node) {first}", "percentunit", 0)
            for state, (word, _) in STATES.items()
        ),
    ]
    why = f"The {_NODES} with most hours that nobody used, held or free."
    return rows("Nodes", why, "node", *asked, sort="GPU-hours")
