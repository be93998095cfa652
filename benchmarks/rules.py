"""Rules: what the recording rules cost a real Prometheus, over a generated fleet that is scraped every 15 s.

Each expression is asked for at one instant, as the server does by itself each minute or five. The rules look back two
hours, so there is a little more than that to look at. Those that add up recorded series find none here, and take next
to nothing. What is measured is the CPU of the server: how long an answer takes depends on who else is at work.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple
from urllib.request import urlopen

from rig import parse
from servers import Prometheus, program, prometheus

from benchmarks.report import Figure, Options
from gpuwatch.report.rules import Group, groups
from gpuwatch.units import HOUR, MINUTE

NODES, GPUS, PAIRS, PAIRS_PER_NODE = 100, 8, 200, 10
SCALED_NODES: Final = 1000
_TIMES: Final = 5
"""How often each is asked."""
_SCRAPE: Final = 15
_END: Final = 9210 * 54 * HOUR - MINUTE
"""All of it is before the end of one block."""
_SCRAPES: Final = range(_END - 5 * HOUR // 2, _END + 1, _SCRAPE)
_MODEL: Final = "NVIDIA H100 80GB HBM3"
_STATES: Final = {"active": 9.0, "idle": 4.0, "free": 2.0, "unavailable": 0.0, "unknown": 0.0}
"""Seconds between two scrapes."""
_PEOPLE: Final = {"held_seconds": 12.0, "busy_seconds": 8.0, "energy_joules": 6000.0}
_RUNS: Final = {**_PEOPLE, "sm_active_seconds": 3.0}

Series = tuple[str, float, float]
"""Its name with labels, its first value, and what it grows by from scrape to scrape."""


class Cost(NamedTuple):
    """What a group's expressions cost at one instant."""

    cpu_seconds: float
    samples: int
    most_at_once: int
    """Samples in the server's memory, for one expression."""


def run(options: Options) -> list[Figure]:
    """Figures of one generated fleet."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        series = _write_block(folder, random.Random(options.seed))
        with prometheus(folder, None) as server:
            costs = {group: _measure(server, group) for group in groups()}
    return [
        Figure("nodes", NODES, ""),
        Figure("series", series, ""),
        Figure("samples", series * len(_SCRAPES) / 1e6, "million"),
        *(figure for group, cost in costs.items() for figure in _figures(group, cost)),
        Figure("samples in memory at once, dearest rule", max(cost.most_at_once for cost in costs.values()), ""),
        *_in_all(sum(cost.cpu_seconds / _minutes(group) for group, cost in costs.items())),
    ]


def _figures(group: Group, cost: Cost) -> Iterator[Figure]:
    yield Figure(f"{group.name}, each {group.interval.every}: CPU", cost.cpu_seconds, "s")
    yield Figure(f"{group.name}, each {group.interval.every}: samples read", cost.samples / 1e6, "million")


def _in_all(cpu_seconds: float) -> Iterator[Figure]:
    yield Figure("all groups, each minute: CPU", cpu_seconds, "s")
    scaled = cpu_seconds * SCALED_NODES / NODES
    yield Figure(f"scaled to {SCALED_NODES:,} nodes, each minute: CPU", scaled, "s")
    yield Figure(f"scaled to {SCALED_NODES:,} nodes: CPU of a core", 100 * scaled / MINUTE, "%")


def _minutes(group: Group) -> int:
    return int(group.interval.every.removesuffix("m"))


def _measure(server: Prometheus, group: Group) -> Cost:
    """All in all, as the rules of a group are evaluated one after the other."""
    before = _cpu_seconds(server)
    samples = [_ask(server, rule.expression) for _ in range(_TIMES) for rule in group.rules]
    return Cost(
        (_cpu_seconds(server) - before) / _TIMES,
        sum(asked["totalQueryableSamples"] for asked in samples) // _TIMES,
        max(asked["peakSamples"] for asked in samples),
    )


def _ask(server: Prometheus, expression: str) -> dict[str, int]:
    """What the server tells of the samples that it read."""
    samples: dict[str, int] = server.get("query", query=expression, time=str(_END), stats="true")["stats"]["samples"]
    return samples


def _cpu_seconds(server: Prometheus) -> float:
    with urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=10) as page:
        return parse(page.read().decode())["process_cpu_seconds_total", frozenset()]


def _write_block(folder: Path, rng: random.Random) -> int:
    """How many series there are."""
    text, count = folder / "block.om", 0
    with text.open("w", encoding="utf-8") as file:
        for node in range(NODES):
            for name, first, growth in _node(f"n{node}", rng):
                count += 1
                file.writelines(f"{name} {first + growth * n:.3f} {at}\n" for n, at in enumerate(_SCRAPES))
        file.write("# EOF\n")
    command = [program("promtool"), "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=54h"]
    subprocess.run([*command, str(text), str(folder / "data")], check=True, capture_output=True)
    text.unlink()
    return count


def _node(node: str, rng: random.Random) -> Iterator[Series]:
    pairs = rng.sample(range(PAIRS), PAIRS_PER_NODE)
    for pair in pairs:
        yield from _counters("gpuwatch_user_gpu", _PEOPLE, f'node="{node}",{_pair(pair)}', rng)
    for gpu in range(GPUS):
        device = f'node="{node}",gpu="{gpu}",uuid="GPU-{rng.getrandbits(128):032x}"'
        yield from _device(device, rng)
        yield from _run(node, device, f'{_pair(rng.choice(pairs))},run="slurm:{node}-{gpu}"', rng)


def _device(device: str, rng: random.Random) -> Iterator[Series]:
    yield f'gpuwatch_gpu_info{{{device},model="{_MODEL}",pci="00000000:1B:00.0"}}', 1.0, 0.0
    yield f"gpuwatch_gpu_capacity_ratio{{{device}}}", 1.0, 0.0
    yield from _counters("gpuwatch_gpu", {"energy_joules": 6000.0, "unattributed_busy_seconds": 0.01}, device, rng)
    for state, growth in _STATES.items():
        yield from _counters("gpuwatch_gpu", {"state_seconds": growth}, f'{device},state="{state}"', rng)


def _run(node: str, device: str, owner: str, rng: random.Random) -> Iterator[Series]:
    yield from _counters("gpuwatch_run_gpu", _RUNS, f"{device},{owner}", rng)
    of = f'node="{node}",{owner}'
    yield f"gpuwatch_run_start_time_seconds{{{of}}}", float(_END - rng.randrange(24 * HOUR)), 0.0
    yield f'gpuwatch_run_info{{{of},kind="batch",name="train.py",source="slurm"}}', 1.0, 0.0


def _counters(prefix: str, growth: dict[str, float], labels: str, rng: random.Random) -> Iterator[Series]:
    for name, most in growth.items():
        yield f"{prefix}_{name}_total{{{labels}}}", rng.uniform(0.0, 1e6), rng.uniform(0.5, 1.0) * most


def _pair(number: int) -> str:
    return f'user="user{number // 2}",project="project{number}"'
