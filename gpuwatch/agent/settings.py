"""What the agent is told: its flags, with the defaults that make it useful without any."""

from __future__ import annotations

import socket
import tomllib
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from gpuwatch.attribute.fold import Bounds
from gpuwatch.errors import UsageError
from gpuwatch.state.file import default_directory

DEFAULT_CONFIG = Path("/etc/gpuwatch/config.toml")

DEFAULT_LISTEN = "127.0.0.1:9469"
SHORTEST_INTERVAL, LONGEST_INTERVAL = 0.1, 5.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of one agent. Raises UsageError for what cannot work."""

    listen: str = DEFAULT_LISTEN
    node: str = field(default_factory=socket.gethostname)
    state_directory: Path = field(default_factory=default_directory)
    interval: float = 1.0
    bounds: Bounds = field(default_factory=Bounds)

    @classmethod
    def of(
        cls,
        *,
        config: Path | None,
        listen: str | None,
        node: str | None,
        state_directory: Path | None,
        interval: float | None,
    ) -> Settings:
        """Settings from what was given; None is the default. The default configuration file need not be there."""
        given: dict[str, Any] = {
            "listen": listen,
            "node": node,
            "state_directory": state_directory,
            "interval": interval,
        }
        if config is not None or DEFAULT_CONFIG.exists():
            given["bounds"] = _read_bounds(config or DEFAULT_CONFIG)
        return replace(cls(), **{name: value for name, value in given.items() if value is not None})

    def __post_init__(self) -> None:
        if not SHORTEST_INTERVAL <= self.interval <= LONGEST_INTERVAL:
            raise UsageError(
                f"--interval {self.interval:g} is outside of {SHORTEST_INTERVAL:g} to {LONGEST_INTERVAL:g} seconds: "
                "time that is not looked at for 10 s counts as unknown"
            )
        if not self.node or not self.node.isprintable() or len(self.node) > 128:
            raise UsageError(f"--node {self.node!r} is no name: give up to 128 printable characters")


def _read_bounds(path: Path) -> Bounds:
    """The `[account]` table of the configuration file. Raises UsageError that names the key."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the configuration {path}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is no valid TOML: {error}") from error
    known = {item.name for item in fields(Bounds)}
    table = document.pop("account", {})
    if not isinstance(table, dict):
        raise UsageError(f"{path}: account is {table!r}, and must be a table: [account]")
    for key in [*document, *(f"account.{key}" for key in table if key not in known)]:
        raise UsageError(
            f"{path}: unknown key {key!r}; there is: {', '.join(sorted(f'account.{name}' for name in known))}"
        )
    for key, value in table.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise UsageError(f"{path}: account.{key} is {value!r}, and must be a number of 0 or more")
    return Bounds(**table)
