"""The driver: does NVML open, do the GPUs answer, what do they lack? Never changes the driver's state."""

from __future__ import annotations

import grp
import os
import shlex
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gpuwatch.check.finding import Finding, fail, ok, warn
from gpuwatch.errors import DriverUnavailable, GpuUnavailable, GpuwatchError, LibraryMismatch

if TYPE_CHECKING:
    from gpuwatch.sense.nvml import Card

_LOSSES = {
    "ring of samples": "use between two readings is guessed from the last one",
    "use by process": "the time of a shared GPU is divided in equal parts",
    "energy counter": "joules are the power at each reading times the interval",
    "list of processes": "nobody is charged: its time is unknown",
}
"""What a card can lack, and what is lost by that."""


class Node(NamedTuple):
    """A device node: whether this process may open it, and its group where that is what gives access."""

    path: str
    accessible: bool
    group: str


class CardFacts(NamedTuple):
    """A GPU, or an instance of one, as it answered: what it lacks of `_LOSSES`, or its problem."""

    name: str
    lacks: frozenset[str]
    activity: bool
    """It has counters of activity (GPM)."""
    problem: str = ""


class DriverFacts(NamedTuple):
    """What was found. `error` is why NVML did not open."""

    binding: str
    """The version of nvidia-ml-py; empty where it is not installed."""
    impostor: str
    """The version of the deprecated distribution `pynvml`; empty where it is not installed."""
    versions: tuple[str, str]
    """Of the driver and of NVML."""
    cards: tuple[CardFacts, ...]
    nodes: tuple[Node, ...]
    error: GpuwatchError | None


def read_driver(dev: Path = Path("/dev")) -> DriverFacts:
    """Open NVML, ask each GPU once, and close it again. It may hang, as any call into the driver."""
    try:
        versions, cards, error = (*_read_cards(), None)
    except DriverUnavailable as unavailable:
        versions, cards, error = ("", ""), (), unavailable
    return DriverFacts(
        binding=_read_version("nvidia-ml-py"),
        impostor=_read_version("pynvml"),
        versions=versions,
        cards=cards,
        nodes=tuple(_read_node(path) for path in (dev / "nvidiactl", *sorted(dev.glob("nvidia[0-9]*")))),
        error=error,
    )


def judge_driver(facts: DriverFacts) -> list[Finding]:
    """The package, the driver, and what its GPUs lack."""
    findings = [_judge_binding(facts)]
    if facts.error is not None:
        lost = "no GPU of this node can be read"
        return [*findings, fail("driver", _told(facts), lost=lost, mend=_mend_driver(facts, facts.error))]
    driver, nvml = facts.versions
    findings.append(ok("driver", f"{driver}, NVML {nvml}"))
    return [*findings, *_judge_cards(facts.cards)]


def _read_cards() -> tuple[tuple[str, str], tuple[CardFacts, ...]]:
    try:
        from gpuwatch.sense import nvml  # noqa: PLC0415  an old `pynvml` in its place breaks already at import
    except (ImportError, AttributeError) as error:
        raise DriverUnavailable("the installed module pynvml is not the one of nvidia-ml-py") from error
    driver = nvml.open_driver()
    try:
        cards: list[CardFacts] = []
        for index in range(driver.gpus):
            try:
                cards += [_read_card(card) for card in nvml.open_cards(index)]
            except GpuUnavailable as error:
                cards.append(CardFacts(str(index), frozenset(), False, str(error)))
        return (driver.version, driver.nvml_version), tuple(cards)
    finally:
        nvml.close_driver()


def _read_card(card: Card) -> CardFacts:
    has = {
        "ring of samples": card.read_ring(0) is not None,
        "use by process": card.tells_process_use(),
        "energy counter": card.read_energy_joules() is not None,
        "list of processes": card.read_processes() is not None,
    }
    return CardFacts(card.info.name, frozenset(name for name, there in has.items() if not there), card.gpm is not None)


def _read_version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def _read_node(path: Path) -> Node:
    group = ""
    with suppress(OSError, KeyError):  # it is not there, or its group has no name
        about = path.stat()
        group = grp.getgrgid(about.st_gid).gr_name if about.st_gid and about.st_mode & stat.S_IWGRP else ""
    return Node(str(path), os.access(path, os.R_OK | os.W_OK), group)


def _judge_binding(facts: DriverFacts) -> Finding:
    pip = f"{shlex.quote(sys.executable)} -m pip"
    mend = f"{pip} uninstall -y pynvml; {pip} install --force-reinstall nvidia-ml-py"
    if not facts.binding:
        return fail("binding", "nvidia-ml-py is not installed", lost="no GPU of this node can be read", mend=mend)
    if facts.impostor:
        return warn(
            "binding",
            f"nvidia-ml-py {facts.binding}, and beside it the deprecated package pynvml {facts.impostor}",
            lost="old versions of pynvml take the place of NVIDIA's module, and swap pids and memory",
            mend=mend,
        )
    return ok("binding", f"nvidia-ml-py {facts.binding}")


def _told(facts: DriverFacts) -> str:
    closed = [node.path for node in facts.nodes if not node.accessible]
    return f"{facts.error}; not there or not accessible: {', '.join(closed)}" if closed else str(facts.error)


def _mend_driver(facts: DriverFacts, error: GpuwatchError) -> str:
    if isinstance(error, LibraryMismatch):
        return "reboot (or stop what uses the GPUs, and load the kernel modules anew)"
    if "pynvml" in str(error):
        return "as for the binding"
    if "not found" in str(error):
        return "apt install nvidia-driver, or what your distribution calls it; then reboot"
    group = next((node.group for node in facts.nodes if not node.accessible and node.group), "")
    return f"usermod -aG {shlex.quote(group)} THE_USER" if group else "nvidia-modprobe -c 0 -u; nvidia-smi"


def _judge_cards(cards: Iterable[CardFacts]) -> Iterable[Finding]:
    cards = tuple(cards)
    if not cards:
        yield warn("gpus", "the driver lists no GPU", lost="there is nothing to watch", mend="lspci -d 10de:; dmesg")
    for card in cards:
        if card.problem:
            mend = f"nvidia-smi -r -i {card.name.partition(':')[0]}, or reboot"
            yield fail("gpus", f"GPU {card.name}: {card.problem}", lost="its time is unknown", mend=mend)
    for missing, lost in _LOSSES.items():
        if names := [card.name for card in cards if missing in card.lacks]:
            mend = "nothing: the driver or the card has none"
            yield warn("gpus", f"no {missing} on {_of(names, cards)}", lost=lost, mend=mend)
    if cards and not any(card.problem or card.lacks for card in cards):
        plain = [card.name for card in cards if not card.activity]
        activity = f"; no activity counters (GPM) on {_of(plain, cards)}: before Hopper there are none" if plain else ""
        yield ok("gpus", f"{len(cards)}, which tell all that is accounted by{activity}")


def _of(names: list[str], cards: tuple[CardFacts, ...]) -> str:
    return "all GPUs" if len(names) == len(cards) else f"GPU {', '.join(names)}"
