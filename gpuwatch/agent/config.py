"""The configuration: one TOML file, overridden by variables, overridden by flags. A mistake is told with its place.

Everything that was given is checked, also what is overridden, and all mistakes are told at once. A value that may hold
a secret is never shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gpuwatch.agent.document import read_document
from gpuwatch.agent.kinds import Mistake, escaped, name_in_toml, shown, told
from gpuwatch.agent.settings import KEYS, VARIABLES, Key, Settings
from gpuwatch.alert.policy import AlertPolicy
from gpuwatch.alert.workspace import Workspace
from gpuwatch.attribute.fold import Bounds
from gpuwatch.attribute.people import People
from gpuwatch.errors import UsageError
from gpuwatch.explicit.message import EXPECT_VARIABLE, NAME_VARIABLE, PROJECT_VARIABLE, RUN_VARIABLE, USER_VARIABLE
from gpuwatch.report.policy import Policy
from gpuwatch.report.server import Server

DEFAULT_PATH = Path("/etc/gpuwatch/config.toml")
CLIENT_PATH = Path("/etc/gpuwatch/client.toml")
"""The same keys, for people who may not read the agent's file: those who only ask."""

_BY_NAME = {key.name: key for key in KEYS}
_BY_VARIABLE = {key.variable: key for key in KEYS}
_TABLES = sorted({key.table for key in KEYS} - {""})
_FREE_TABLES = [key.name for key in KEYS if isinstance(key.example, Mapping)]
"""Keys that are tables themselves, with names that whoever writes them chooses."""
_RECORDS = {
    "bounds": Bounds,
    "people": People,
    "prometheus": Server,
    "slack": Workspace,
    "alert": AlertPolicy,
    "policy": Policy,
}
"""Fields of the settings that are records of keys."""
_SERVICE_LINK = re.compile(
    r"GPUWATCH_(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)=.*|PORT_\d+_[A-Z]+(_(PROTO|PORT|ADDR))?=.*|PORT=(tcp|udp|sctp)://.*)"
)
"""What Kubernetes sets in pods beside a Service called gpuwatch, or gpuwatch-something. GPUWATCH_PORT=9470 is not."""

_OF_RUNS = frozenset({RUN_VARIABLE, NAME_VARIABLE, PROJECT_VARIABLE, USER_VARIABLE, EXPECT_VARIABLE})
"""What speaks of a run, and not to the agent: it is there in every shell that `gpuwatch run` started."""


class Given(NamedTuple):
    """A key's value as somebody gave it."""

    key: Key
    value: object
    place: str
    """What a message names: the variable, the flag, or the file and the key."""
    source: str
    """The variable, the flag, or the file."""
    folder: Path = Path()
    """What a relative path is relative to."""


class Configuration(NamedTuple):
    """The settings in force."""

    settings: Settings
    sources: Mapping[str, str]
    """By the key's name: which file, variable or flag set it. Absent for one at its default."""


def load(*, flags: Mapping[str, str], environment: Mapping[str, str], path: Path | None) -> Configuration:
    """The settings from flags (by their keys' names), variables and the file at `path`.

    Without `path` it is the default file, if that is there. Raises UsageError, with a line for each mistake.
    """
    document = read_document(DEFAULT_PATH, optional=True) if path is None else read_document(path)
    found = [
        *_in_document(document, path or DEFAULT_PATH),
        *_in_environment(environment),
        *_in_flags(flags),
    ]
    return _checked_all(found)


def load_client(*, environment: Mapping[str, str], path: Path | None) -> Configuration:
    """The settings of who asks for a record and runs no agent: as `load` has them, without flags.

    Without `path` they are those of the agent's file, where this user may read it, then of CLIENT_PATH, then of the
    user's own client.toml; where several have a key, the last one stands. Raises UsageError as `load` does.
    """
    if path is not None:
        return load(flags={}, environment=environment, path=path)
    found = list(_in_document(read_document(DEFAULT_PATH, optional=True, private=True), DEFAULT_PATH))
    for client in (CLIENT_PATH, *_own_client(environment)):
        found += _in_document(read_document(client, optional=True), client)
    return _checked_all([*found, *_in_environment(environment)])


def _own_client(environment: Mapping[str, str]) -> list[Path]:
    """Where this user's own client.toml is; nowhere for one without a home."""
    if configured := environment.get("XDG_CONFIG_HOME"):
        return [Path(configured, "gpuwatch/client.toml")]
    return [Path(home, ".config/gpuwatch/client.toml")] if (home := environment.get("HOME")) else []


