"""The person behind a process: whoever its uid names, and where that is nobody in particular, whom its run names."""

from __future__ import annotations

import pwd
from collections.abc import Sequence

from gpuwatch.attribute.case import Claim
from gpuwatch.attribute.text import clean

_FIRST_ORDINARY_UID = 1000
"""UID_MIN of login.defs(5): those below belong to the system."""
_NOBODY_UID = 65534
_RULES = ("registered", "declared", "container", "slurm", "wandb", "kubernetes")
"""Whose word counts, the surest first: a person's own, a container's label, the scheduler, the tracker, a pod."""
_ROOT = "root"


def read_user_name(uid: int) -> str:
    """The unix name, else `uid:N`. The name service may be slow: ask once per run."""
    try:
        return clean(pwd.getpwuid(uid).pw_name) or f"uid:{uid}"
    except KeyError:
        return f"uid:{uid}"


def person_of(uid_name: str, uid: int, claims: Sequence[Claim], *, in_container: bool) -> str:
    """The person, before any alias. `uid_name` is the name of the uid, as `read_user_name` gives it.

    An ordinary user outside of a container is who the kernel says, whatever is claimed. For root, system users, and
    in a container it is whom a claim names, by `_RULES`; where none does, or only root, the uid's name stands.
    """
    if is_ordinary(uid) and not in_container:
        return uid_name
    named = {claim.rule: user for claim in claims if (user := clean(claim.user)) not in ("", _ROOT)}
    return next((named[rule] for rule in _RULES if rule in named), uid_name)


def is_ordinary(uid: int) -> bool:
    """Whether a uid is a person's, and not the system's."""
    return uid >= _FIRST_ORDINARY_UID and uid != _NOBODY_UID
