"""`/metrics`: the whole output against a golden file, linted by promtool, and whatever a user can put in a label."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from examples import ANN, snapshot
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from rig import parse, total

from gpuwatch.attribute.text import clean
from gpuwatch.export.exposition import Exposition
from gpuwatch.model import Owner, Snapshot

GOLDEN = Path(__file__).parent / "golden"


def render(shown: Snapshot, *, open_metrics: bool = False) -> bytes:
    return Exposition().render(shown, open_metrics=open_metrics)[0]


def scrape(shown: Snapshot) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return parse(render(shown).decode())


@pytest.mark.parametrize(("name", "open_metrics"), [("metrics.prom", False), ("metrics.openmetrics", True)])
def test_the_exposition_is_the_golden_one(name: str, open_metrics: bool) -> None:
    """After a change that is meant: `GOLDEN=write make test`, and read the difference."""
    body = render(snapshot(), open_metrics=open_metrics)
    if os.environ.get("GOLDEN") == "write":
        (GOLDEN / name).write_bytes(body)
    assert body.decode() == (GOLDEN / name).read_text(encoding="utf-8")


def test_promtool_finds_nothing_wrong() -> None:
    if shutil.which("promtool") is None:
        if "CI" in os.environ:
            pytest.fail("promtool is missing: `apt-get install prometheus`")
        pytest.skip("promtool is not installed")
    lint = subprocess.run(
        ["promtool", "check", "metrics"], input=(GOLDEN / "metrics.prom").read_bytes(), capture_output=True, check=False
    )
    assert (lint.returncode, lint.stdout + lint.stderr) == (0, b"")


def test_openmetrics_can_be_parsed() -> None:
    body, content_type = Exposition().render(snapshot(), open_metrics=True)
    families = {family.name: family for family in parse_openmetrics(body.decode())}  # type: ignore[no-untyped-call]
    assert content_type.startswith("application/openmetrics-text")
    assert families["gpuwatch_run_gpu_held_seconds"].type == "counter"


def test_what_is_not_supported_is_absent() -> None:
    plain = snapshot()
    device = plain.devices[0]
    assert device.reading is not None
    condition = device.reading.condition._replace(temperature_celsius=None)
    poor = replace(device, reading=replace(device.reading, power_watts=None, condition=condition))
    exposition = scrape(replace(plain, devices=(poor,), host=None))
    names = {name for name, _ in exposition}
    assert not names & {"gpuwatch_gpu_power_watts", "gpuwatch_gpu_temperature_celsius", "gpuwatch_host_load1"}
    assert "gpuwatch_gpu_power_limit_watts" in names


def test_every_series_has_its_node() -> None:
    exposition = scrape(snapshot())
    assert all(("node", "n7") in labels for _, labels in exposition)


def test_an_ended_run_keeps_its_counters_and_loses_its_gauges() -> None:
    exposition = scrape(replace(snapshot(), holding={}))
    assert total(exposition, "gpuwatch_run_gpu_held_seconds_total", run=ANN.run) == 1900.0
    assert total(exposition, "gpuwatch_run_start_time_seconds", run=ANN.run) == 1_790_000_000.0
    names = {name for name, _ in exposition}
    assert not any(name.startswith("gpuwatch_run_gpu_memory") for name in names)
    assert "gpuwatch_run_memory_bytes" not in names


@pytest.mark.parametrize("open_metrics", [False, True])
def test_what_is_kept_rendered_is_never_stale(open_metrics: bool) -> None:
    exposition = Exposition()
    plain = snapshot()
    less = replace(plain, holding={("GPU-aaaa", ANN): 1})
    grown = replace(plain, totals={key: total._replace(sm_active=1e22) for key, total in plain.totals.items()})
    other = replace(plain, node="n8")
    for shown in (plain, plain, less, grown, plain, other):
        assert exposition.render(shown, open_metrics=open_metrics)[0] == render(shown, open_metrics=open_metrics)


@given(st.text(max_size=200), st.text(max_size=200))
def test_no_name_breaks_the_exposition(user: str, run: str) -> None:
    plain = snapshot()
    owner = Owner(clean(user), "", clean(run))
    exposition = scrape(replace(plain, totals={("GPU-aaaa", owner): plain.totals["GPU-aaaa", ANN]}))
    assert total(exposition, "gpuwatch_run_gpu_held_seconds_total", user=owner.user, run=owner.run) == 1900.0
