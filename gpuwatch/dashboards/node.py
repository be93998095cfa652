"""The dashboard of a node: its GPUs, who has them, and how they are."""

from __future__ import annotations

from typing import Final

from gpuwatch.dashboards import links
from gpuwatch.dashboards.board import Board, Panel, Section
from gpuwatch.dashboards.colours import STATES
from gpuwatch.dashboards.panels import Ask, graph, numbers, verdicts
from gpuwatch.dashboards.present import holders
from gpuwatch.dashboards.promql import RUN, is_so, now, rate, verdict_numbers
from gpuwatch.dashboards.variables import GPU, NODE, gpu, node

_STATE_SECONDS: Final = "gpuwatch_gpu_state_seconds_total"
_DEVICE: Final = "gpu, uuid"
_ASKED: Final = (NODE, GPU)


def one_node() -> Board:
    """Of the GPUs that are chosen."""
    sections = [
        Section("Who has the GPUs", [*_numbers(), holders("Now", *_ASKED), _judged(), _users(), _states()]),
        Section("How they are", [*_use(), *_condition()]),
        Section("The machine", _machine()),
    ]
    why = "The GPUs of a node: who has them, what they do, and how they are."
    return Board(links.NODE, "GPUs: node", why, [node(), gpu()], sections, since="now-6h", refresh="1m", snoozed=_ASKED)


def _numbers() -> list[Panel]:
    up = now("gpuwatch_gpu_up", *_ASKED, by=_DEVICE)
    held = f"count by (gpu, uuid) ({now('gpuwatch_run_gpu_memory_bytes', *_ASKED, by=RUN + ', uuid')})"
    watts = now("gpuwatch_gpu_power_watts", *_ASKED, by=_DEVICE)
    return [
        numbers("GPUs", "", Ask(f"count({up})"), width=6),
        numbers("GPUs that answer", "", Ask(f"sum({up})"), width=6),
        numbers("GPUs that somebody holds", "", Ask(f"count({held})"), width=6),
        numbers("Power now", "", Ask(f"sum({watts})"), unit="watt", width=6),
    ]


def _judged() -> Panel:
    why = "By the agent, once a minute. A line is a run on a GPU, for as long as it is there."
    return verdicts("Verdicts", why, Ask(verdict_numbers(*_ASKED, by=RUN), "GPU {{gpu}}: {{user}}, {{run}}"))


def _users() -> Panel:
    held = rate("gpuwatch_run_gpu_held_seconds_total", *_ASKED, by=f"{RUN}, uuid")
    why = "Shared GPUs are divided among those who hold them."
    return graph("GPUs held, by person", why, Ask(f"sum by (user) ({held})", "{{user}}"), stacked=True,
                 link=links.of_series("user"))  # fmt: skip


def _states() -> Panel:
    asks = [
        Ask(f"sum({rate(_STATE_SECONDS, *_ASKED, is_so('state', state), by=_DEVICE)})", word)
        for state, (word, _) in STATES.items()
    ]
    return graph("GPUs, by what becomes of their time", "", *asks, stacked=True)


def _use() -> list[Panel]:
    busy = rate("gpuwatch_gpu_busy_seconds_total", *_ASKED, by=_DEVICE)
    stray = rate("gpuwatch_gpu_unattributed_busy_seconds_total", *_ASKED, by=_DEVICE)
    return [
        graph("Use", "Part of the time with a kernel running.", Ask(busy, "GPU {{gpu}}"), unit="percentunit", top=1),
        graph("SMs at work", "Where the GPU tells, which is on Hopper and newer.",
              Ask(now("gpuwatch_gpu_sm_active_ratio", *_ASKED, by=_DEVICE), "GPU {{gpu}}"), unit="percentunit", top=1),
        graph("Used by nobody who is known", "Busy time that is charged to no run.", Ask(stray, "GPU {{gpu}}"),
              unit="percentunit"),
        graph("Memory", "", Ask(now("gpuwatch_gpu_memory_used_bytes", *_ASKED, by=_DEVICE), "GPU {{gpu}}"),
              unit="bytes"),
    ]  # fmt: skip


def _condition() -> list[Panel]:
    throttled = rate("gpuwatch_gpu_throttle_seconds_total", *_ASKED, by=f"{_DEVICE}, reason")
    errors = rate("gpuwatch_gpu_ecc_errors_total", *_ASKED, by=f"{_DEVICE}, kind")
    return [
        graph("Power", "And the most that the driver lets each draw.",
              Ask(now("gpuwatch_gpu_power_watts", *_ASKED, by=_DEVICE), "GPU {{gpu}}"),
              Ask(f"max({now('gpuwatch_gpu_power_limit_watts', *_ASKED, by=_DEVICE)})", "limit"), unit="watt"),
        graph("Temperature", "", Ask(now("gpuwatch_gpu_temperature_celsius", *_ASKED, by=_DEVICE), "GPU {{gpu}}"),
              unit="celsius"),
        graph("Clocks held down", "Part of the time, by reason. Several can hold at once.",
              Ask(f"{throttled} > 0", "GPU {{gpu}}: {{reason}}"), unit="percentunit"),
        graph("SM clock", "", Ask(now("gpuwatch_gpu_sm_clock_hertz", *_ASKED, by=_DEVICE), "GPU {{gpu}}"),
              unit="hertz"),
        graph("Memory errors", "By the second.", Ask(f"{errors} > 0", "GPU {{gpu}}: {{kind}}"), width=24),
    ]  # fmt: skip


def _machine() -> list[Panel]:
    cores = rate("gpuwatch_host_cpu_seconds_total", NODE, by="mode")
    used = now("gpuwatch_host_memory_used_bytes", NODE, by="node")
    whole = now("gpuwatch_host_memory_total_bytes", NODE, by="node")
    return [
        graph("CPU cores, by mode", "", Ask(cores, "{{mode}}"), stacked=True),
        graph("Memory of the machine", "", Ask(used, "used"), Ask(whole, "there is"), unit="bytes"),
    ]
