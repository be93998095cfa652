"""What the live page says, without a browser: it is there without a script, and says no more than may be said."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from examples import snapshot
from page_scene import ANN, BEN, CAT, DAN, NOW, SERVICE, device, judged, scene
from rig import Agent

from gpuwatch.export.page.document import document
from gpuwatch.export.page.shapes import steps
from gpuwatch.export.page.tree import node, write
from gpuwatch.export.page.words import hours, percents, span
from gpuwatch.export.pages import Pages
from gpuwatch.model import Drain, Owner, SensorState, Snapshot, States
from gpuwatch.model.course import Course
from gpuwatch.model.judgement import IDLE, OK, SNOOZED, STUCK, Judged
from gpuwatch.units import HOUR


def served(shown: Snapshot, path: str = "/", *, names: str = "all", after: float = 1.0) -> str:
    pages = Pages(lambda: shown, names=names)
    return pages.respond(path, accept="", accept_encoding="", unix=shown.taken_unix + after).body.decode()


def said(shown: Snapshot, **more: Any) -> str:
    """The page's text, with a bar where an element begins or ends."""
    main = re.search(r"<main.*</main>", served(shown, **more), re.DOTALL)
    assert main is not None
    return unescape(re.sub(r"(<[^>]*>)+", "|", main[0]))


def card(shown: Snapshot, gpu: str) -> str:
    """The text of one GPU's card."""
    (found,) = (each for each in elements(document(shown, names="all", is_stale=False)) if each[1].get("id") == gpu)
    return unescape(re.sub(r"(<[^>]*>)+", "|", write(found)))


def elements(tree: list[Any]) -> Iterator[list[Any]]:
    yield tree
    for child in tree[2:]:
        if isinstance(child, list):
            yield from elements(child)


# What there is to see


@pytest.mark.parametrize(
    ("gpu", "words"),
    [
        ("gpu-0", ["in use", "ann", "vit-l14-lr3e-4", "wandb:3k8f3obv", "94% busy in the last 60 min", "71 of 80 GiB"]),
        ("gpu-1", ["idle for 3 h 58 min", "ben", "no minute at 5% or more", "118 of 700 W", "running for 4 h 30 min"]),
        ("gpu-2", ["stuck for 25 min", "cat", "100% busy at 112 W, as if idle"]),
        ("gpu-3", ["not answering", "GPU is lost. On it when it was last seen:", "cat"]),
        ("gpu-4", ["|free|", "Nobody holds it."]),
        ("gpu-5", ["out of service", "a new fan, for 1 h 30 min"]),
        ("gpu-6", ["waiting for requests", "little used", "llama"]),
        ("gpu-7", ["snoozed", "meant for 89 min more, says ann: labels"]),
        ("gpu-8", ["reserved for 50 min", "allocated for 50 min without a process"]),
        ("gpu-9", ["kept warm for 2 h 12 min"]),
        ("gpu-10", ["unknown", "2 processes that cannot be read"]),
        ("gpu-11", ["in use", "short runs", "9 GiB"]),
    ],
)
def test_a_card_says_who_and_how(gpu: str, words: list[str]) -> None:
    text = card(scene(), gpu)
    for word in words:
        assert word in text


def test_at_a_glance_there_are_the_free_and_the_wasted() -> None:
    text = said(scene())
    for tile in (
        "|4| in use|0|6|7|11|",
        "|4| wasted|1|2|8|9|",
        "|1| free|4|",
        "|1| out of service|5|",
        "|2| unknown|3|10|",
    ):
        assert tile in text
    bare = said(replace(scene(), devices=(device(4, 0.0, 0, 70),)))
    assert "|0| in use|" in bare
    assert "out of service" not in bare.partition("The last 7 days")[0]


def test_a_gpu_is_as_well_used_as_by_its_best_run() -> None:
    shown = replace(
        scene(), judged=Judged({("GPU-1", BEN): judged(IDLE, HOUR, "x"), ("GPU-1", DAN): judged(OK, 0, "y")})
    )
    shown = replace(shown, holding={("GPU-1", BEN): 1, ("GPU-1", DAN): 1})
    assert "|in use|" in card(shown, "gpu-1")


def test_a_service_is_wasted_only_where_it_is_stuck() -> None:
    shown = replace(scene(), holding={("GPU-1", SERVICE): 1})
    assert "wasted" not in card(replace(shown, judged=Judged({("GPU-1", SERVICE): judged(IDLE, 9e4, "x")})), "gpu-1")
    assert "stuck for 15 min" in card(
        replace(shown, judged=Judged({("GPU-1", SERVICE): judged(STUCK, 900, "x")})), "gpu-1"
    )


