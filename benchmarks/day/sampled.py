"""The usual way, for comparison: gauges of use and power are read at each scrape, and taken to stand until the next.

Who holds the GPU at that moment is charged, several in equal parts.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

from standin.trace import Share

_ROW: Final = re.compile(
    rb"^gpuwatch_(gpu_utilization_ratio|gpu_power_watts|run_gpu_memory_bytes)\{(.*)\} (\S+)$", re.MULTILINE
)
_LABEL: Final = re.compile(rb'(\w+)="([^"]*)"')
"""The script's people and devices have no letters that a label would have to quote."""

Sums = Mapping[str, Share]
"""By person."""


class Sampler:
    """Sums of samples that are so many seconds apart."""

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds
        self.people: dict[str, Share] = {}

    def add(self, page: bytes) -> None:
        """One more sample of every GPU."""
        for name, share in _charges(page):
            before = self.people.get(name, Share(0.0, 0.0, 0.0))
            self.people[name] = Share(*(old + self._seconds * new for old, new in zip(before, share, strict=True)))


def _charges(page: bytes) -> Iterator[tuple[str, Share]]:
    """Who has which part of which GPU now, and of what it does."""
    gauges: defaultdict[bytes, dict[bytes, float]] = defaultdict(dict)
    holders: defaultdict[bytes, list[str]] = defaultdict(list)
    for metric, text, value in _ROW.findall(page):
        labels = dict(_LABEL.findall(text))
        if metric == b"run_gpu_memory_bytes":
            holders[labels[b"uuid"]].append(labels[b"user"].decode())
        else:
            gauges[labels[b"uuid"]][metric] = float(value)
    for uuid, names in holders.items():
        of = gauges[uuid]
        share = Share(1.0, of.get(b"gpu_utilization_ratio", 0.0), of.get(b"gpu_power_watts", 0.0))
        for name in names:
            yield name, Share(*(part / len(names) for part in share))
