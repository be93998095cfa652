"""What stands above and below the table of GPUs, and all three together. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gpuwatch.model.judgement import OK
from gpuwatch.model.live import STATES, Node
from gpuwatch.terminal.columns import columns_of
from gpuwatch.terminal.rows import Row
from gpuwatch.terminal.table import ALL, BAD, HEAD, QUIET, Cell, Line, laid_out
from gpuwatch.terminal.words import counted, plain, verdict


class Scene(NamedTuple):
    """What was read at one moment: one node, or a fleet."""

    nodes: tuple[Node, ...]
    fleet: str = ""
    """Where a fleet's record is; empty of this node alone."""

    @property
    def devices(self) -> int:
        """How many there are."""
        return sum(len(node.devices) for node in self.nodes)


def page(scene: Scene, rows: Sequence[Row], width: int | None) -> list[Line]:
    """All of it, for those rows, in at most `width` columns of the terminal; None is no limit."""
    return [title(scene), *table(scene, rows, width), *footnotes(scene)]


def title(scene: Scene) -> Line:
    """Where this is of, and how many GPUs are what."""
    cells = [Cell(scene.fleet or ", ".join(plain(node.name) for node in scene.nodes), HEAD)]
    if not all(node.agent for node in scene.nodes):
        cells.append(Cell("  (no agent: no history)", QUIET))
    if scene.nodes and all(node.simulated for node in scene.nodes):
        cells.append(Cell("  (simulated: nothing here is real)", BAD))
    if scene.devices:
        cells.append(Cell(f"  {_counts(scene)}"))
    return tuple(cells)


def table(scene: Scene, rows: Sequence[Row], width: int | None, shown: slice = ALL) -> list[Line]:
    """The head and those of the rows that are shown; nothing where there are none."""
    return laid_out(columns_of(rows, with_node=bool(scene.fleet)), width, shown) if rows else []


def footnotes(scene: Scene) -> list[Line]:
    """What is not known, and why."""
    notes = [(Cell(plain(_of(scene, node) + node.problem), BAD),) for node in scene.nodes if node.problem]
    hints = [(Cell(plain(_of(scene, node) + node.hint), QUIET),) for node in scene.nodes if node.hint]
    nobody = [(Cell("no agent has been scraped lately", BAD),)] if not scene.nodes else []
    return [*nobody, *notes, *hints]


def _of(scene: Scene, node: Node) -> str:
    return f"{node.name}: " if scene.fleet else ""


def _counts(scene: Scene) -> str:
    devices = [device for node in scene.nodes for device in node.devices]
    states = Counter(device.state for device in devices)
    verdicts = Counter(worst for device in devices if (worst := _worst(holder.verdict for holder in device.holders)))
    many = f"{counted(len(scene.nodes), 'node')}, {counted(len(devices), 'GPU')}" if scene.fleet else ""
    words = [f"{states[state]} {state}" for state in STATES if states[state]]
    wrong = [f"{many} {verdict(name)}" for name, many in sorted(verdicts.items())]
    head = f"{many or counted(len(devices), 'GPU')}: {', '.join(words)}"
    return f"{head}; {', '.join(wrong)}" if wrong else head


def _worst(verdicts: Iterable[str]) -> str:
    """Of a device: what is wrong with all of its holders; empty where one of them uses it."""
    found = list(verdicts)
    return "" if not found or any(name in ("", OK) for name in found) else found[0]
