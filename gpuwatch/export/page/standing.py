"""How it stands with a GPU, in a word: free, in use, idle, lost. Pure; it goes by the verdicts, and judges nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from gpuwatch.export.page.words import span
from gpuwatch.model import DeviceView, Owner, Snapshot
from gpuwatch.model.judgement import IDLE, KEPT_WARM, OK, RESERVED, SNOOZED, STUCK, UNDERUSED, Judgement

FREE: Final = "free"
UNAVAILABLE: Final = "unavailable"
UNKNOWN: Final = "unknown"
USED: Final = "used"
WASTED: Final = "wasted"
WORDS: Final = {
    OK: "in use",
    SNOOZED: "snoozed",
    UNDERUSED: "little used",
    KEPT_WARM: "kept warm",
    RESERVED: "reserved",
    IDLE: "idle",
    STUCK: "stuck",
}
"""What verdicts are called, from the best to the worst."""
_BEST_FIRST: Final = tuple(WORDS)
_WITHOUT_SPAN: Final = (OK, SNOOZED, UNDERUSED)
_GROUPS: Final = {OK: USED, SNOOZED: USED, STUCK: STUCK}
"""The other verdicts are of waste."""


class Standing(NamedTuple):
    """Of one device."""

    group: str
    """FREE, USED, WASTED, STUCK, UNAVAILABLE or UNKNOWN."""
    words: str
    runs: Mapping[Owner, Judgement | None]
    """Who holds it, or did when it was last read; no judgement is on what is no single run."""

    @property
    def is_wasted(self) -> bool:
        """Somebody has it, and it does nothing for anybody."""
        return self.group in (WASTED, STUCK)


def standings(snapshot: Snapshot) -> list[tuple[DeviceView, Standing]]:
    """Of all devices, in their order."""
    judgements = snapshot.judgements
    held: dict[str, dict[Owner, Judgement | None]] = {}
    for uuid, owner in (*snapshot.holding, *judgements):
        held.setdefault(uuid, {})[owner] = judgements.get((uuid, owner))
    return [(device, _standing(snapshot, device, held.get(device.info.uuid, {}))) for device in snapshot.devices]


def _standing(snapshot: Snapshot, device: DeviceView, runs: Mapping[Owner, Judgement | None]) -> Standing:
    if device.drain is not None and (not runs or device.reading is None):
        return Standing(UNAVAILABLE, "out of service", runs)
    if device.reading is None:
        return Standing(UNKNOWN, "not answering", runs)
    if not runs:
        return Standing(FREE, "free", runs) if device.strangers == 0 else Standing(UNKNOWN, "unknown", runs)
    verdict, seconds = _best(runs)
    if verdict not in (OK, STUCK) and any(_is_service(snapshot, owner) for owner in runs):
        return Standing(USED, "waiting for requests", runs)  # it is what a service does, and no waste
    words = WORDS[verdict] if verdict in _WITHOUT_SPAN else f"{WORDS[verdict]} for {span(seconds)}"
    return Standing(_GROUPS.get(verdict, WASTED), words, runs)


def _best(runs: Mapping[Owner, Judgement | None]) -> tuple[str, float]:
    """The best of the verdicts, and for how long it holds: of what is no single run, nothing bad is known."""
    found = [(OK, 0.0) if one is None else (one.verdict, _seconds(one)) for one in runs.values()]
    return min(found, key=lambda one: (_BEST_FIRST.index(one[0]), one[1]))


def _seconds(judgement: Judgement) -> float:
    return judgement.idle_seconds if judgement.verdict in (IDLE, RESERVED) else judgement.wasted_seconds


def _is_service(snapshot: Snapshot, owner: Owner) -> bool:
    run = snapshot.runs.get(owner)
    return run is not None and run.kind == "service"
