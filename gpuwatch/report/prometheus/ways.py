"""The two ways to a figure: what `gpuwatch rules` has had recorded, or the counters themselves. Pure: text of PromQL.

Every expression is of a window of some seconds that ends when it is evaluated, in seconds of whole GPUs and joules, and
summed up by `labels`. Filters are on labels too; what a series does not have of them, the reader sees to.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Literal, Protocol

from gpuwatch.model.history import Filters

Measure = Literal["held", "busy", "joules", "sm_active"]
PEOPLE: Final = frozenset({"node", "user", "project"})
"""Labels of the record for people, which has no `sm_active`."""


class Way(Protocol):
    """How figures are come by."""

    def use(self, measure: Measure, labels: Collection[str], where: Filters, *, seconds: float) -> str:
        """What people had, by labels of people, runs and devices."""

    def states(self, labels: Collection[str], where: Filters, *, seconds: float) -> str:
        """The time of GPUs by `state` and labels of devices."""

    def joules(self, labels: Collection[str], where: Filters, *, seconds: float) -> str:
        """What GPUs drew, by labels of devices."""

    def unattributed(self, labels: Collection[str], where: Filters, *, seconds: float) -> str:
        """Busy time that nobody is charged with, by labels of devices."""

    def capacity(self, labels: Collection[str], where: Filters, *, seconds: float) -> str:
        """How many GPUs were there at any time of the window, by labels of devices."""

    def nodes(self, *, seconds: float) -> str:
        """The nodes of which there is anything, by `node`."""
