"""`gpuwatch config`: what can be configured, and what is in force here."""

from __future__ import annotations

import os
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gpuwatch.errors import UsageError

if TYPE_CHECKING:
    from gpuwatch.agent.config import Configuration
    from gpuwatch.agent.settings import Key, Settings

_HEAD = """\
# The configuration of gpuwatch, for /etc/gpuwatch/config.toml or `gpuwatch agent --config FILE`.
# Every key is here, commented out: at its default, or as an example where it has none that could be written down.
# A variable overrides the file, and a flag overrides both."""


@click.command()
@click.option("--show", "show", is_flag=True, help="What is in force here, and where it comes from.")
@click.option("--config", metavar="FILE", type=click.Path(path_type=Path), help="For --show, as the agent's.")
def config(show: bool, config: Path | None) -> None:
    """Print every key of the configuration with its default, as a file to start from."""
    from gpuwatch.agent.config import load  # noqa: PLC0415  the table loads what the agent is made of

    if config is not None and not show:
        raise UsageError("--config names the file that --show reads: give both, or neither for an example")
    click.echo(in_force(load(flags={}, environment=os.environ, path=config)) if show else example(), nl=False)


def example() -> str:
    """The documented example: docs/config.toml is the same."""
    from gpuwatch.agent.settings import KEYS, Settings  # noqa: PLC0415

    lines, defaults = [_HEAD], Settings(state_directory=Path())  # told in words, and not every user has a home
    for table, keys in groupby(KEYS, attrgetter("table")):
        lines += ["", f"[{table}]"] if table else []
        for key in keys:
            lines += ["", *_explained(key, defaults)]
    return "\n".join(lines) + "\n"


def in_force(configuration: Configuration) -> str:
    """The settings in force as TOML, each with where it comes from: file, variable, flag or default."""
    from gpuwatch.agent.kinds import toml  # noqa: PLC0415
    from gpuwatch.agent.settings import KEYS  # noqa: PLC0415

    lines = []
    for table, keys in groupby(KEYS, attrgetter("table")):
        lines += ["", f"[{table}]"] if table else []
        for key in keys:
            value = key.value_in(configuration.settings)
            unset = value is None or value in ("", {}, ())
            source = configuration.sources.get(key.name, "default")
            lines.append(f"# {key.leaf} is not set" if unset else f"{key.leaf} = {toml(value)}  # {source}")
    return "\n".join(lines) + "\n"


def _explained(key: Key, defaults: Settings) -> list[str]:
    from gpuwatch.agent.kinds import toml  # noqa: PLC0415

    value = key.example if key.default else key.value_in(defaults)
    overrides = f"{key.flag} or {key.variable}" if key.flag else key.variable
    default = f" Default: {key.default}." if key.default else ""
    return [f"# {key.help}{default}", f"# Overridden by {overrides}.", f"#{key.leaf} = {toml(value)}"]
