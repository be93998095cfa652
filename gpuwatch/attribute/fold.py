"""Folding: which owner a run is charged to, so that short runs and floods of runs mint no series. Pure.

- The first `short_run_seconds` of an ad-hoc run are charged for good to `run="short"` of its user; from then on the run
  has its own series. Recognised runs have theirs at once.
- Over the cap of run series the owner is `run="overflow"` for good; over the cap of (user, project) pairs the project
  is `overflow` too, and so is a user who has no pair yet: the sums over all other users stay right. A user makes up
  projects at will, so one has at most half of the pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

from gpuwatch.model import Owner, Run

SHORT = "short"
OVERFLOW = "overflow"


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many series a node may have, and how long an ad-hoc run must live to have one."""

    short_run_seconds: float = 60.0
    run_series: int = 200
    people: int = 100


class Folder:
    """Decides owners. Remembers which runs overflowed: once charged so, for good."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._overflowed: dict[Owner, Owner] = {}

    def owner(
        self, run: Run, *, age: float, shown: set[Owner], people: set[tuple[str, str]], waits: bool = False
    ) -> Owner:
        """The owner to charge for a run whose launch root is `age` seconds old, or that `waits` to be known whole.

        `shown` are the owners that have a series now, lingering ones included, and `people` the (user, project) pairs
        of the roll-up; both take in the answer, so that the bounds hold within one cycle too.
        """
        owner = self._overflowed.get(run.owner) or self._fold(run, waits or self._is_short(run, age), shown, people)
        shown.add(owner)
        people.add((owner.user, owner.project))
        return owner

    def _is_short(self, run: Run, age: float) -> bool:
        return run.source == "adhoc" and age < self._bounds.short_run_seconds

    def _fold(self, run: Run, is_short: bool, shown: set[Owner], people: set[tuple[str, str]]) -> Owner:
        user, project, _ = run.owner
        theirs = sum(user == someone for someone, _ in people)
        is_full = len(people) >= self._bounds.people or theirs >= max(1, self._bounds.people // 2)
        if (user, project) not in people and is_full:
            folded = Owner(user if theirs else OVERFLOW, OVERFLOW, OVERFLOW)
            self._overflowed[run.owner] = folded
            return folded
        if is_short:
            return Owner(user, project, SHORT)
        if run.owner not in shown and len(shown) >= self._bounds.run_series:
            self._overflowed[run.owner] = folded = Owner(user, project, OVERFLOW)
            return folded
        return run.owner

    def forget(self, live: set[Owner]) -> None:
        """Drop what is remembered of runs that have ended."""
        self._overflowed = {run: folded for run, folded in self._overflowed.items() if run in live}