def test_a_run_that_pauses_is_ok_and_its_clock_is_told() -> None:
    verdict = judged(OK, 0, "80% busy in the last 60 min")._replace(idle_seconds=7 * 60.0)
    shown = replace(scene(), judged=Judged({("GPU-0", ANN): verdict}), holding={("GPU-0", ANN): 1 << 30})
    assert "80% busy in the last 60 min, idle for 7 min; 1 GiB" in card(shown, "gpu-0")


def test_a_gpu_that_is_repaired_is_out_of_service_though_it_does_not_answer() -> None:
    out = Drain(NOW - HOUR, "a new fan", "root")
    shown = replace(scene(), devices=tuple(replace(one, drain=out) for one in scene().devices))
    for word in ("out of service", "GPU is lost", "a new fan, for 1 h"):
        assert word in card(shown, "gpu-3")
    assert "Out of service: a new fan, for 1 h" in card(shown, "gpu-0")
    shown = replace(shown, holding={("GPU-2", CAT): 1, ("GPU-8", CAT): 1})
    assert "|cat|reading|2|" in said(shown)  # and GPU 3 is no GPU that cat has now


def test_two_gpus_of_one_number_have_a_place_each() -> None:
    """One that has gone keeps its number for a week, and those behind it move up."""
    gone = replace(device(4, 0.0, 0, 70), reading=None)
    gone = replace(gone, info=replace(gone.info, uuid="GPU-gone"))
    tree = document(replace(scene(), devices=(*scene().devices, gone)), names="all", is_stale=False)
    places = [attributes["id"] for _, attributes, *_ in elements(tree) if "id" in attributes]
    assert len(places) == len(set(places))


def test_a_gpu_that_draws_nothing_has_a_card() -> None:
    for limit, text in ((None, "0 W"), (0.0, "0 W"), (700.0, "0 of 700 W")):
        (view,) = (one for one in scene().devices if one.info.index == 4)
        assert view.reading is not None
        condition = view.reading.condition._replace(power_limit_watts=limit)
        read = replace(view.reading, power_watts=0.0, condition=condition)
        assert f"|{text}|" in card(replace(scene(), devices=(replace(view, reading=read),)), "gpu-4")


def test_people_are_told_by_what_they_held() -> None:
    text = said(scene())
    rows = re.findall(r"\|(\w+)\|(\w+|-)\|(\d+)\|(\d+)\|([\d,.]+) h\|(\d+) %\|([\d,.]+) h(?=\|)", text)
    assert rows == [
        ("cat", "reading", "3", "2", "667", "54", "306"),
        ("ann", "seeing", "2", "0", "528", "89", "55.6"),
        ("ben", "reading", "1", "1", "167", "7", "156"),
        ("dan", "-", "3", "1", "139", "20", "111"),
    ]


