"""Slurm's short form of many nodes: `gpu[001-004,007],login1`. Pure."""

from __future__ import annotations

import re

_ITEM = re.compile(r"(?:[^,\[\]]|\[[^\[\]]*\])+")
_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
_MOST_BRACKETS = 4
_RANGE = re.compile(r"(\d+)(?:-(\d+))?", re.ASCII)


def is_listed(node: str, hostlist: str) -> bool:
    """Whether the hostlist names the node. Nothing is written out, however long it is in full."""
    return any(_is_item(node, item) for item in _ITEM.findall(hostlist))


def _is_item(node: str, item: str) -> bool:
    literals_and_ranges = _BRACKETS.split(item)
    literals, ranges = literals_and_ranges[::2], literals_and_ranges[1::2]
    if len(ranges) > _MOST_BRACKETS:
        return False
    match = re.fullmatch(r"([0-9]{1,18})".join(map(re.escape, literals)), node)
    return match is not None and all(map(_is_within, match.groups(), ranges))


def _is_within(number: str, ranges: str) -> bool:
    """Whether a number, with its leading zeros, is in `001-004,007`."""
    for match in filter(None, map(_RANGE.fullmatch, ranges.split(","))):
        first, last = match[1][:18], (match[2] or match[1])[:18]
        if int(first) <= int(number) <= int(last) and number == str(int(number)).zfill(len(first)):
            return True
    return False
