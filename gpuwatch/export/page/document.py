"""All that the page shows, as one tree. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from gpuwatch.export.page.cards import card
from gpuwatch.export.page.glance import glance
from gpuwatch.export.page.names import Names
from gpuwatch.export.page.people import people
from gpuwatch.export.page.standing import standings
from gpuwatch.export.page.tree import Child, Node, listed, node
from gpuwatch.export.page.week import week
from gpuwatch.export.page.words import LONGEST_SENTENCE, local, plain
from gpuwatch.model import Snapshot


def document(snapshot: Snapshot, *, names: str, is_stale: bool) -> Node:
    """The page's `main`. `names` says whose are shown, `is_stale` that there has been no reading for a while."""
    shown = Names(names, snapshot)
    found = standings(snapshot)
    return node(
        "main",
        *_notes(snapshot, is_stale=is_stale),
        node("h1", "GPUs of ", node("bdi", plain(snapshot.node))),
        _when(snapshot),
        *(
            (
                glance(found),
                _section("GPUs", listed("ul", [card(snapshot, *one, shown) for one in found], class_="cards")),
                _section("People", people(snapshot, found, shown)),
                _section("The last 7 days", *week(snapshot)),
            )
            if found
            else (node("p", _no_gpus(snapshot)),)
        ),
        _footer(snapshot, shown),
        # A page that is open while the agent is upgraded loads itself anew: its style may be another.
        data_version=snapshot.version,
    )


def _notes(snapshot: Snapshot, *, is_stale: bool) -> Iterator[Node]:
    if snapshot.simulated:
        words = ": no GPU, no person and no run on this page is real."
        yield node("p", node("strong", "SIMULATED"), words, class_="note simulated", role="note")
    if is_stale:
        words = f"This is old: the agent has read nothing since {local(snapshot.taken_unix):%H:%M:%S}."
        yield node("p", words, class_="note old", role="alert")
    if not snapshot.persisted:
        yield node("p", "What is shown cannot be saved now: `gpuwatch check` says why.", class_="note", role="note")
    if snapshot.strangers_reason and any(device.strangers for device in snapshot.devices):
        reason = plain(snapshot.strangers_reason, LONGEST_SENTENCE)
        yield node("p", f"Processes cannot be read: {reason}.", class_="note", role="note")


def _when(snapshot: Snapshot) -> Node:
    moment = local(snapshot.taken_unix)
    text = f"{moment:%H:%M:%S %Z}, {moment:%a} {moment.day} {moment:%b %Y}"
    return node("p", "Read at ", node("time", text, datetime=f"{moment.isoformat(timespec='seconds')}"), class_="when")


def _section(heading: str, *children: Child) -> Node:
    name = heading.lower().replace(" ", "-")
    return node("section", node("h2", heading, id=name), *children, aria_labelledby=name)


def _no_gpus(snapshot: Snapshot) -> str:
    problem = snapshot.sensors["gpu"].problem if "gpu" in snapshot.sensors else ""
    return plain(problem or "No GPU was found.", LONGEST_SENTENCE)


def _footer(snapshot: Snapshot, names: Names) -> Node:
    return node(
        "footer",
        node("p", f"{names.withheld} here ([privacy] names).") if names.withheld else None,
        node(
            "p",
            node("a", "/metrics", href="metrics"),
            " for Prometheus, ",
            node("a", "/api/v1/status", href="api/v1/status"),
            " as JSON, ",
            node("a", "/healthz", href="healthz"),
            f". gpuwatch {snapshot.version}.",
        ),
    )