def test_the_week_is_one_strip_of_which_all_is_accounted_for() -> None:
    hour = States(1.5 * HOUR, 0.5 * HOUR, 0.5 * HOUR, 0.0)
    course = Course(hour_unix=NOW // HOUR * HOUR, hours=(*(States() for _ in range(166)), hour, States()))
    text = said(replace(scene(), devices=tuple(device(gpu, 0.0, 0, 70) for gpu in range(4)), course=course))
    assert "4.3 GPU-h: 35 % busy, 12 % held idle, 41 % unknown, 12 % free." in text
    assert "Nothing is recorded yet." in said(replace(scene(), course=Course()))


def test_a_node_without_gpus_says_why() -> None:
    gpu = SensorState(False, 0.0, 0.0, "no driver <here>")
    text = said(replace(snapshot(), devices=(), holding={}, judged=Judged(), sensors={"gpu": gpu}))
    assert "no driver <here>" in text
    assert "No GPU was found." in said(replace(snapshot(), devices=(), sensors={}))


def test_what_a_system_says_need_be_no_text() -> None:
    broken = "/mnt/\udcff\x1b[2J"
    gpu = SensorState(False, 0.0, 0.0, broken)
    assert "|/mnt/[2J|" in said(replace(snapshot(), devices=(), sensors={"gpu": gpu}))
    assert "cannot be read: /mnt/[2J." in said(replace(scene(), strangers_reason=broken))


def test_what_cannot_be_saved_or_is_old_or_simulated_is_told() -> None:
    assert "cannot be saved" in said(replace(scene(), persisted=False))
    assert "This is old: the agent has read nothing since" in said(scene(), after=60)
    assert "SIMULATED|: no GPU" in said(replace(scene(), simulated=True))
    plain = said(scene())
    assert not any(word in plain for word in ("SIMULATED", "This is old", "cannot be saved"))


# Whose names


def test_of_teams_only_their_names_are_shown() -> None:
    for path in ("/", "/api/v1/page"):
        text = served(scene(), path, names="team")
        assert_withheld(text)
        for word in (
            "seeing",
            "reading",
            "no team",
            "a notebook or shell",
            "a batch job",
            "People are shown as their teams",
        ):
            assert word in text


def test_no_names_are_shown_where_none_may_be() -> None:
    for path in ("/", "/api/v1/page"):
        text = served(scene(), path, names="none")
        assert_withheld(text)
        for word in ("seeing", "reading", "no team"):
            assert word not in text
        for word in ("person 1", "person 4", "a service", "short runs", "Names are withheld"):
            assert word in text
    assert "person 1|667" not in said(scene(), names="none")
    assert "|person 1|3|2|667 h|" in said(scene(), names="none")


def assert_withheld(text: str) -> None:
    shown = scene()
    for owner in (ANN, BEN, CAT, DAN, SERVICE):
        run = shown.runs[owner]
        for secret in (owner.user, owner.run, run.name, run.url or owner.run):
            assert not re.search(rf"\b{re.escape(secret)}\b", text), secret
    assert "labels" not in text


# How it is written


def test_the_page_is_whole_without_a_script() -> None:
    text = served(scene())
    assert '<noscript><meta http-equiv="refresh"' in text
    assert "finetune-7b" in text.partition("<script>")[0]


def test_all_of_it_is_small() -> None:
    assert len(served(scene()).encode()) < 100_000


def test_a_tree_is_html_and_json_alike() -> None:
    tree = node("p", "a", None, "", "b<", node("b", 'c"', class_="x", aria_label='"'), "d")
    assert json.loads(json.dumps(tree)) == ["p", {}, "ab<", ["b", {"class": "x", "aria-label": '"'}, 'c"'], "d"]
    assert write(tree) == '<p>ab&lt;<b class="x" aria-label="&quot;">c&quot;</b>d</p>'


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ([], ""),
        ([None, None], ""),
        ([50, 50, 0], "M0 100V50H2V100H3V100Z"),
        ([None, 10, None, 20], "M1 100V90H2V100ZM3 100V80H4V100Z"),
    ],
)
def test_steps_leave_gaps_where_nothing_is_known(values: list[int | None], path: str) -> None:
    assert steps(values) == path


def test_figures_are_written_as_people_do() -> None:
    assert [span(seconds) for seconds in (0, 59, 60, 3600, 5400, 90000, 86400)] == [
        "0 min", "0 min", "1 min", "1 h", "1 h 30 min", "1 d 1 h", "1 d",
    ]  # fmt: skip
    assert [hours(HOUR * number) for number in (0, 0.01, 5.55, 99.9, 1234.5)] == ["0", "<0.1", "5.5", "99.9", "1,234"]
    assert sum(percents([1, 1, 1])) == 100
    assert percents([0, 0]) == [0, 0]


def test_an_owner_that_is_no_single_run_is_not_judged() -> None:
    shown = replace(scene(), holding={("GPU-1", Owner("ben", "", "overflow")): 1}, judged=Judged())
    assert "|in use|" in card(shown, "gpu-1")
    assert "further runs" in card(shown, "gpu-1")


def test_names_are_cut_and_sentences_are_not() -> None:
    run = replace(scene().runs[ANN], name="n" * 200)
    verdict = judged(SNOOZED, 900, "s" * 200)
    text = card(replace(scene(), runs={ANN: run}, judged=Judged({("GPU-0", ANN): verdict})), "gpu-0")
    assert f"|{'n' * 79}…|" in text
    assert "s" * 200 in text


def test_an_agent_goes_by_its_configuration(tmp_path: Path) -> None:
    with Agent(tmp_path, {"LD_LIBRARY_PATH": "", "GPUWATCH_PRIVACY_NAMES": "none"}) as agent:
        assert "Names are withheld here" in agent.get("/").decode()
