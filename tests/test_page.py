"""The live page in a real browser: how it looks, who can use it, what it asks for, and that names are only text."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from browser import Tab, browsing
from listener import Site, serving
from page_scene import ANN, NOW, scene

from gpuwatch.model import Owner

DOCS = Path(__file__).parent.parent / "docs"
AXE = Path(__file__).parent / "axe" / "axe.min.js"
HOSTILE = Owner('<img src=x onerror="alert(1)">\u202e', "</main><script>alert(2)</script>", "adhoc:\"a&lt;'$main`{}")
PICTURES = {"light": (1280, False), "dark": (1280, True), "phone": (390, False)}


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browsing(tmp_path_factory.mktemp("browser")) as one:
        yield one


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as there:
        there.snapshot, there.unix = scene(), NOW + 1
        yield there


def address(site: Site) -> str:
    return f"http://127.0.0.1:{site.port}/"


def text_of(tab: Tab) -> str:
    return str(tab.run("main.innerText"))


@pytest.mark.parametrize("picture", PICTURES)
def test_it_fits_the_window_and_is_photographed(site: Site, tab: Tab, picture: str) -> None:
    width, dark = PICTURES[picture]
    tab.open(address(site), width=width, dark=dark)
    assert tab.run("document.documentElement.scrollWidth") == tab.run("document.documentElement.clientWidth") == width
    paper = tab.run("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(18, 23, 28)" if dark else "rgb(255, 255, 255)")
    image = tab.shoot(highest=2500 if width > 600 else 1500)
    assert image.startswith(b"\x89PNG")
    if os.environ.get("GOLDEN") == "pictures":  # those of the documentation, made anew
        (DOCS / f"page-{picture}.png").write_bytes(image)


@pytest.mark.parametrize("picture", PICTURES)
def test_axe_finds_nothing(site: Site, tab: Tab, picture: str) -> None:
    width, dark = PICTURES[picture]
    tab.open(address(site), width=width, dark=dark)
    tab.call("Runtime.evaluate", expression=AXE.read_text(encoding="utf-8"))
    found = tab.run(
        "axe.run().then(r => JSON.stringify({passes: r.passes.length, violations: r.violations.map(v => "
        "[v.impact, v.id, v.nodes.map(n => n.html.slice(0, 200) + n.failureSummary)])}))"
    )
    result = json.loads(found)
    assert result["violations"] == []
    assert result["passes"] > 20


def test_it_asks_for_itself_and_nothing_else(site: Site, tab: Tab) -> None:
    tab.open(address(site))
    tab.run("look()")
    assert set(tab.requests) == {address(site), f"{address(site)}api/v1/page"}
    assert tab.complaints == []


def test_the_script_draws_what_the_server_wrote(site: Site, tab: Tab) -> None:
    tab.open(address(site))
    first = tab.run("main.outerHTML")
    tab.run("main.replaceChildren()")
    tab.run("look()")
    assert tab.run("main.outerHTML") == first
    assert tab.run("document.querySelectorAll('svg path').length") == tab.run(
        "[...document.querySelectorAll('svg path')].filter(one => one instanceof SVGPathElement).length"
    )


def test_it_brings_itself_up_to_date_and_leaves_the_focus(site: Site, tab: Tab) -> None:
    tab.open(address(site))
    tab.run("document.querySelector('#gpu-0 a').focus()")
    assert "14:04:00" in text_of(tab)
    assert site.snapshot is not None
    devices = site.snapshot.devices[:1]
    site.snapshot = replace(site.snapshot, taken_unix=NOW + 5, devices=devices, holding={("GPU-0", ANN): 1 << 30})
    tab.run("look()")
    assert "14:04:05" in text_of(tab)
    assert tab.run("[...document.querySelectorAll('.card')].map(one => one.id).join()") == "gpu-0"
    assert tab.run("document.activeElement.textContent") == "vit-l14-lr3e-4"
    site.snapshot = scene()
    tab.run("look()")
    assert tab.run("document.querySelectorAll('.card').length") == 12
    assert tab.run("document.activeElement.textContent") == "vit-l14-lr3e-4"


def test_it_rests_while_nobody_sees_it(site: Site, tab: Tab) -> None:
    tab.open(address(site))
    tab.run("window.waits = []; window.setTimeout = (_, ms) => window.waits.push(ms); Date.now = () => 1795183441200")
    tab.run("Object.defineProperty(document, 'hidden', {get: () => true, configurable: true})")
    tab.run("look()")
    assert tab.run("window.waits.length") == 0
    tab.run("delete document.hidden")
    tab.run("look()")
    assert tab.run("window.waits.join()") == "3800"


def test_old_readings_are_said_to_be_old(site: Site, tab: Tab) -> None:
    tab.open(address(site))
    assert "This is old" not in text_of(tab)
    site.unix += 60
    tab.run("look()")
    assert tab.run("document.querySelector('main [role=alert]').textContent") == (
        "This is old: the agent has read nothing since 14:04:00."
    )
    tab.open(address(site))
    assert "This is old" in text_of(tab)


def test_an_agent_that_does_not_answer_is_told(tab: Tab) -> None:
    with serving() as site:
        site.snapshot, site.unix = scene(), NOW + 1
        tab.open(address(site))
        assert tab.run("late.textContent") == ""
    tab.run("look()")
    assert tab.run("late.textContent").startswith("This is old: the agent has not answered since ")
    assert tab.run("getComputedStyle(late).display") == "block"


def test_hostile_names_are_text(site: Site, tab: Tab) -> None:
    assert site.snapshot is not None
    run = replace(site.snapshot.runs[ANN], owner=HOSTILE, name="<b>x</b>", url="javascript:alert(3)")
    site.snapshot = replace(
        site.snapshot, node="<i>n7</i>", holding={("GPU-0", HOSTILE): 1}, runs={HOSTILE: run},
        devices=(replace(site.snapshot.devices[0], problem="<u>"), replace(site.snapshot.devices[3], problem="<u>")),
    )  # fmt: skip
    tab.open(address(site))
    for _ in range(2):
        text = text_of(tab)
        for name in ('<img src=x onerror="alert(1)">', "<b>x</b>", "adhoc:\"a&lt;'$main`{}", "<i>n7</i>", "<u>"):
            assert name in text
        assert "\u202e" not in text
        assert tab.run("document.querySelectorAll('main :is(img, script, i, u, [onerror], #gpu-0 a)').length") == 0
        tab.run("look()")
    assert tab.complaints == []


def test_its_policy_lets_nothing_in(site: Site, tab: Tab) -> None:
    tab.open(address(site))
    tab.run(
        "(() => { const one = document.createElement('script'); one.textContent = 'window.harmed = 1';"
        " document.body.append(one); document.body.setAttribute('onclick', 'window.harmed = 2');"
        " document.body.click(); })()"
    )
    assert tab.run("window.harmed ?? 'well'") == "well"
    assert tab.run("fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'refused')") == "refused"
    assert len([what for what in tab.complaints if "Content Security Policy" in json.dumps(what)]) >= 3


def test_the_keyboard_reaches_each_link_and_card(site: Site, tab: Tab) -> None:
    tab.open(address(site))
    links = tab.run("document.querySelectorAll('a').length")
    reached = set()
    for _ in range(links):
        for kind in ("keyDown", "keyUp"):
            tab.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        reached.add(tab.run("[...document.querySelectorAll('a')].indexOf(document.activeElement)"))
    assert reached == set(range(links))
    tab.run("document.querySelector('.wasted .which a').click()")
    assert tab.run("location.hash") == "#gpu-1"
