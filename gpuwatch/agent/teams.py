"""The team of each person: read once, when the agent starts, as the rest of the configuration."""

from __future__ import annotations

import logging
from functools import partial

from gpuwatch.attribute.group import read_group
from gpuwatch.attribute.people import People
from gpuwatch.sense.lane import Lane

log = logging.getLogger(__name__)

_PATIENCE = 5.0
"""Seconds that the name service may take for one group: without it the agent starts all the same."""


def read_teams(people: People) -> dict[str, str]:
    """Teams by person. A group that cannot be read is said in the log, and its members are in no team by it."""
    if not people.groups:
        return people.teams()
    lane: Lane[str, frozenset[str]] = Lane("gpuwatch-groups")
    results = lane.run({name: partial(read_group, name) for name in sorted(people.groups)}, patience=_PATIENCE)
    lane.close()
    known = {}
    for name, result in results.items():
        if isinstance(result, Exception):
            problem = "there is none of this name" if isinstance(result, KeyError) else result
            log.warning("the unix group %s in [teams] cannot be read: %s", name, problem)
        else:
            known[name] = result
    return people.teams(known)
