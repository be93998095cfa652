"""What is advised of a run: each piece with its figure where there is evidence, and silence where there is none."""

from __future__ import annotations

from datetime import UTC

import pytest
from runs import GIB, LIMITS, T0, a_run, on_gpu

from gpuwatch.model.history import RunRecord
from gpuwatch.report.run.advice import TOPICS
from gpuwatch.report.run.summary import summarize
from gpuwatch.units import HOUR, MINUTE

HOUR_BUSY = [0.8] * 60
HOUR_IDLE = [0.0] * 60


def advice(record: RunRecord, *, now: float = T0 + 30 * HOUR) -> dict[str, str]:
    """By topic."""
    summary = summarize(record, LIMITS, now_unix=now, zone=UTC)
    assert summary is not None
    told = {piece.topic: piece.text for piece in summary.advice}
    assert list(told) == [topic for topic in TOPICS if topic in told]
    return told


def test_a_run_that_uses_what_it_holds_is_told_nothing() -> None:
    assert advice(a_run(*(on_gpu(str(n), HOUR_BUSY, sm=0.7) for n in range(4)), cores=[4.0] * 60)) == {}


def test_gpus_that_were_never_used_are_named_with_how_many_to_ask_for() -> None:
    used = [on_gpu(str(n), HOUR_BUSY) for n in range(3)]
    told = advice(a_run(*used, on_gpu("3", HOUR_IDLE)))
    assert told["more-than-used"] == (
        "GPU 3 of n7 was never used: in no minute of 1 h over 5 %. Ask for 3 instead of 4."
    )
    told = advice(a_run(used[0], *(on_gpu(str(n), HOUR_IDLE) for n in (1, 2, 3))))
    assert "GPUs 1-3 of n7 were never used" in told["more-than-used"]
    assert "Ask for 1 instead of 4" in told["more-than-used"]


def test_one_use_in_a_minute_is_enough_to_have_needed_a_gpu() -> None:
    once = [0.0] * 30 + [0.06] + [0.0] * 29
    assert "more-than-used" not in advice(a_run(on_gpu("0", HOUR_BUSY), on_gpu("1", once)))


def test_a_run_that_moved_did_not_hold_too_many() -> None:
    """First it was on GPU 0, and after a pause on GPU 1, which never got going: one at a time."""
    record = a_run(on_gpu("0", HOUR_BUSY), on_gpu("1", HOUR_IDLE, start=T0 + 2 * HOUR))
    assert "more-than-used" not in advice(record)


def test_a_run_that_used_none_is_asked_whether_it_needs_any() -> None:
    told = advice(a_run(on_gpu("0", HOUR_IDLE), on_gpu("1", HOUR_IDLE)))
    assert told["never-used"].startswith("GPUs 0, 1 of n7 were never used: in no minute of 1 h over 5 %.")
    assert not told.keys() & {"more-than-used", "idle-at-the-end"}


@pytest.mark.parametrize("minutes", [14, 15])
def test_what_was_held_for_less_than_a_quarter_of_an_hour_is_not_judged(minutes: int) -> None:
    assert ("never-used" in advice(a_run(on_gpu("0", [0.0] * minutes, peak=None)))) == (minutes >= 15)


def test_time_not_seen_is_not_idle_time() -> None:
    """Held for 14 minutes, then not seen for hours, then a minute more: 15 of them are evidence of nothing much."""
    uses = [0.8] * 20 + [0.0] * 10 + [None] * 200 + [0.0] * 5
    assert "idle-at-the-end" not in advice(a_run(on_gpu("0", uses)))


def test_a_run_that_was_idle_when_it_ended_is_told_since_when() -> None:
    told = advice(a_run(on_gpu("0", HOUR_BUSY + HOUR_IDLE), on_gpu("1", HOUR_BUSY + HOUR_IDLE)))
    assert told["idle-at-the-end"] == (
        "Idle for its last 1 h: last busy 2026-09-21 15:14, it held GPUs 0, 1 of n7 until 2026-09-21 16:14. "
        "2.0 GPU-hours went unused."
    )


def test_a_run_that_is_idle_now_is_told_to_end() -> None:
    told = advice(a_run(on_gpu("0", HOUR_BUSY + HOUR_IDLE)), now=T0 + 2 * HOUR)
    assert told["idle-at-the-end"] == (
        "Idle for the last 1 h: last busy 2026-09-21 15:14, and it still holds GPU 0 of n7. "
        "1.0 GPU-hours went unused so far: end it if it has nothing more to do."
    )


