"""What the node's own files say of a container: its names and labels. No API, no socket, no library.

The kubelet's folders for logs are `NAMESPACE_POD_UID`; Docker and Podman keep their containers in JSON. The files are
root's, but whoever starts a container writes into them: they are read up to a bound, and of them only names and the
labels of `KEPT_LABELS` are kept. Containers that were started without root are not in them.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from gpuwatch.attribute.case import Container
from gpuwatch.attribute.place import Place, locate
from gpuwatch.attribute.rules.containers import PROJECT_LABEL, USER_LABEL
from gpuwatch.attribute.text import clean

KEPT_LABELS = (PROJECT_LABEL, USER_LABEL)
_POD_LOGS = "var/log/pods"
_DOCKER = "var/lib/docker/containers"
_PODMAN = "var/lib/containers/storage/overlay-containers/containers.json"
_LONGEST_BYTES = 1 << 20
_MOST_PODS = 10_000
_MOST_KNOWN = 1024


class Containers:
    """The containers of a node, each looked up once. `root` is where the node's files are seen."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._known: dict[str, Container] = {}

    def of(self, cgroup: str) -> Container | None:
        """The container or pod of a process in these cgroups; None where it is in none.

        What cannot be found or read is empty, and asked for again by the next process of that container.
        """
        place = locate(cgroup)
        if not (place.container or place.pod):
            return None
        key = place.container or place.pod
        known = self._known.get(key) if not place.user else None
        if known is None:
            known = Container(key) if place.user else read_container(place, self._root)
            if known.name or known.pod:
                self._remember(key, known)
        return known

    def _remember(self, key: str, container: Container) -> None:
        if len(self._known) >= _MOST_KNOWN:
            del self._known[next(iter(self._known))]  # the oldest: what runs that long is resolved long since
        self._known[key] = container


def read_container(place: Place, root: Path) -> Container:
    """What the node's files say of the container or pod at `place`."""
    if place.pod:
        return read_pod(place, root / _POD_LOGS)
    if place.runtime == "docker":
        return parse_docker(place.container, _read(root / _DOCKER / place.container / "config.v2.json"))
    if place.runtime == "podman":
        return parse_podman(place.container, _read(root / _PODMAN))
    return Container(place.container)


def read_pod(place: Place, folder: Path) -> Container:
    """The pod's names, by the folder of its logs: neither a namespace's nor a pod's name has an underscore in it."""
    key = place.container or place.pod
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in islice(entries, _MOST_PODS) if entry.name.endswith(f"_{place.pod}")]
    except OSError:
        return Container(key)  # no kubelet's, or not ours to read: it goes by its uid
    parts = [name.split("_") for name in names]
    return next((Container(key, namespace=p[0], pod=p[1]) for p in parts if len(p) == 3), Container(key))


def parse_docker(identifier: str, content: bytes) -> Container:
    """A container's `config.v2.json`: its name, which Docker writes after a slash, and its labels."""
    match _parse(content):
        case {"Name": str(name), "Config": {"Labels": dict(labels)}}:
            return Container(identifier, clean(name.removeprefix("/")), labels=_kept(labels))
        case {"Name": str(name)}:
            return Container(identifier, clean(name.removeprefix("/")))
    return Container(identifier)


def parse_podman(identifier: str, content: bytes) -> Container:
    """Podman's list of all containers: the name of the one with this id."""
    entries = _parse(content)
    for entry in entries if isinstance(entries, list) else ():
        match entry:
            case {"id": str(found), "names": [str(name), *_]} if found == identifier:
                return Container(identifier, clean(name))
    return Container(identifier)


def _kept(labels: Mapping[str, Any]) -> dict[str, str]:
    return {label: clean(value) for label in KEPT_LABELS if isinstance(value := labels.get(label), str)}


def _parse(content: bytes) -> Any:
    """JSON, or None where it is none: cut, damaged, or lists within lists without end."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _read(path: Path) -> bytes:
    """A plain file, up to a bound; nothing where it cannot be read: its container goes by its id."""
    # To open a FIFO would wait for a writer, and to follow a link could be to open anything.
    flags = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with open(path, "rb", buffering=0, opener=lambda name, mode: os.open(name, mode | flags)) as file:
            return file.read(_LONGEST_BYTES) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else b""
    except OSError:
        return b""
