"""Loading a configuration in a test: from what the test gives, and nothing that this machine has."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import pytest

from gpuwatch.agent import config
from gpuwatch.agent.config import Configuration, load
from gpuwatch.agent.settings import VARIABLES, Key
from gpuwatch.cli import main

NO_FILE = Path("/no/such/config.toml")


class Ended(NamedTuple):
    """How a command ended, and what it printed."""

    status: int
    output: str
    errors: str


def configured(
    *, flags: Mapping[str, str] | None = None, environment: Mapping[str, str] | None = None, path: Path | None = None
) -> Configuration:
    """The configuration from what is given."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config, "DEFAULT_PATH", NO_FILE)
        return load(flags=flags or {}, environment=environment or {}, path=path)


def run(*arguments: str | Path, environment: Mapping[str, str] | None = None) -> Ended:
    """`gpuwatch …` in this process. An agent is never started: to get that far is a failure."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        patch.setattr(config, "DEFAULT_PATH", NO_FILE)
        patch.setattr("gpuwatch.agent.daemon.Agent.run", lambda _: pytest.fail("the agent was started"))
        patch.setattr(sys, "argv", ["gpuwatch", *map(str, arguments)])
        for name in [name for name in os.environ if name.startswith(VARIABLES)]:
            patch.delenv(name)
        for name, text in (environment or {}).items():
            patch.setenv(name, text)
        with pytest.raises(SystemExit) as end:
            main()
    assert isinstance(end.value.code, int)
    return Ended(end.value.code, out.getvalue(), err.getvalue())


def told(*arguments: str | Path, environment: Mapping[str, str] | None = None) -> Sequence[str]:
    """What `gpuwatch …` says, line by line, before it ends with status 2."""
    status, output, errors = run(*arguments, environment=environment)
    assert (status, output) == (2, "")
    return [line.removeprefix("gpuwatch: ") for line in errors.removesuffix("\n").split("\n")]


def in_file(folder: Path, text: str) -> Path:
    """A configuration file in the folder."""
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def line(key: Key, value: str) -> str:
    """The key with a value of TOML, in its table."""
    return f"[{key.table}]\n{key.leaf} = {value}\n" if key.table else f"{key.leaf} = {value}\n"
