"""HOST:PORT, where the server listens. Pure: no name is looked up here, and no socket opened."""

from __future__ import annotations

import ipaddress
import re

from gpuwatch.errors import UsageError

_ADDRESS = re.compile(r"(?:\[(?P<ipv6>[\w:.%-]+)\]|(?P<name>[\w.-]+)):(?P<port>\d{1,5})", re.ASCII)


def parse_address(address: str) -> tuple[str, int]:
    """HOST:PORT, with an IPv6 host in brackets; port 0 is any free one. Raises UsageError."""
    match = _ADDRESS.fullmatch(address)
    if match is None or int(match["port"]) > 65535 or not _is_ipv6(match["ipv6"] or "::"):
        raise UsageError(f"{address!r} is not HOST:PORT, like 127.0.0.1:9469 or [::]:9469")
    return match["name"] or match["ipv6"], int(match["port"])


def _is_ipv6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True
