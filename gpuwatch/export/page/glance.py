"""What is free and what is wasted, at a glance. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from gpuwatch.export.page.cards import place_of
from gpuwatch.export.page.standing import FREE, UNAVAILABLE, UNKNOWN, USED, WASTED, Standing
from gpuwatch.export.page.tree import Node, listed, node
from gpuwatch.model import DeviceView

_LABELS: Final = {USED: "in use", WASTED: "wasted", FREE: "free", UNAVAILABLE: "out of service", UNKNOWN: "unknown"}
_ALWAYS: Final = (USED, WASTED, FREE)


def glance(found: Sequence[tuple[DeviceView, Standing]]) -> Node:
    """How many GPUs are in use, wasted, free, and which."""
    return listed("ul", _tiles(found), class_="tiles")


def _tiles(found: Sequence[tuple[DeviceView, Standing]]) -> Iterator[Node]:
    for group, label in _LABELS.items():
        devices = [device for device, one in found if (WASTED if one.is_wasted else one.group) == group]
        if devices or group in _ALWAYS:
            links = [_link(device) for device in devices]
            many = node("span", node("b", str(len(devices))), f" {label}", class_="count")
            yield node("li", many, listed("span", links, class_="which"), class_=group)


def _link(device: DeviceView) -> Node:
    return node("a", device.info.name, href=f"#{place_of(device)}", aria_label=f"GPU {device.info.name}")
