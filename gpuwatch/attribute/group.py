"""Who is in a unix group. The name service is asked: it may be slow, or hang."""

from __future__ import annotations

import grp
import pwd

from gpuwatch.attribute.text import clean


def read_group(name: str) -> frozenset[str]:
    """The unix names in a group, those whose primary group it is among them. Raises KeyError where there is none.

    Where the name service does not list its users (SSSD's `enumerate = false`), only the members that the group itself
    lists are known, and whoever is in the machine's own files.
    """
    group = grp.getgrnam(name)
    primary = (user.pw_name for user in pwd.getpwall() if user.pw_gid == group.gr_gid)
    return frozenset(filter(None, map(clean, (*group.gr_mem, *primary))))
