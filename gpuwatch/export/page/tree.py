"""Elements as data: a list of the tag, its attributes and its children. Text is only ever text, wherever it comes from.

The same tree is HTML at the first look, and JSON from then on; `page.js` makes elements of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from typing import Any

Node = list[Any]
"""`["a", {"href": "/metrics"}, "text", …]`: no two texts are side by side, as in a browser's own tree."""
Child = str | Node | None


def node(tag: str, *children: Child, **attributes: str | float | None) -> Node:
    """An element. `class_` is `class`, `aria_label` is `aria-label`; what is None, or an empty text, is left out."""
    names = {name.rstrip("_").replace("_", "-"): str(value) for name, value in attributes.items() if value is not None}
    return [tag, names, *_joined(children)]


def listed(tag: str, children: Iterable[Child], **attributes: str | float | None) -> Node:
    """An element with these children."""
    return node(tag, *children, **attributes)


def write(tree: str | Node) -> str:
    """The tree as HTML."""
    return "".join(_pieces(tree))


def _joined(children: Iterable[Child]) -> Iterator[str | Node]:
    text = ""
    for child in children:
        if isinstance(child, list):
            if text:
                yield text
            text = ""
            yield child
        else:
            text += child or ""
    if text:
        yield text


def _pieces(tree: str | Node) -> Iterator[str]:
    if isinstance(tree, str):
        yield escape(tree)
        return
    tag, attributes, *children = tree
    yield f"<{tag}"
    for name, value in attributes.items():
        yield f' {name}="{escape(value)}"'
    yield ">"
    for child in children:
        yield from _pieces(child)
    yield f"</{tag}>"
