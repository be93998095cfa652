"""What there is at all: since when, up to when, of which nodes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gpuwatch.model.history import Window
from gpuwatch.report import recorded
from gpuwatch.report.prometheus.capacity import CARRIED_SECONDS
from gpuwatch.report.prometheus.client import Client, Labels, Sample
from gpuwatch.report.prometheus.promql import after, duration, grouped, selector, upon
from gpuwatch.report.prometheus.ways import Way
from gpuwatch.units import DAY, HOUR, MINUTE

_LONGEST: Final = 400 * DAY
"""As far back as hours are kept on a node: nobody asks for more."""
_COARSE: Final = 6 * HOUR
_STALE: Final = 5 * MINUTE
"""For so long a reading stands."""
_BUILD: Final = "gpuwatch_build_info"


def find_first(client: Client, now_unix: float) -> float | None:
    """Since when there is a record; None where there is none.

    It is looked for every six hours: an agent that ran for less, and was not followed by another, may be overlooked.
    """
    recorded_ones = f"count(last_over_time({recorded.STATES}[{duration(_COARSE)}]))"
    for readings in (f"count({_BUILD})", f"count(last_over_time({_BUILD}[{duration(_COARSE)}]))"):
        tracks = client.query_range(
            f"{readings} or {recorded_ones}",
            start=now_unix - _LONGEST,
            end=now_unix,
            step=_COARSE,
            purpose="since when there is a record, to six hours",
        )
        if times := [unix for track in tracks for unix, _ in track.points]:
            return _closer(client, min(times))
    return None


def _closer(client: Client, first_unix: float) -> float:
    """The first reading in the six hours before: looked for in all of them, and then closely where it is."""
    for span, step in ((_COARSE, _STALE), (_STALE, 15)):
        readings = (f"min_over_time(timestamp({of})[{upon(span)}:{step}s])" for of in (_BUILD, recorded.STATES))
        found = client.query(f"min({' or '.join(readings)})", at=first_unix, purpose="since when there is a record")
        first_unix = found[0].value if found else first_unix
    return first_unix


def find_last(client: Client, end_unix: float, first_unix: float) -> float | None:
    """When the newest reading before the end was made."""
    newest = f"max(timestamp({_BUILD})) or max(timestamp({recorded.STATES}))"
    purpose = "the newest reading"
    if found := client.query(newest, at=end_unix, purpose=purpose):
        return found[0].value
    step = max(HOUR, (end_unix - first_unix) // 1000)
    tracks = client.query_range(
        " or ".join(f"count(last_over_time({series}[{duration(step)}]))" for series in (_BUILD, recorded.STATES)),
        start=end_unix - (end_unix - first_unix) // step * step,
        end=end_unix,
        step=step,
        purpose="up to when there are readings",
    )
    times = [unix for track in tracks for unix, _ in track.points]
    if not times:
        return first_unix
    most = " or ".join(
        f"max_over_time(timestamp({series})[{duration(step)}:{MINUTE}s])" for series in (_BUILD, recorded.STATES)
    )
    found = client.query(f"max({most})", at=max(times), purpose=purpose)
    return found[0].value if found else max(times)


def find_nodes(client: Client, way: Way, window: Window) -> tuple[set[str], set[str]]:
    """The nodes that are known in the window or in the seven days before it, and those with anything in the window."""
    present = client.query(way.nodes(seconds=window.seconds), at=window.end, purpose="nodes in the window")
    whole = after(window.seconds + CARRIED_SECONDS)
    known = client.query(
        grouped("group", ("node", "job", "instance"), f"count_over_time({_BUILD}[{whole}:{duration(HOUR)}])"),
        at=window.end,
        purpose="nodes in the window and the seven days before it",
    )
    here = _nodes(present)
    return here | _nodes(known) | set(_silent_targets(client, window, _jobs(known))), here


def _nodes(samples: Iterable[Sample]) -> set[str]:
    return {sample.labels.get("node", "") for sample in samples}


def _jobs(known: Iterable[Sample]) -> set[str]:
    """The jobs in which an instance is called as its node is: so the scrape configuration of gpuwatch has it."""

    def is_relabelled(labels: Labels) -> bool:
        return "job" in labels and labels.get("instance") == labels.get("node")

    return {sample.labels["job"] for sample in known if is_relabelled(sample.labels)}


def _silent_targets(client: Client, window: Window, jobs: set[str]) -> list[str]:
    """Nodes that a server was told to scrape, and never could."""
    if not jobs:
        return []
    step = int(min(max(window.seconds // 10, MINUTE), HOUR))
    up = f"max_over_time({selector('up', {'job': sorted(jobs)})}[{after(window.seconds)}:{step}s])"
    targets = client.query(
        f"{grouped('max', ('instance',), up)} == 0", at=window.end, purpose="targets that were down all the time"
    )
    return [sample.labels["instance"] for sample in targets if "instance" in sample.labels]
