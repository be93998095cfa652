"""Exact: a random minute of eight shared GPUs, played to installed agents, and their totals against the trace's truth.

The agents look before the trace begins and after it ends, when nothing is held: so the whole trace is accounted, and no
boundary takes part in the comparison. Two agents look at the same trace on two stand-ins, at 1 s and at 5 s.

What an owner should be charged is the device's true trace divided by the published rule, between the looks that the
agent took, by what the driver can tell of a process: whole percents. By its true use it is told beside, without a
limit: of a process that uses 10.4 % all the time no agent can know the 0.4.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from rig import Agent, Exposition, total
from standin.driver import StandIn, boottime_us
from standin.trace import Share, Trace, random_trace, shared_fraction

from benchmarks.launches import USER_IDS, launches
from benchmarks.report import Figure, Options
from benchmarks.truth import CHARGES, STATES, charged, divide, newest_sample, percent, stretches

SECONDS: Final = 60.0
SLOTS: Final = 24
INTERVALS: Final = (1.0, 5.0)
EXACT_PERCENT: Final = 0.5
LAWS_PERCENT: Final = 0.1
_LEAD_SECONDS: Final = 6.0
"""Before trace zero: time for the agents to start and to look once."""
_TAIL_SECONDS: Final = max(INTERVALS) + 1.5
"""After the trace: each agent looks once more, at a time in which nothing is held."""
_JUST_BEFORE: Final = 1e-6


class Played(NamedTuple):
    """What one agent published of the trace, and when it looked at each GPU (trace time, seconds)."""

    interval: float
    exposition: Exposition
    looks: Sequence[Sequence[float]]


def run(options: Options) -> list[Figure]:
    """Figures of one seed at both intervals."""
    trace = random_trace(options.seed, seconds=SECONDS, slots=SLOTS)
    figures = [Figure("held time that is not shared", 1 - shared_fraction(trace), "", 0.5)]
    for played in _play(trace):
        figures += _judge(trace, played)
    return figures


def _play(trace: Trace) -> list[Played]:
    with ExitStack() as stack:
        pids = stack.enter_context(launches(SLOTS, user_ids=USER_IDS))
        zero_us = boottime_us() + round(_LEAD_SECONDS * 1e6)
        pairs = []
        for interval in INTERVALS:
            folder = Path(stack.enter_context(TemporaryDirectory()))
            driver = stack.enter_context(StandIn(folder, trace))
            for slot, pid in enumerate(pids):
                driver.set_pid(slot, pid)
            driver.start(zero_us)
            pairs.append((driver, stack.enter_context(Agent(folder, driver.environment(), interval=interval))))
        time.sleep((zero_us - boottime_us()) / 1e6 + SECONDS + _TAIL_SECONDS)
        return [_look(driver, agent, interval) for (driver, agent), interval in zip(pairs, INTERVALS, strict=True)]


def _look(driver: StandIn, agent: Agent, interval: float) -> Played:
    """Scrape, and leave out the looks that came after what was scraped.

    Raises:
        RuntimeError: the agent did not look at a GPU both before the trace and after it.
    """
    exposition = agent.scrape()
    read_at = total(exposition, "gpuwatch_last_sample_timestamp_seconds", sensor="gpu") - driver.epoch_us / 1e6
    gpus = range(len(driver.trace.gpus))
    looks = [[at for at in driver.queries(gpu) if at <= read_at + interval / 2] for gpu in gpus]
    if any(not of or of[0] > 0.0 or of[-1] < SECONDS + driver.trace.sample_period for of in looks):
        raise RuntimeError(f"the agent at {interval:g} s did not look before the trace's beginning and after its end")
    return Played(interval, exposition, looks)


def _judge(trace: Trace, played: Played) -> Iterator[Figure]:
    at = f"{played.interval:g} s: "
    devices = [_device_errors(trace, played, gpu) for gpu in range(len(trace.gpus))]
    for name in devices[0]:
        limit = EXACT_PERCENT if name.startswith("device") else LAWS_PERCENT
        yield Figure(f"{at}{name}, worst GPU", max(of[name] for of in devices), "%", limit)
    for (name, limit_or_none), of_owners in _owner_errors(trace, played).items():
        yield Figure(f"{at}{name}, worst owner", max(of_owners), "%", limit_or_none)
        yield Figure(f"{at}{name}, mean owner", mean(of_owners), "%")
    by_all, by_own = zip(*_held_errors(trace, played), strict=True)
    yield Figure(f"{at}held, error by each start or stop, worst", max(by_all), "intervals", 1.0)
    yield Figure(f"{at}held, error by each own start or stop, worst", max(by_own), "intervals")


def _device_errors(trace: Trace, played: Played, gpu: int) -> dict[str, float]:
    """Errors of one device in percent, by what they are of."""
    found, looks = played.exposition, played.looks[gpu]
    at = {"gpu": str(gpu)}
    elapsed = newest_sample(trace, looks[-1]) - looks[0]
    states = {state: total(found, "gpuwatch_gpu_state_seconds_total", state=state, **at) for state in STATES}
    busy = total(found, "gpuwatch_gpu_busy_seconds_total", **at)
    joules = total(found, "gpuwatch_gpu_energy_joules_total", **at)
    owned = {what: total(found, f"gpuwatch_run_gpu_{what}_total", **at) for what in CHARGES}
    stray = {what: total(found, f"gpuwatch_gpu_unattributed_{what}_total", **at) for what in CHARGES[1:]}
    return {
        "device busy": percent(busy, trace.busy(gpu, 0.0, SECONDS)),
        "device joules": percent(joules, trace.joules(gpu, looks[0], looks[-1])),
        "law 1, states against elapsed": percent(sum(states.values()), elapsed),
        "law 1, owners' held against active + idle": percent(owned["held_seconds"], states["active"] + states["idle"]),
        "law 2, busy of owners and unattributed": percent(owned["busy_seconds"] + stray["busy_seconds"], busy),
        "law 3, joules of owners and unattributed": percent(owned["energy_joules"] + stray["energy_joules"], joules),
        "law 5, unknown": 100 * states["unknown"] / elapsed,
    }


def _owner_errors(trace: Trace, played: Played) -> dict[tuple[str, float | None], list[float]]:
    """Errors in percent of what each owner was charged on all GPUs together, by what they are of, with its limit."""
    told = [Share(0.0, 0.0, 0.0)] * SLOTS
    true = list(told)
    for gpu, looks in enumerate(played.looks):
        for stretch in stretches(trace, gpu, looks):
            for due, use in ((told, stretch.told), (true, stretch.busy)):
                for slot, share in divide(stretch, use).items():
                    due[slot] = Share(*map(sum, zip(due[slot], share, strict=True)))
    found = [charged(played.exposition, slot) for slot in range(SLOTS)]
    return {
        ("owner's busy", EXACT_PERCENT): _errors((share.busy for share in found), (share.busy for share in told)),
        ("owner's joules", EXACT_PERCENT): _errors((share.joules for share in found), (share.joules for share in told)),
        ("owner's busy by true shares", None): _errors((share.busy for share in found), (share.busy for share in true)),
    }


def _errors(found: Iterable[float], truth: Iterable[float]) -> list[float]:
    return [percent(*pair) for pair in zip(found, truth, strict=True)]


def _held_errors(trace: Trace, played: Played) -> Iterator[tuple[float, float]]:
    """By slot and GPU: how far held is from the rule in continuous time, in intervals.

    Divided by the starts and stops of all who were there at the time, and by its own.
    """
    for gpu in range(len(trace.gpus)):
        on = [hold for hold in trace.holds if hold.gpu == gpu]
        edges = sorted({edge for hold in on for edge in (hold.start, hold.end)})
        due = trace.split(gpu, [edge - _JUST_BEFORE for edge in edges])
        for slot, share in due.items():
            mine = [hold for hold in on if hold.slot == slot]
            there = [edge for edge in edges if any(hold.start <= edge <= hold.end for hold in mine)]
            error = abs(charged(played.exposition, slot, gpu=str(gpu)).held - share.held) / played.interval
            yield error / len(there), error / (2 * len(mine))
