"""Charts as paths of SVG, in a box that the page stretches. Pure, and without text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from gpuwatch.export.page.tree import Node, node

HEIGHT: Final = 100


def steps(values: Sequence[int | None]) -> str:
    """The area below values from 0 to 100, each of them one wide; there is none where a value is None."""
    return "".join(_steps(values))


def chart(*paths: Node, width: int, class_: str, label: str | None) -> Node:
    """A stretched chart; without a label it is left out by who reads aloud."""
    words = {"role": "img", "aria_label": label} if label else {"aria_hidden": "true"}
    box = f"0 0 {width} {HEIGHT}"
    return node("svg", *paths, class_=f"chart {class_}", viewBox=box, preserveAspectRatio="none", **words)


def bar(ratio: float, class_: str) -> Node:
    """How much of something is used."""
    return chart(
        node("rect", width=round(HEIGHT * min(1.0, ratio)), height=HEIGHT, class_=class_),
        width=HEIGHT,
        class_="bar",
        label=None,
    )


def _steps(values: Sequence[int | None]) -> Iterator[str]:
    level: int | None = None
    for place, value in enumerate(values):
        if value == level:
            continue
        if level is not None and value is None:
            yield f"H{place}V{HEIGHT}Z"
        elif level is None:
            yield f"M{place} {HEIGHT}V{HEIGHT - (value or 0)}"
        else:
            yield f"H{place}V{HEIGHT - (value or 0)}"
        level = value
    if level is not None:
        yield f"H{len(values)}V{HEIGHT}Z"
