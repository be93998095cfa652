"""The evidence, asked of a real Prometheus that has three hours of two nodes: what was counted is what is told."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import pytest
from servers import Prometheus, program, prometheus

from gpuwatch.model.identity import Owner
from gpuwatch.model.judgement import IDLE, STUCK, RunNow
from gpuwatch.notify.evidence import Asking
from gpuwatch.notify.runs import runs_of
from gpuwatch.report.prometheus.promql import quoted
from gpuwatch.report.server import Server
from gpuwatch.units import HOUR, MINUTE

NOW = 1_795_176_000
"""A full minute, at which the last samples are."""
START = NOW - 3 * HOUR
ANN = Owner("ann", "vision", 'wandb:a"\\')
BEN = Owner("ben", "", "slurm:7")
IDLE_SECONDS = 2 * HOUR
UNKNOWN_SECONDS = 600
STUCK_SECONDS = 20 * MINUTE
WATTS = 70.0
Value = Callable[[int], float | None]
"""At a time; None where there is no sample."""


def since(seconds: int, value: float = 1.0) -> Value:
    """That value in the last seconds."""
    return lambda unix: value if unix > NOW - seconds else None


def growing(rate: float, *, until: int = NOW) -> Value:
    """A counter of so much a second, up to some time."""
    return lambda unix: rate * (min(unix, until) - START)


def owned(owner: Owner) -> str:
    return ",".join(f"{name}={quoted(text)}" for name, text in owner._asdict().items())


def series() -> Iterator[tuple[str, str, Value]]:
    """Name, labels, and its course."""
    always = since(4 * HOUR)
    for address in ("a", "b"):  # n1 is scraped twice
        at = f'instance="{address}",node="n1",gpu="0",uuid="GPU-1"'
        run = f'instance="{address}",node="n1",{owned(ANN)}'
        yield "gpuwatch_build_info", f'instance="{address}",node="n1",version="1"', always
        yield "gpuwatch_gpu_info", f'{at},model="H100"', always
        yield "gpuwatch_gpu_capacity_ratio", at, since(4 * HOUR, 0.5)
        yield "gpuwatch_gpu_energy_joules_total", at, growing(WATTS)
        yield "gpuwatch_gpu_state_seconds_total", f'{at},state="idle"', growing(1.0, until=NOW - UNKNOWN_SECONDS)
        yield "gpuwatch_gpu_state_seconds_total", f'{at},state="unknown"', _unknown
        yield "gpuwatch_run_verdict", f'{at},{owned(ANN)},verdict="idle"', since(HOUR)
        yield "gpuwatch_run_gpu_idle_seconds", f"{at},{owned(ANN)}", since(HOUR, IDLE_SECONDS)
        yield "gpuwatch_run_gpu_memory_bytes", f"{at},{owned(ANN)}", since(4 * HOUR, 2.0**30)
        yield "gpuwatch_run_gpu_held_seconds_total", f"{at},{owned(ANN)}", growing(0.5, until=NOW - UNKNOWN_SECONDS)
        yield "gpuwatch_run_gpu_busy_seconds_total", f"{at},{owned(ANN)}", growing(0.25, until=NOW - IDLE_SECONDS)
        yield "gpuwatch_run_info", f'{run},name="resnet",kind="batch",url="https://w/a",batch_job="",group="g"', always
        yield "gpuwatch_run_start_time_seconds", run, since(4 * HOUR, float(START))
        yield "gpuwatch_run_cpu_seconds_total", run, growing(1.5)
    at = 'node="n2",gpu="3",uuid="GPU-2"'
    yield "gpuwatch_build_info", 'node="n2",version="1"', always
    yield "gpuwatch_run_verdict", f'{at},{owned(BEN)},verdict="stuck"', since(STUCK_SECONDS)
    yield "gpuwatch_run_verdict", f'{at},{owned(BEN)},verdict="ok"', _before_stuck
    yield "gpuwatch_build_info", 'node="n3",version="1"', lambda unix: 1.0 if unix < NOW - HOUR else None
    yield "gpuwatch_run_verdict", f'node="n3",gpu="0",uuid="GPU-3",{owned(ANN)},verdict="idle"', _before_hour


def _unknown(unix: int) -> float:
    return max(0.0, unix - (NOW - UNKNOWN_SECONDS))


def _before_stuck(unix: int) -> float | None:
    return 1.0 if unix <= NOW - STUCK_SECONDS and unix < NOW - 6 * MINUTE else None


def _before_hour(unix: int) -> float | None:
    return 1.0 if unix < NOW - HOUR else None


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("prometheus")
    rows: dict[str, list[str]] = {}
    for name, labels, value in series():
        for unix in range(START, NOW + 1, MINUTE):
            if (number := value(unix)) is not None:
                rows.setdefault(name, []).append(f"{name}{{{labels}}} {number} {unix}\n")
    text = folder / "past.om"
    heads = {name: f"# TYPE {name} unknown\n" for name in rows}
    text.write_text("".join(heads[name] + "".join(rows[name]) for name in rows) + "# EOF\n", encoding="utf-8")
    command = [program("promtool"), "tsdb", "create-blocks-from", "openmetrics", str(text), str(folder / "data")]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    with prometheus(folder, None) as running:
        yield running


def asking(server: Prometheus) -> Asking:
    return Asking(Server(f"http://127.0.0.1:{server.port}"), NOW)


def run_of(server: Prometheus, owner: Owner) -> RunNow:
    (run,) = runs_of(asking(server).evidence([owner.user]), NOW)
    assert run.owner == owner
    return run


def test_what_is_idle_has_the_figures_of_the_time_in_which_it_is(server: Prometheus) -> None:
    (held,) = run_of(server, ANN).devices
    assert (held.gpu, held.model, held.capacity, held.memory_bytes) == ("0", "H100", 0.5, 2**30)
    judged = held.judgement
    assert (judged.verdict, judged.idle_seconds, judged.mean_use) == (IDLE, IDLE_SECONDS, 0.0)
    assert judged.since_unix == NOW - IDLE_SECONDS - UNKNOWN_SECONDS
    assert judged.wasted_seconds == pytest.approx(IDLE_SECONDS / 2)  # it has half of a shared GPU
    assert judged.mean_watts == pytest.approx(WATTS)
    assert judged.coverage == pytest.approx((IDLE_SECONDS - UNKNOWN_SECONDS) / (IDLE_SECONDS + UNKNOWN_SECONDS))


def test_a_run_has_what_is_known_of_it(server: Prometheus) -> None:
    run = run_of(server, ANN)
    assert (run.node, run.name, run.kind, run.url, run.group) == ("n1", "resnet", "batch", "https://w/a", "g")
    assert run.started_unix == START
    assert run.cpu_cores == pytest.approx(1.5)
    assert run.held_gpu_seconds == pytest.approx(0.5 * 0.5 * (3 * HOUR - UNKNOWN_SECONDS))
    assert run.busy_gpu_seconds == pytest.approx(0.5 * 0.25 * HOUR)


def test_what_is_stuck_is_so_since_before_it_was_said(server: Prometheus) -> None:
    (held,) = run_of(server, BEN).devices
    assert held.judgement.verdict == STUCK
    assert held.judgement.wasted_seconds == pytest.approx(STUCK_SECONDS + 10 * MINUTE, abs=MINUTE)
    assert (held.judgement.mean_use, held.judgement.mean_watts, held.judgement.coverage) == (None, None, 0.0)


def test_a_node_that_says_nothing_now_is_not_seen(server: Prometheus) -> None:
    assert asking(server).unseen() == {"n3"}


def test_nobody_else_is_asked_about(server: Prometheus) -> None:
    assert runs_of(asking(server).evidence(["eve"]), NOW) == ()