def of_flags(flags: Mapping[str, str]) -> Settings:
    """The settings from flags alone, whatever files and variables say. Raises UsageError as `load` does."""
    return _checked_all(list(_in_flags(flags))).settings


def _checked_all(found: Sequence[Given | str]) -> Configuration:
    """What was given, in the order of precedence: the last one stands. Mistakes are text, and raised as UsageError."""
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    mistakes: list[str] = []
    for item in found:
        if isinstance(item, str):
            mistakes.append(item)
            continue
        try:
            values[item.key.name] = _checked(item)
            sources[item.key.name] = item.source
        except ValueError as error:
            mistake = str(error) if isinstance(error, Mistake) else told(item.value)
            mistakes.append(f"{item.place} {mistake}, and must be {item.key.kind.right}")
    if mistakes:
        raise UsageError("\n".join(mistakes))
    return Configuration(_settings(values), sources)


def _in_document(document: Mapping[str, Any], path: Path) -> Iterator[Given | str]:
    """What a file gives, and its mistakes as text."""
    file = escaped(str(path))
    for name, value in document.items():
        if name in _TABLES and not isinstance(value, dict):
            yield f"{file}: {name} {told(value)}, and must be a table: [{name}]"
        elif isinstance(value, dict) and name not in _TABLES and name not in _BY_NAME:
            unknown, known = f"[{_written(name)}]", [f"[{table}]" for table in sorted([*_TABLES, *_FREE_TABLES])]
            yield f"{file}: unknown table {unknown}; {_nearest(unknown, known)}"
        else:
            for full, item in _leaves(name, value):
                if full in _BY_NAME:
                    yield Given(_BY_NAME[full], item, f"{file}: {full}", file, path.parent)
                else:
                    yield f"{file}: unknown key {full}; {_nearest(full, list(_BY_NAME))}"


def _leaves(name: str, value: Any) -> Iterator[tuple[str, object]]:
    """The keys of a table with its name before them, or the one key that `name` is; written as in TOML.

    Part by part, so that the key "account.people", in quotes, is not taken for people in the table account.
    """
    if name in _TABLES:
        yield from ((f"{name}.{_written(leaf)}", item) for leaf, item in value.items())
    else:
        yield _written(name), value


def _in_environment(environment: Mapping[str, str]) -> Iterator[Given | str]:
    """What the variables give, and their mistakes as text."""
    for name, text in sorted(environment.items()):
        if name in _BY_VARIABLE:
            yield _of_text(_BY_VARIABLE[name], text, name)
        elif name.startswith(VARIABLES) and name not in _OF_RUNS and not _SERVICE_LINK.fullmatch(f"{name}={text}"):
            yield f"unknown variable {escaped(name)}; {_nearest(name, list(_BY_VARIABLE))}"


def _in_flags(flags: Mapping[str, str]) -> Iterator[Given]:
    """What the flags give, by their keys' names."""
    for name, text in flags.items():
        yield _of_text(_BY_NAME[name], text, _BY_NAME[name].flag)


def _of_text(key: Key, text: str, source: str) -> Given:
    return Given(key, key.kind.parse(text), source, source)


def _checked(given: Given) -> Any:
    """The value as the settings have it, a path absolute. Raises ValueError for a wrong one."""
    value = given.key.kind.check(given.value)
    if not isinstance(value, Path):
        return value
    try:
        return (given.folder / value).absolute()
    except FileNotFoundError as error:  # relative to a working directory that was removed
        raise ValueError from error


def _written(name: str) -> str:
    """One part of a key as it is written in TOML, and cut."""
    return name_in_toml(name) if len(name) <= 60 else shown(name)


def _nearest(name: str, names: Sequence[str]) -> str:
    """A hint at the name that was meant: first at the same one in another table, as a [table] is easily forgotten."""
    from difflib import get_close_matches  # noqa: PLC0415  an agent whose settings are right does without

    same = [other for other in names if other.rpartition(".")[2] == name.rpartition(".")[2]]
    ends = {other.removeprefix(VARIABLES): other for other in same or names}
    close = get_close_matches(name.removeprefix(VARIABLES), ends, n=1, cutoff=0.0 if same else 0.6)
    return f"did you mean {ends[close[0]]}?" if close else f"there is: {', '.join(names)}"


def _settings(values: Mapping[str, Any]) -> Settings:
    fields: dict[str, dict[str, Any]] = {name: {} for name in ("", *_RECORDS)}
    for name, value in values.items():
        record, _, field = _BY_NAME[name].setting.rpartition(".")
        fields[record][field] = value
    return Settings(**fields[""], **{name: make(**fields[name]) for name, make in _RECORDS.items()})