@pytest.mark.parametrize(
    "record",
    [
        a_run(on_gpu("0", HOUR_BUSY + HOUR_IDLE), on_gpu("1", HOUR_BUSY * 2)),
        a_run(on_gpu("0", HOUR_IDLE + HOUR_BUSY)),
        a_run(on_gpu("0", HOUR_BUSY + [0.0] * 14)),
        a_run(on_gpu("0", HOUR_BUSY + HOUR_IDLE), kind="service"),
    ],
    ids=["one of its GPUs is in use", "idle before", "not for long", "a service waits"],
)
def test_who_is_not_idle_at_the_end_is_not_told_so(record: RunRecord) -> None:
    assert "idle-at-the-end" not in advice(record)


def test_a_gpu_that_waits_for_one_thread_is_told_by_both_figures() -> None:
    told = advice(a_run(on_gpu("0", [0.4] * 60), cores=[1.02, 0.97] * 30))
    assert told["waits-for-cpu"].startswith(
        "The GPU waits for the CPU: 1 core is at 100 % while its GPU is at 40 %."
    )  # fmt: skip
    ranks = [on_gpu(str(n), [0.4] * 60) for n in range(4)]
    told = advice(a_run(*ranks, cores=[4.1] * 60))
    assert "4 cores are at 100 % while its 4 GPUs are at 40 %" in told["waits-for-cpu"]


@pytest.mark.parametrize(
    ("use", "cores"),
    [(0.4, [4.6] * 60), (0.4, [0.5, 1.5] * 30), (0.4, []), (0.4, [1.0] * 14), (0.9, [1.0] * 60)],
    ids=["several cores", "a core in the mean only", "unknown", "too short", "a thread that waits for its GPU"],
)
def test_no_other_cpu_use_is_taken_for_a_bottleneck(use: float, cores: list[float]) -> None:
    assert "waits-for-cpu" not in advice(a_run(on_gpu("0", [use] * 60), cores=cores))


def test_small_kernels_are_told_where_the_sms_are_known() -> None:
    told = advice(a_run(on_gpu("0", HOUR_BUSY, sm=0.04)))
    assert told["small-kernels"].startswith("Busy 80 % of the time, but with 4 % of the SMs:")


@pytest.mark.parametrize(("use", "sm"), [(0.8, None), (0.8, 0.3), (0.2, 0.01)], ids=["unknown", "well filled", "idle"])
def test_small_kernels_are_not_guessed(use: float, sm: float | None) -> None:
    assert "small-kernels" not in advice(a_run(on_gpu("0", [use] * 60, sm=sm)))


def test_the_straggler_is_named_beside_the_others() -> None:
    ranks = [on_gpu(str(n), HOUR_BUSY) for n in range(4)]
    told = advice(a_run(*ranks, on_gpu("5", [0.3] * 60, node="n8")))
    assert told["straggler"].startswith("GPU 5 of n8 is at 30 % while the others are at 80 %:")


@pytest.mark.parametrize(
    "other",
    [on_gpu("5", [0.6] * 60), on_gpu("5", [0.3] * 60, start=T0 + HOUR), on_gpu("5", [0.3] * 14)],
    ids=["nearly even", "at another time", "not for long"],
)
def test_uneven_is_judged_by_the_time_that_was_shared(other: object) -> None:
    ranks = [on_gpu(str(n), HOUR_BUSY) for n in range(4)]
    assert "straggler" not in advice(a_run(*ranks, other))  # type: ignore[arg-type]


def test_much_memory_left_is_told_by_the_fullest_gpu() -> None:
    told = advice(a_run(on_gpu("0", HOUR_BUSY, peak=11 * GIB), on_gpu("1", HOUR_BUSY, peak=9 * GIB)))
    assert told["much-memory-left"].startswith("Memory peaked at 11 of 80 GiB:")
    assert advice(a_run(on_gpu("0", HOUR_BUSY, peak=11 * GIB), on_gpu("1", HOUR_BUSY, peak=30 * GIB))) == {}
    assert advice(a_run(on_gpu("0", HOUR_BUSY, peak=11 * GIB), on_gpu("1", HOUR_BUSY, peak=None))) == {}


def test_what_is_long_ago_is_told_in_the_bins_that_are_left() -> None:
    told = advice(a_run(on_gpu("0", [0.0] * 5, seconds=HOUR)))
    assert "in no hour of 5 h over 5 %" in told["never-used"]
    assert (
        "in no stretch of 10 min of 1 h 40 min"
        in advice(a_run(on_gpu("0", [0.0] * 10, seconds=10 * MINUTE)))["never-used"]
    )
