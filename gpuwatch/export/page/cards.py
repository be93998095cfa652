"""A card for each GPU: how it stands with it, who has it, and its last hour. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gpuwatch.export.page.names import Names
from gpuwatch.export.page.shapes import bar, chart, steps
from gpuwatch.export.page.standing import FREE, UNAVAILABLE, WORDS, Standing
from gpuwatch.export.page.tree import Child, Node, listed, node
from gpuwatch.export.page.words import LONGEST_SENTENCE, counted, gibibytes, percent, plain, span
from gpuwatch.model import DeviceView, Owner, Snapshot
from gpuwatch.model.judgement import OK, Judgement
from gpuwatch.units import MINUTE, PERCENTS

_LEAST_HOUR: Final = 5
"""Of fewer minutes there is nothing to draw yet."""


def place_of(device: DeviceView) -> str:
    """The card's name within the page: two may have one number, where one has gone and those behind it moved up."""
    return device.info.uuid.lower()


def card(snapshot: Snapshot, device: DeviceView, standing: Standing, names: Names) -> Node:
    """The card of a device."""
    heading = node("h3", f"GPU {device.info.name}", id=f"{place_of(device)}-name")
    state = node("span", standing.words, class_="state")
    return node(
        "li",
        node("header", heading, state, node("p", plain(device.info.model).replace("NVIDIA ", ""), class_="model")),
        listed("ul", _lines(snapshot, device, standing, names), class_="runs"),
        _last_hour(snapshot, device),
        listed("dl", _figures(device)),
        id=place_of(device),
        class_=f"card {standing.group}",
        aria_labelledby=f"{place_of(device)}-name",
        tabindex="-1",
    )


def _lines(snapshot: Snapshot, device: DeviceView, standing: Standing, names: Names) -> Iterator[Node]:
    """Who has it, and what else is to be said of it."""
    if device.drain is not None:
        reason = plain(device.drain.reason or "no reason given", LONGEST_SENTENCE)
        state = "" if standing.group == UNAVAILABLE else "Out of service: "
        yield node("li", f"{state}{reason}, for {span(snapshot.taken_unix - device.drain.since_unix)}", class_="why")
    if device.reading is None:
        before = " On it when it was last seen:" if standing.runs else ""
        yield node("li", f"{plain(device.problem or 'It does not answer', LONGEST_SENTENCE)}.{before}", class_="why")
    for owner, judgement in standing.runs.items():
        yield _run(snapshot, (device.info.uuid, owner), judgement, names)
    if device.strangers:
        yield node("li", f"{counted(device.strangers, 'process')} that cannot be read", class_="why")
    if device.strangers is None and not standing.runs:
        yield node("li", "The driver does not list processes.", class_="why")
    if standing.group == FREE:
        yield node("li", "Nobody holds it.", class_="why")


def _run(snapshot: Snapshot, key: tuple[str, Owner], judgement: Judgement | None, names: Names) -> Node:
    name, identity, link = names.run(key[1])
    text = node("bdi", name)
    return node(
        "li",
        node("b", node("bdi", names.person(key[1].user))),
        " ",
        node("a", text, href=link, rel="noopener noreferrer") if link else text,
        *((" ", node("small", node("bdi", identity))) if identity else ()),
        node("p", *_told(snapshot, key, judgement, names)),
    )


def _told(snapshot: Snapshot, key: tuple[str, Owner], judgement: Judgement | None, names: Names) -> Iterator[Child]:
    """The verdict in words, what it rests on, and what else there is to know of the run here."""
    if judgement is not None:
        if judgement.verdict != OK:
            yield node("span", WORDS[judgement.verdict], class_=f"verdict {judgement.verdict}")
            yield ": "
        yield plain(names.reason(judgement), LONGEST_SENTENCE)
        if judgement.verdict == OK and judgement.idle_seconds >= MINUTE:
            yield f", idle for {span(judgement.idle_seconds)}"
    memory, run = snapshot.holding.get(key), snapshot.runs.get(key[1])
    more = [f"{gibibytes(memory)} GiB"] if memory else []
    if run is not None and run.started_unix:
        more.append(f"running for {span(snapshot.taken_unix - run.started_unix)}")
    if more:
        yield "; " if judgement is not None else ""
        yield ", ".join(more)


def _last_hour(snapshot: Snapshot, device: DeviceView) -> Node | None:
    minutes = snapshot.course.use.get(device.info.uuid, ()) if device.busy_known else ()
    known = [use for use in minutes if use is not None]
    if len(known) < _LEAST_HOUR:
        return None
    label = f"Use in the last hour: {percent(sum(known) / len(known) / PERCENTS)} on average"
    area = node("path", d=steps(minutes), class_="use")
    return chart(area, width=len(minutes), class_="hour", label=label)


def _figures(device: DeviceView) -> Iterator[Node]:
    reading = device.reading
    if reading is None:
        return
    use, condition = reading.utilization_ratio, reading.condition
    if use is not None:
        yield _figure("Use", percent(use), use)
    used, total = condition.memory_used_bytes, condition.memory_total_bytes
    if used is not None and total:
        yield _figure("Memory", f"{gibibytes(used)} of {gibibytes(total)} GiB", used / total)
    watts, limit = reading.power_watts, condition.power_limit_watts
    if watts is not None:
        text = f"{watts:.0f} of {limit:.0f} W" if limit else f"{watts:.0f} W"
        yield _figure("Power", text, watts / limit if limit else None)


def _figure(name: str, text: str, ratio: float | None) -> Node:
    return node("div", node("dt", name), node("dd", text, None if ratio is None else bar(ratio, "use")))
