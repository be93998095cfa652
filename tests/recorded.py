"""The launchers of tests/fixtures: what a process of each shows, as a `Case`, and whose run it truly is.

A file is a title and sections: `[truth]` is what attribution must find, the rest what /proc and the node's files say.
The paths are those of the launchers' documentation and sources; where the real thing installs, tests of its own ask it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from gpuwatch.attribute.case import Case, Registration, Site, Traces, TrackedRun
from gpuwatch.attribute.containers import Containers
from gpuwatch.attribute.rules.adhoc import launch_root
from gpuwatch.attribute.traces import parse_cgroup, parse_environment
from gpuwatch.model import Identity, Lineage, Process

FIXTURES = Path(__file__).parent / "fixtures"
PID = 4711
STARTED_UNIX = 1_790_000_000.0
USERS = {0: "root", 1000: "ann", 1001: "eve"}
HEX = "3f9a1c5e7b2d4f60819a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f70"
"""The id of every container in the fixtures."""
Sections = dict[str, list[str]]


class Launcher(NamedTuple):
    """One fixture."""

    name: str
    title: str
    sections: Sections

    @property
    def is_hostile(self) -> bool:
        """It is there to be left alone."""
        return self.name.startswith("hostile-")

    @property
    def truth(self) -> dict[str, str]:
        """What attribution must find, by part."""
        return _pairs(self.sections["truth"])

    def case(self, node: Path, *, pid: int = PID, site: str = "n7") -> Case:
        """What the rules are asked, on a node whose files are made below the folder `node`."""
        lineage = _lineage(self.sections, pid)
        _make_files(self.sections, node)
        cgroup = parse_cgroup("\n".join(self.sections["cgroup"]))
        return Case(
            lineage=lineage,
            root=launch_root(lineage),
            root_started_unix=STARTED_UNIX,
            user=USERS[lineage.process.uid],
            site=Site(site),
            traces=Traces(
                environment=parse_environment("\0".join([*self.sections["environ"], ""]).encode()),
                cgroup=cgroup,
                tracked=tuple(
                    TrackedRun("wandb", evidence="open file", **_pairs(row.split()))  # type: ignore[arg-type]
                    for row in self.sections.get("tracked", ())
                ),
                has_terminal="terminal" in self.sections,
            ),
            registration=_registration(self.sections),
            container=Containers(node).of(cgroup),
        )


def launchers() -> list[Launcher]:
    """All fixtures, those that are to be left alone last."""
    found = [_read(path) for path in FIXTURES.glob("*.txt")]
    return sorted(found, key=lambda launcher: (launcher.is_hostile, launcher.name))


def launcher(name: str) -> Launcher:
    """The fixture of that name."""
    return _read(FIXTURES / f"{name}.txt")


def _read(path: Path) -> Launcher:
    title, *lines = path.read_text(encoding="utf-8").splitlines()
    sections: Sections = {}
    for line in lines:
        if line.startswith("[") and line.endswith("]") and " " not in line:
            sections[line[1:-1]] = []
        else:
            next(reversed(sections.values())).append(line)
    return Launcher(path.stem, title, sections)


def _pairs(rows: Sequence[str]) -> dict[str, str]:
    return {name: value for name, _, value in (row.partition("=") for row in rows)}


def _lineage(sections: Sections, pid: int) -> Lineage:
    (uid,) = sections.get("uid", ["1000"])
    arguments = sections["cmdline"]
    return Lineage((_process(pid, int(uid), *arguments), *_ancestors(sections.get("ancestors", []), pid)))


def _ancestors(rows: Sequence[str], pid: int) -> Iterator[Process]:
    for distance, row in enumerate(rows, 1):
        uid, name, *arguments = row.split()
        yield _process(pid - distance, int(uid), *(arguments or [name]), name=name)


def _process(pid: int, uid: int, *arguments: str, name: str = "") -> Process:
    return Process(Identity(pid, pid * 100), pid - 1, uid, name or Path(arguments[0]).name[:15], arguments)


def _registration(sections: Sections) -> Registration | None:
    return Registration(**_pairs(sections["registration"])) if "registration" in sections else None  # type: ignore[arg-type]


def _make_files(sections: Sections, node: Path) -> None:
    """The kubelet's, Docker's and Podman's files."""
    for pod in sections.get("pods", ()):
        (node / "var/log/pods" / pod).mkdir(parents=True, exist_ok=True)
    files = {
        "docker": node / "var/lib/docker/containers" / HEX / "config.v2.json",
        "podman": node / "var/lib/containers/storage/overlay-containers/containers.json",
    }
    for name in files.keys() & sections.keys():
        files[name].parent.mkdir(parents=True, exist_ok=True)
        files[name].write_text("\n".join(sections[name]), encoding="utf-8")
