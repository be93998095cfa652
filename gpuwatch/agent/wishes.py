"""What people may wish for runs at the door: to be left alone for a while, or to have a notice called wrong.

Only for their own: the person of the uid that speaks, as the kernel says, has to be the run's. Root may for all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from gpuwatch.agent.complaints import Complaints
from gpuwatch.agent.peer import Peer, is_in_container
from gpuwatch.agent.request import Wish
from gpuwatch.agent.snoozes import SnoozesFile
from gpuwatch.agent.whose import choose
from gpuwatch.attribute.expectation import Whose
from gpuwatch.attribute.people import People
from gpuwatch.attribute.person import read_user_name
from gpuwatch.model import Owner
from gpuwatch.model.judgement import Snooze


class Wishes:
    """Grants and refuses, for one agent."""

    def __init__(
        self,
        file: SnoozesFile,
        complaints: Complaints,
        *,
        people: People,
        read_owners: Callable[[], Collection[Owner]],
        read_unix: Callable[[], float],
        facts: Mapping[str, Any],
    ) -> None:
        """`read_owners` are those of the runs of now. `facts` go with each answer."""
        self._file = file
        self._complaints = complaints
        self._people = people
        self._read_owners = read_owners
        self._read_unix = read_unix
        self._facts = facts

    def grant(self, peer: Peer, wish: Wish) -> dict[str, Any]:
        """The answer. Asks the name service and the disk, which may be slow. Raises ValueError that says why not."""
        if is_in_container(peer.pid):  # root in there is not root out here, and its uids may be anybody's
            raise ValueError("from inside a container nothing can be said of runs: say it on the node itself")
        person = self._people.alias(read_user_name(peer.uid))
        whose = self._choose(wish, None if peer.uid == 0 else person)
        if wish.what == "wrong":
            self._complaints.mark_wrong(whose, wish.reason)
            return {**self._facts, "run": whose[1]}
        until_unix = self._read_unix() + wish.seconds
        if wish.what == "snooze":
            snooze = Snooze(whose[1], until_unix, wish.reason, by=person)
            self._file.registry.enter(whose[0], snooze, unix=self._read_unix())
        else:
            self._file.registry.end(*whose, by=person, unix=until_unix)
        return {**self._facts, "run": whose[1], "until_unix": until_unix, "kept": self._file.keep()}

    def _choose(self, wish: Wish, person: str | None) -> Whose:
        """The run that is meant; of `person`, or with None anybody's."""
        if wish.what == "wrong":
            known, where = self._complaints.told(), "of which anybody was told"
        else:
            here = ((owner.user, owner.run) for owner in self._read_owners())
            known, where = {*self._file.registry.entries, *here}, "on the GPUs of this node"
        whose = choose(wish.run, known, person=person)
        if whose is None:
            raise ValueError(f"there is no run {wish.run} {where}: `gpuwatch status` shows those of now")
        return whose
