"""A fleet's record in real Prometheus servers: the figures of a day against its truth, with rules and without them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import fleet
import pytest
from fleet import DAY, EVE, HOSTILE, HOUR, MIDNIGHT, Job, truth
from fleet_server import readings, records, records_of_two

from gpuwatch.model.history import Fleet, Source, Window
from gpuwatch.model.identity import Owner
from gpuwatch.report.prometheus import open_prometheus
from gpuwatch.report.server import Server

WHOLE_DAY = Window(MIDNIGHT, MIDNIGHT + DAY)
NOW = float(MIDNIGHT + DAY)
SCRAPES_LOST = 120.0
"""Seconds: at both edges of a window a counter is known up to its last scrape."""


class Servers(NamedTuple):
    """By port."""

    raw: int
    recorded: int
    twice: int


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder: Path = tmp_path_factory.mktemp("fleet")
    with (
        readings(folder / "raw") as raw,
        records(folder / "recorded", raw) as recorded,
        records_of_two(folder / "twice") as twice,
    ):
        yield Servers(raw.port, recorded.port, twice.port)


def opened(port: int, *, now: float = NOW) -> Source:
    return open_prometheus(Server(url=f"http://127.0.0.1:{port}"), now_unix=now)


@pytest.fixture(params=["raw", "recorded"])
def source(request: pytest.FixtureRequest, servers: Servers) -> Source:
    return opened(getattr(servers, request.param))


def close(found: float, true: float, *, seconds: float = SCRAPES_LOST) -> bool:
    """Within half a percent, but for the edges."""
    return abs(found - true) <= 0.005 * true + seconds


@pytest.mark.parametrize("key", ["user", "project", "node", "run", "kind"])
def test_usage_is_the_truth_by_any_key(source: Source, key: str) -> None:
    found = source.usage(WHOLE_DAY, (key,), {})
    true = truth(lambda job: str(getattr(job, key)))
    assert {values[0] for values in found} == set(true)
    for values, use in found.items():
        held, busy, joules = true[values[0]]
        assert close(use.held, held), (values, use, held)
        assert close(use.busy, busy), (values, use, busy)
        assert close(use.joules, joules, seconds=600 * SCRAPES_LOST), (values, use, joules)


def test_gpus_are_told_by_node_and_index_beside_their_model(source: Source) -> None:
    found = source.usage(WHOLE_DAY, ("gpu", "model"), {})
    true = truth(lambda job: f"{job.node}/{job.gpu}")
    assert {values[0] for values in found} == set(true)
    assert {values for values in found if values[0] == "n3/0:1"} == {("n3/0:1", "H100 MIG 3g")}
    assert all(close(use.held, true[values[0]][0]) for values, use in found.items())


def test_services_are_apart(source: Source) -> None:
    found = source.usage(WHOLE_DAY, ("user",), {"kind": ["service"]})
    assert set(found) == {("svc",)}
    assert close(found["svc",].held, 22 * HOUR)
    assert ("svc",) not in source.usage(WHOLE_DAY, ("user",), {"kind": [""]})


def test_runs_are_counted_once_over_nodes_and_gpus_and_without_short_ones(source: Source) -> None:
    found = source.usage(WHOLE_DAY, ("user",), {})
    counts = {values[0]: use.runs for values, use in found.items()}
    assert counts == {"ann": 2, "ben": fleet.SHORT_RUNS + 1, EVE: 2, "svc": 1}
    assert source.usage(WHOLE_DAY, (), {})[()].runs == sum(counts.values())
    assert source.usage(WHOLE_DAY, ("node",), {})["n1",].runs == 2


def test_activity_of_sms_is_told_of_those_who_have_any(source: Source) -> None:
    found = source.usage(WHOLE_DAY, ("user",), {})
    assert found["ben",].sm_active is None
    ann = found["ann",]
    assert ann.sm_active is not None
    assert close(ann.sm_active, truth(lambda job: job.user)["ann"][1] / 2)


@pytest.mark.parametrize("seconds", [75, 110, 290])
def test_a_window_of_a_minute_or_some_is_told_too(servers: Servers, seconds: int) -> None:
    start = MIDNIGHT + 2 * HOUR + 17
    window, raw = Window(start, start + seconds), opened(servers.raw)
    ann = raw.usage(window, ("user",), {})["ann",]
    assert ann.held == pytest.approx(2 * seconds, abs=2 * fleet.SCRAPE_SECONDS)
    assert ann.busy / ann.held == pytest.approx(0.9, rel=0.01)
    assert ann.sm_active is not None
    assert ann.sm_active / ann.held == pytest.approx(0.45, rel=0.01)
    n1 = raw.fleet(window, ("node",), {})["n1",]
    assert n1.active == pytest.approx(ann.busy, abs=1)
    assert n1.unknown <= 2 * fleet.SCRAPE_SECONDS


@pytest.mark.parametrize(
    ("where", "own"),
    [
        ({"user": [EVE]}, lambda job: job.user == EVE),
        ({"user": [EVE, "ann"], "project": ["a{b}|c"]}, lambda job: job.user == EVE),
        ({"run": [HOSTILE]}, lambda job: job.run == HOSTILE),
        ({"run": [HOSTILE, "wandb:bad"]}, lambda job: job.run in (HOSTILE, "wandb:bad")),
        ({"project": [""], "user": ["ben"]}, lambda job: job.user == "ben" and not job.project),
        ({"node": ["n3", "n1"], "user": ["ann", EVE]}, lambda job: job.user in ("ann", EVE)),
        ({"gpu": ["n1/0"]}, lambda job: (job.node, job.gpu) == ("n1", "0")),
        ({"gpu": ["n1/0", "n3/0:1"], "user": [EVE]}, lambda job: job.run == HOSTILE),
        ({"model": ["A100"], "user": ["ben"]}, lambda job: job.user == "ben"),
        ({"user": ["no|body", ".*"]}, lambda _: False),
        ({"run": [HOSTILE[:-1]]}, lambda _: False),
    ],
    ids=str,
)
def test_filters_are_literal_whatever_people_are_called(
    source: Source, where: dict[str, list[str]], own: Callable[[Job], bool]
) -> None:
    true = truth(lambda job: str(own(job))).get("True", (0.0, 0.0, 0.0))[0]
    assert close(source.usage(WHOLE_DAY, (), where)[()].held, true)


def test_adjoining_windows_add_up(source: Source) -> None:
    whole = source.usage(WHOLE_DAY, ("user",), {})
    parts = [source.usage(Window(MIDNIGHT + start * HOUR, MIDNIGHT + (start + 6) * HOUR), ("user",), {}) for start in
             range(0, 24, 6)]  # fmt: skip
    for values, use in whole.items():
        held = [part[values].held for part in parts if values in part]
        assert close(sum(held), use.held), (values, held)


def test_a_window_of_an_hour_holds_what_was_in_it(source: Source) -> None:
    found = source.usage(Window(MIDNIGHT + 2 * HOUR, MIDNIGHT + 3 * HOUR), ("user",), {})
    assert {values: round(use.held / HOUR, 1) for values, use in found.items()} == {
        ("ann",): 2.0, ("ben",): 1.0, ("svc",): 1.0,
    }  # fmt: skip


def test_what_became_of_the_gpus_is_told_and_what_nobody_saw_is_unknown(source: Source) -> None:
    found = source.fleet(WHOLE_DAY, ("node",), {})
    assert set(found) == {("n1",), ("n2",), ("n3",)}
    n1, n2, n3 = (found[node,] for node in ("n1", "n2", "n3"))
    held, busy, _ = truth(lambda job: job.node)["n1"]
    assert close(n1.active, busy)
    assert close(n1.held, held)
    assert close(n1.free, 48 * HOUR - held)
    assert close(n1.unknown, 0)
    assert close(n1.unattributed_busy, 2 * DAY * 0.001, seconds=2)
    assert close(n2.unavailable, HOUR)
    assert close(n2.unknown, 2 * 2 * HOUR, seconds=4 * SCRAPES_LOST)
    assert close(n3.capacity, DAY)


def test_capacity_is_what_was_there_also_while_it_was_silent(source: Source) -> None:
    for by in ((), ("node",), ("model",), ("gpu",)):
        found = source.fleet(WHOLE_DAY, by, {})
        assert close(sum(one.capacity for one in found.values()), 5 * DAY), by
    assert close(source.fleet(WHOLE_DAY, (), {"gpu": ["n3/0:2"]})[()].capacity, DAY * 4 / 7)
    assert close(source.fleet(WHOLE_DAY, ("gpu",), {"model": ["A100"]})["n2/0",].capacity, DAY)


def test_held_time_of_people_and_of_gpus_is_the_same(source: Source) -> None:
    held = sum(use.held for use in source.usage(WHOLE_DAY, ("user",), {}).values())
    assert close(source.fleet(WHOLE_DAY, (), {})[()].held, held)


def test_the_worst_run_is_the_one_that_wasted_most_in_the_window(source: Source) -> None:
    found = source.worst_runs(WHOLE_DAY, ("user",), {})
    assert {values[0]: run.owner.run for values, run in found.items()} == {
        "ann": "wandb:bad", "ben": "slurm:4711", EVE: "adhoc:long@n3", "svc": "docker:llm@n2",
    }  # fmt: skip
    assert found["ann",].url == fleet.URLS["wandb:bad"]
    assert close(found["ann",].held, 14 * HOUR)
    assert close(found["ann",].busy, 14 * HOUR * 0.05)
    assert source.worst_runs(WHOLE_DAY, (), {})[()].owner.run == "docker:llm@n2"
    assert source.worst_runs(WHOLE_DAY, ("node",), {})["n1",].owner.run == "wandb:bad"
    assert source.worst_runs(WHOLE_DAY, (), {"user": [EVE]})[()].owner.user == EVE


def test_the_worst_run_of_people_is_none_of_a_service(source: Source) -> None:
    people = {"kind": ["batch", "interactive", ""]}
    assert source.worst_runs(WHOLE_DAY, (), people)[()].owner.run == "wandb:bad"
    assert ("svc",) not in source.worst_runs(WHOLE_DAY, ("user",), people)
    assert source.worst_runs(WHOLE_DAY, ("kind",), {})["service",].owner.run == "docker:llm@n2"


def test_the_hours_of_a_day_are_read_as_the_day_is_and_add_up_to_it(source: Source) -> None:
    day = source.fleet(WHOLE_DAY, ("node",), {})
    so_far = len(source.asked)
    hours = [Window(MIDNIGHT + hour * HOUR, MIDNIGHT + (hour + 1) * HOUR) for hour in range(24)]
    found = [source.fleet(hour, ("node",), {}) for hour in hours]
    for node, whole in day.items():
        if node != ("n3",):  # what was counted in its gap is told in the hour after it, which it overfills
            assert sum(hour[node].capacity for hour in found) == pytest.approx(whole.capacity, rel=0.005)
        assert close(sum(hour[node].active for hour in found), whole.active)
    assert len(source.asked) - so_far == 3 * len(hours)


def test_what_two_servers_recorded_counts_once(servers: Servers) -> None:
    one, two = opened(servers.recorded), opened(servers.twice)
    for by in (("user",), ("user", "kind"), ("node",), ("run",)):
        found = two.usage(WHOLE_DAY, by, {})
        assert {values: use.runs for values, use in found.items()} == {
            values: use.runs for values, use in one.usage(WHOLE_DAY, by, {}).items()
        }
        assert sum(use.held for use in found.values()) == pytest.approx(
            sum(use.held for use in one.usage(WHOLE_DAY, by, {}).values()), rel=0.005
        )
    assert two.fleet(WHOLE_DAY, (), {})[()].active == pytest.approx(one.fleet(WHOLE_DAY, (), {})[()].active, rel=0.005)
    assert two.worst_runs(WHOLE_DAY, ("user",), {})["ann",].owner.run == "wandb:bad"
    assert two.name.endswith(", recorded series")


def test_the_extent_names_the_nodes_that_sent_nothing(source: Source) -> None:
    extent = source.extent(WHOLE_DAY)
    assert extent.nodes == ("n1", "n2", "n3", "n4")
    assert extent.missing == ("n4",)
    assert extent.first_unix == pytest.approx(fleet.FIRST, abs=60)
    assert extent.last_unix == pytest.approx(NOW, abs=60)
    late = source.extent(Window(MIDNIGHT + 23 * HOUR, MIDNIGHT + DAY))
    assert late.missing == ("n2", "n4")


def test_before_the_record_and_in_the_future_there_is_nothing(source: Source) -> None:
    for start in (fleet.FIRST - DAY, NOW + HOUR):
        window = Window(start, start + HOUR)
        assert source.usage(window, ("user",), {}) == {}
        assert source.fleet(window, (), {}) == {(): Fleet()}
        assert source.worst_runs(window, ("user",), {}) == {}
        assert source.extent(window).last_unix is None
        assert source.extent(window).first_unix == pytest.approx(fleet.FIRST, abs=60)


def test_a_window_that_is_not_over_ends_now(servers: Servers) -> None:
    now = MIDNIGHT + 4 * HOUR
    source = opened(servers.recorded, now=now)
    window = Window(MIDNIGHT, MIDNIGHT + DAY)
    assert close(source.fleet(window, (), {})[()].capacity, 5 * 4 * HOUR)
    assert close(source.usage(window, ("user",), {})["ann",].held, 2 * 3 * HOUR)


def test_it_says_which_series_it_reads(servers: Servers) -> None:
    raw, recorded = opened(servers.raw), opened(servers.recorded)
    for source in (raw, recorded):
        source.usage(WHOLE_DAY, ("user",), {})
        assert source.name.startswith("Prometheus at http://127.0.0.1:")
        assert not source.simulated
    assert raw.name.endswith(", raw series: no recorded ones (see gpuwatch rules)")
    assert recorded.name.endswith(", recorded series")
    assert not any("increase" in question.text for question in recorded.asked)


def test_recorded_series_that_do_not_cover_the_window_are_left_alone(servers: Servers) -> None:
    source = opened(servers.recorded, now=NOW + 6 * HOUR)
    source.usage(Window(MIDNIGHT, NOW + 6 * HOUR), ("user",), {})
    assert source.name.endswith("raw series: recorded ones cover only 80 % of the window")


@pytest.mark.parametrize("text", ["wandb:bad", "bad", "name of wandb:bad"])
def test_a_run_is_found_by_its_name_in_full_or_without_its_source_or_as_people_call_it(
    source: Source, text: str
) -> None:
    assert source.find_runs(text) == [Owner("ann", "vision", "wandb:bad")]


def test_a_run_is_found_by_its_batch_job_and_nothing_by_a_pattern(source: Source) -> None:
    assert [owner.run for owner in source.find_runs("4711")] == ["slurm:4711"]
    assert source.find_runs(HOSTILE) == [Owner(EVE, "a{b}|c", HOSTILE)]
    assert [source.find_runs(text) for text in ("", ".*", "nope", 'x"} or vector(1)', "\udc80\x00")] == [[]] * 5


def test_a_run_is_told_device_by_device_over_all_its_life(source: Source) -> None:
    record = source.read_run(Owner("ann", "vision", "wandb:good"))
    assert record is not None
    assert record.about is not None
    assert record.about.started_unix == MIDNIGHT + HOUR
    assert record.about.name == "name of wandb:good"
    first, second = record.devices
    assert (first.node, first.gpu, first.uuid, first.model) == ("n1", "0", "GPU-n1-0", "H100")
    assert (first.memory_bytes, first.memory_peak_bytes, first.sm_known) == (80_000_000_000, 11_000_000_000, True)
    assert sum(one.held for one in first.bins) == pytest.approx(5 * HOUR, abs=SCRAPES_LOST)
    assert sum(one.busy for one in second.bins) == pytest.approx(4 * HOUR * 0.9, abs=SCRAPES_LOST)
    assert sum(one.sm_active for one in second.bins) == pytest.approx(4 * HOUR * 0.45, abs=SCRAPES_LOST)
    assert all(one.held <= one.seconds + 1e-6 for one in first.bins)
    assert not [one for one in first.bins if MIDNIGHT + 5.1 * HOUR < one.start_unix < MIDNIGHT + 20.9 * HOUR]
    assert len(first.bins) <= 1000
    assert sum(seconds for _, _, seconds in record.cpu) == pytest.approx(2 * 5 * HOUR, abs=2 * SCRAPES_LOST)


def test_a_run_whose_counters_began_anew_keeps_both_parts(source: Source) -> None:
    record = source.read_run(Owner(EVE, "a{b}|c", "adhoc:long@n3"))
    assert record is not None
    assert sum(one.held for one in record.devices[0].bins) == pytest.approx(2 * HOUR, abs=SCRAPES_LOST)
    assert record.devices[0].capacity == pytest.approx(4 / 7)


def test_a_run_that_nobody_knows_has_no_record(source: Source) -> None:
    assert source.read_run(Owner("ann", "vision", "wandb:nope")) is None


def test_every_question_is_told_with_its_time_and_can_be_asked_again(servers: Servers) -> None:
    source = opened(servers.recorded)
    source.usage(WHOLE_DAY, ("user",), {"user": [EVE]})
    question = source.asked[-1]
    assert question.purpose.startswith("runs, by user")
    assert question.text.splitlines()[0].startswith("# at 2026-09-2")
    assert '\\"' in question.text
    assert question.seconds > 0
